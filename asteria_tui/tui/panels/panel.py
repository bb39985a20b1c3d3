"""What all four panels share: a border with a title, a line of state in it, one way to be told of news."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.content import Content
from textual.events import Resize
from textual.widget import Widget

from asteria_tui.session import Session
from asteria_tui.state import State
from asteria_tui.tui.actions import number_of
from asteria_tui.tui.host import Host
from asteria_tui.tui.widgets.text import Text


class Panel(Widget):
    """A region of the screen. `show` is called with each new state and repaints only what changed."""

    HELP: ClassVar[str]
    """What the panel is for, in a few sentences; `{up}` stands for the key of that action."""
    app: Host

    def __init__(self, session: Session, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, classes=classes)
        self.session = session

    def on_mount(self) -> None:
        self.show_title()

    @property
    def title(self) -> str:
        return (self.id or "").title()

    def show_title(self) -> None:
        """Its colour stands in the title itself: from a style, Textual would repaint all that the panel holds."""
        style = "$foreground bold" if self.has_class("-current") else "$foreground 60%"
        self.border_title = Content.assemble((f"{number_of(self.id or '')}", "$accent"), (f" {self.title}", style))

    def show(self, state: State) -> None:
        raise NotImplementedError

    def next_tab(self) -> None:
        """What the panel shows besides; most show one thing."""

    def take_focus(self) -> None:
        """Focuses the part of the panel that a user most likely wants."""
        self.query("*").filter(".takes-focus").first().focus()


class TextPanel(Panel):
    """A panel that is one text, made for the room that it has."""

    _state = State()

    def compose(self) -> ComposeResult:
        yield Text(classes="takes-focus")

    def show(self, state: State) -> None:
        self._state = state
        body = self.query_one(Text)
        width, height = body.scrollable_content_region.width, self.content_size.height
        if width:
            body.show(self.text(state, width, height))

    def text(self, state: State, width: int, height: int) -> Content:
        raise NotImplementedError

    def on_resize(self, _: Resize) -> None:
        self.show(self._state)


class Waiting(Panel):
    """Keeps the place of a panel until it is there."""

    HELP = ""

    def show(self, state: State) -> None:
        pass

    def take_focus(self) -> None:
        pass
