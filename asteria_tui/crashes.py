"""What is written down when we have a bug, so that it can be pasted into a report: no payload, no token, no locals."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import time
import traceback
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import msgspec

from asteria_tui import __version__
from asteria_tui.events import Event, Key, KeysChanged, ModelDescribed, Predicted, StageFinished, encode
from asteria_tui.logs.text import sanitize
from asteria_tui.state_dir import make_dir, remove, write_file

KEPT = 20
PACKAGES = ("textual", "click", "httpx", "msgspec", "docker", "torchserve", "torch")


def write_crash_report(state_dir: Path, bug: BaseException, events: Iterable[Event] = (), doing: str = "") -> str:
    """The file that it was written to, in `.asteria/crashes/` or, where there is none, in the user's state folder.

    `doing` says what was under way. Empty where nothing can be written: a bug must not bring another one.
    """
    text = _text(bug, list(events), doing)
    for directory in (state_dir, _user_state_dir().resolve()):
        if directory == state_dir and not directory.is_dir():
            continue
        with contextlib.suppress(OSError):
            return str(_write(directory, text))
    return ""


def sentence(bug: BaseException) -> str:
    """The bug in one line."""
    return sanitize(" ".join(f"a bug in asteria-tui: {type(bug).__name__}: {bug}".split()))


def _text(bug: BaseException, happened: list[Event], doing: str) -> str:
    tokens = {key.token for event in happened if isinstance(event, KeysChanged) for key in event.keys}
    lines = [
        sentence(bug),
        "",
        f"asteria-tui {__version__}, Python {platform.python_version()}, {platform.platform()}",
        ", ".join(f"{name} {version}" for name in PACKAGES if (version := _version(name))),
        f"while: {doing or 'outside any operation'}",
        "",
        *"".join(traceback.format_exception(bug)).splitlines(),
        "",
        "The last events:",
        *(encode(_without_body(event)).decode() for event in happened),
        "",
    ]
    text = "\n".join(map(sanitize, lines))
    for token in sorted(filter(None, tokens), key=len, reverse=True):
        if set(token) != {"•"}:
            text = re.sub(re.escape(token), "•" * 8, text)
    return text


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _without_body(event: Event) -> Event:
    if isinstance(event, Predicted):
        return msgspec.structs.replace(event, body=None)
    if isinstance(event, StageFinished) and event.stage == "predict":
        return msgspec.structs.replace(event, summary="")  # the answer, in short
    if isinstance(event, ModelDescribed):
        return msgspec.structs.replace(event, versions=())
    if isinstance(event, KeysChanged):
        return msgspec.structs.replace(event, keys=tuple(Key(kind=key.kind, token="") for key in event.keys))
    return event


def _user_state_dir() -> Path:
    """As the XDG Base Directory Specification has it."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "asteria-tui"


def _write(directory: Path, text: str) -> Path:
    directory.parent.mkdir(parents=True, exist_ok=True)
    folder = make_dir(directory, "crashes")
    seconds, nanoseconds = divmod(time.time_ns(), 10**9)  # one reading, in UTC, so that names sort by time
    name = f"crashes/{time.strftime('%Y%m%dT%H%M%S', time.gmtime(seconds))}-{nanoseconds:09}.txt"
    write_file(directory, name, text.encode())
    for old in sorted(folder.glob("*.txt"))[:-KEPT]:
        remove(directory, f"crashes/{old.name}")
    return directory / name
