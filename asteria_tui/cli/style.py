"""Colours for one stream, none where nobody sees them."""

from __future__ import annotations

import os
from typing import TextIO


class Style:
    """No terminal, NO_COLOR or a dumb terminal: the text as it is."""

    def __init__(self, stream: TextIO) -> None:
        self.is_terminal = stream.isatty() and os.environ.get("TERM") != "dumb"
        """Whether there is one that understands control sequences."""
        self._on = self.is_terminal and not os.environ.get("NO_COLOR")

    def __call__(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._on else text

    def good(self, text: str) -> str:
        return self(text, "32")

    def bad(self, text: str) -> str:
        return self(text, "31")

    def dim(self, text: str) -> str:
        return self(text, "2")

    def strong(self, text: str) -> str:
        return self(text, "1")

    def accent(self, text: str) -> str:
        return self(text, "36")
