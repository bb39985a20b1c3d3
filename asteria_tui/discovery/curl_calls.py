"""Calls of curl that send a file as it is (`curl -T`): those models get their payloads without a content type."""

from __future__ import annotations

import re
from collections.abc import Iterator

from asteria_tui.discovery.archiver_calls import DOCUMENTS, SCRIPTS
from asteria_tui.discovery.tree import Tree, is_test

_UPLOAD = {"-T", "--upload-file"}
_MODEL = re.compile(r"/predictions/([\w.-]+)")
_CONTINUED = re.compile(r"(?:\\|(?<= )`)\r?\n\s*")


def find_uploads(tree: Tree) -> dict[str, str]:
    """Where the first call stands, such as `README.md`, by the model that it asks."""
    found: dict[str, str] = {}
    for file in tree.files:
        if file.lower().endswith((*SCRIPTS, *DOCUMENTS)) and not is_test(file):
            for name in _uploads(tree.text(file)):
                found.setdefault(name, file)
    return found


def _uploads(text: str) -> Iterator[str]:
    for line in _CONTINUED.sub(" ", text).splitlines():
        _, curl, arguments = line.partition("curl ")
        model = _MODEL.search(arguments)
        if curl and model and not _UPLOAD.isdisjoint(arguments.split()) and "content-type" not in line.lower():
            yield model[1]
