"""What all four panels share: a border with a title, a line of state in it, one way to be told of news."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.containers import VerticalScroll
from textual.content import Content
from textual.widget import Widget

from asteria_tui.logs.text import show_controls
from asteria_tui.state import State

if TYPE_CHECKING:
    from asteria_tui.tui.app import AsteriaApp

SHORT = 2_000
"""Characters up to which a text has no line that wraps."""


class Panel(Widget):
    """A region of the screen. `show` is called with each new state and repaints only what changed."""

    NUMBER: ClassVar[int]
    TITLE: ClassVar[str]
    HELP: ClassVar[str]
    """What the panel is for, in a few sentences; `{up}` stands for the key of that action."""
    app: AsteriaApp

    def on_mount(self) -> None:
        self.show_title()

    def show_title(self) -> None:
        """Its colour stands in the title itself: from a style, Textual would repaint all that the panel holds."""
        style = "$foreground bold" if self.has_class("-current") else "$foreground 60%"
        self.border_title = Content.assemble((f"{self.NUMBER}", "$accent"), (f" {self.TITLE}", style))

    def show(self, state: State) -> None:
        raise NotImplementedError

    def take_focus(self) -> None:
        """Focuses the part of the panel that a user most likely wants."""
        self.query("*").filter(".takes-focus").first().focus()


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


class Waiting(Panel):
    """Keeps the place of a panel until it is there."""

    HELP = ""

    def __init__(self, number: int, title: str, *, id: str, classes: str) -> None:  # noqa: A002 Textual's name
        super().__init__(id=id, classes=classes)
        self.NUMBER, self.TITLE = number, title  # type: ignore[misc]

    def show(self, state: State) -> None:
        pass

    def take_focus(self) -> None:
        pass
