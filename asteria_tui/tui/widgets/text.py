"""Styled text that scrolls."""

from __future__ import annotations

from textual.containers import VerticalScroll
from textual.content import Content
from textual.widget import Widget

from asteria_tui.logs.text import show_controls

SHORT = 2_000
"""Characters up to which a text has no line that wraps."""


class Text(VerticalScroll):
    """Styled text that scrolls where it is longer than its region and repaints only when it is another."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002 Textual's name
        from textual.widgets import Static

        super().__init__(id=id, classes=classes)
        self._body = Static(markup=False)
        self._shown: Content | None = None

    def compose(self) -> list[Widget]:
        return [self._body]

    def watch_has_focus(self, _has_focus: bool) -> None:
        """The panel around it shows the focus: no style here depends on it, and Textual would repaint the text."""

    def show(self, text: Content) -> None:
        before = self._shown
        if before is None or not text.is_same(before):
            self._shown = text
            # A layout of the whole screen costs more than all else: only for another height.
            needs_layout = before is None or len(before.plain.splitlines()) != len(text.plain.splitlines())
            self._body.update(_visible(text), layout=needs_layout or len(text.plain) > SHORT)


def _visible(text: Content) -> Content:
    """Much of what is shown was written by others: a model's answer, a server's message, the name of a file."""
    return Content(show_controls(text.plain), spans=list(text.spans))
