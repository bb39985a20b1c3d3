"""The last answers of a project, kept between commands: for the screen, and to find a request in the log again."""

from __future__ import annotations

from pathlib import Path

import msgspec

from asteria_tui.bounds import check_depth
from asteria_tui.events import Predicted, encode
from asteria_tui.state_dir import open_file, read_file, write_file

FILE = "answers.jsonl"
KEPT = 50
LARGEST_BODY = 64 * 1024
"""Bytes of a body that is kept; a larger one is remembered without it."""
MAX_BYTES = 4 * 2**20
"""The file is cut back to the last answers when it grows beyond this."""


def remember(directory: Path, answer: Predicted) -> None:
    """Adds an answer; a place that can't be written to forgets."""
    if answer.size > LARGEST_BODY:
        answer = msgspec.structs.replace(answer, body=None, content=b"")
    try:
        with open_file(directory, FILE, is_appended=True) as lines:
            lines.write(encode(answer) + b"\n")
            size = lines.tell()
        if size > MAX_BYTES:
            write_file(directory, FILE, b"".join(encode(one) + b"\n" for one in recall(directory)))
    except OSError:
        return


def recall(directory: Path) -> list[Predicted]:
    """The last answers, the newest last; a line that is cut off is passed over."""
    try:
        lines = read_file(directory, FILE, 2 * MAX_BYTES).splitlines()[-KEPT:]
    except OSError:
        return []
    found = []
    for line in lines:
        try:
            check_depth(line.decode())
            found.append(msgspec.json.decode(line, type=Predicted))
        except ValueError:
            continue
    return found
