"""A letter on everything that takes the focus; the letter jumps there."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_lowercase
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.events import Key
from textual.widget import Widget
from textual.widgets import Static

from asteria_tui.tui.actions import binding_of
from asteria_tui.tui.widgets.dialogs import Dialog


class Jump(Dialog[Widget | None]):
    BINDINGS: ClassVar[list[BindingType]] = [binding_of("back", "leave"), binding_of("jump", "leave")]

    def __init__(self, targets: Sequence[Widget]) -> None:
        super().__init__()
        self.targets = dict(zip("asdfghjkl" + ascii_lowercase, targets, strict=False))

    def compose(self) -> ComposeResult:
        for letter, target in self.targets.items():
            label = Static(f" {letter} ", markup=False, classes="letter")
            label.absolute_offset = target.region.offset
            yield label

    def on_key(self, event: Key) -> None:
        if event.character in self.targets:
            event.stop()
            self.answer(self.targets[event.character])

    def action_leave(self) -> None:
        self.answer(None)
