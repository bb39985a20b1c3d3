"""One line to type what the log is searched for: a filter hides the other records, find leaves them around it."""

from __future__ import annotations

from typing import ClassVar, Literal

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input, Static

Kind = Literal["filter", "find"]
ASKS: dict[Kind, str] = {
    "filter": "text or regular expression, ! inverts · tab: find it among the others",
    "find": "text or regular expression · tab: hide the others",
}


class SearchBar(Horizontal):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "switch", show=False, priority=True),
        Binding("up", "step(-1)", show=False),
        Binding("down", "step(1)", show=False),
    ]

    class Changed(Message):
        """Another text, or the same for the other purpose."""

        def __init__(self, kind: Kind, text: str) -> None:
            super().__init__()
            self.kind: Kind = kind
            self.text = text

    class Submitted(Message):
        """Enter."""

    class Switched(Message):
        """Tab: the text is for the other purpose now."""

        def __init__(self, kind: Kind) -> None:
            super().__init__()
            self.kind: Kind = kind

    class Stepped(Message):
        """Up or down: to the match before or after."""

        def __init__(self, by: int) -> None:
            super().__init__()
            self.by = by

    kind: Kind = "filter"

    def compose(self) -> ComposeResult:
        yield Static(id="search-kind")
        yield Input(id="search-text", compact=True, select_on_focus=False)

    @property
    def text(self) -> str:
        return self.query_one(Input).value

    def ask(self, kind: Kind, text: str) -> None:
        """Takes the focus; `text` is what was typed for that purpose before."""
        self.kind = kind
        field = self.query_one(Input)
        field.placeholder = ASKS[kind]
        self.query_one("#search-kind", Static).update(kind)
        self.say("")
        if field.value != text:
            with field.prevent(Input.Changed):
                field.value = text
        field.focus()

    def say(self, wrong: str) -> None:
        """Marks the text as one that cannot be used, or takes that back."""
        field = self.query_one(Input)
        field.tooltip = wrong or None
        field.set_class(bool(wrong), "-wrong")

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self.post_message(self.Changed(self.kind, event.value))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.post_message(self.Submitted())

    def action_switch(self) -> None:
        self.post_message(self.Switched("filter" if self.kind == "find" else "find"))

    def action_step(self, by: int) -> None:
        self.post_message(self.Stepped(by))
