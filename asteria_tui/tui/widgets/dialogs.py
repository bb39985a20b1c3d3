"""Two dialogs for everything: one to choose from, one to read."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_lowercase
from typing import ClassVar, TypeVar

import msgspec
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.geometry import Size
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from asteria_tui.tui.actions import binding_of
from asteria_tui.tui.host import Host
from asteria_tui.tui.widgets.text import Text

Result = TypeVar("Result")


AROUND_TEXT = 5
"""Columns of border, padding and scroll bar."""
MIN_WIDTH = 30


class Choice(msgspec.Struct, frozen=True):
    id: str
    key: str
    """A letter that chooses it at once; empty for none."""
    label: str
    note: str = ""


class Dialog(ModalScreen[Result]):
    def answer(self, result: Result) -> None:
        """Ends it; keys that come faster than it goes find it gone already."""
        if self.is_current:
            self.dismiss(result)


class ChoiceDialog(Dialog[str]):
    """Asks for one of a few things; gives its id, or an empty text when the user backs out."""

    BINDINGS: ClassVar[list[BindingType]] = [
        binding_of("back", "leave"),
        # Bindings and no `on_key`: what is typed before the dialog has the focus finds its way, too.
        *(Binding(letter, f"choose('{letter}')", show=False) for letter in ascii_lowercase),
    ]
    app: Host

    def __init__(self, title: str, choices: Sequence[Choice], note: str = "") -> None:
        super().__init__()
        self.choices = choices
        self.heading = title
        self.note = note

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = self.heading
            dialog.border_subtitle = f"{self.app.key_names['back']} back"
            if self.note:
                yield Static(self.note, markup=False, classes="note")
            yield OptionList(*(Option(_label(choice), id=choice.id) for choice in self.choices), compact=True)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        self.answer(event.option_id or "")

    def action_choose(self, letter: str) -> None:
        chosen = next((choice for choice in self.choices if choice.key == letter), None)
        if chosen is not None:
            self.answer(chosen.id)

    def action_leave(self) -> None:
        self.answer("")


def _label(choice: Choice) -> Content:
    key = Content.styled(f"{choice.key:<2}", "$accent") if choice.key else Content("")
    note = Content.styled(f"  {choice.note}", "$foreground 60%") if choice.note else Content("")
    return key + Content(choice.label) + note


class Reader(Dialog[str]):
    """Shows a text as long as it takes; its keys open the source line, where it has one, and copy it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        binding_of("back", "leave"),
        binding_of("quit", "leave"),
        binding_of("copy", "copy"),
        binding_of("details", "open"),
    ]
    app: Host

    def __init__(self, title: str, text: Content, plain: str = "", *, source: tuple[str, int] | None = None) -> None:
        """`plain` is what is copied, the shown text without it; `source` a file and a line of it."""
        super().__init__()
        self.heading = title
        self.text = text
        self.plain = plain or text.plain
        self.source = source

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog reader") as dialog:
            dialog.border_title = self.heading
            keys = self.app.key_names
            opens = f"{keys['details']} opens {self.source[0]}:{self.source[1]} · " if self.source else ""
            dialog.border_subtitle = f"{opens}{keys['copy']} copies · {keys['back']} back"
            yield Text()

    @staticmethod
    def room(size: Size) -> int:
        """Columns of its text on a screen of that size: 90 % (panels.tcss) without border, padding, scroll bar."""
        return size.width * 9 // 10 - AROUND_TEXT

    def on_mount(self) -> None:
        body = self.query_one(Text)
        body.show(self.text)
        body.focus()
        self._fit()

    def on_resize(self) -> None:
        self._fit()

    def _fit(self) -> None:
        """As large as its text, where there is room for that."""
        dialog = self.query_one(".dialog")
        lines = self.text.split("\n", allow_blank=True)
        wanted = max(MIN_WIDTH, len(str(dialog.border_subtitle)) + 2, *(line.cell_length for line in lines))
        width = min(wanted, self.room(self.size))
        height = sum(max(1, len(line.wrap(width))) for line in lines)
        dialog.styles.width = width + AROUND_TEXT
        dialog.styles.height = min(height + 2, self.size.height * 9 // 10)

    def action_copy(self) -> None:
        self.app.copy_to_clipboard(self.plain)
        self.notify("copied", timeout=2)

    def action_open(self) -> None:
        if self.source:
            self.answer("open")

    def action_leave(self) -> None:
        self.answer("")
