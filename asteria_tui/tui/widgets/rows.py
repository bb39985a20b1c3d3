"""A text of which some lines can be chosen: with the arrow keys, Enter and the mouse."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.binding import BindingType
from textual.message import Message

from asteria_tui.tui.actions import binding_of
from asteria_tui.tui.widgets.text import Text


class Rows(Text):
    BINDINGS: ClassVar[list[BindingType]] = [binding_of("details", "open")]

    class Moved(Message):
        """The choice is to go on by that many."""

        def __init__(self, by: int) -> None:
            super().__init__()
            self.by = by

    class Clicked(Message):
        """On a line of the text."""

        def __init__(self, line: int, *, is_double: bool) -> None:
            super().__init__()
            self.line = line
            self.is_double = is_double

    class Opened(Message):
        """What is chosen is to be opened."""

    def action_open(self) -> None:
        self.post_message(self.Opened())

    def action_scroll_up(self) -> None:
        self.post_message(self.Moved(-1))

    def action_scroll_down(self) -> None:
        self.post_message(self.Moved(1))

    def on_click(self, event: events.Click) -> None:
        self.post_message(self.Clicked(event.y + self.scroll_offset.y, is_double=event.chain > 1))

    def reveal(self, line: int) -> None:
        """Scrolls as little as shows the line."""
        height = self.size.height
        if line < self.scroll_offset.y:
            self.scroll_to(y=line, animate=False)
        elif height and line >= self.scroll_offset.y + height:
            self.scroll_to(y=line - height + 1, animate=False)
