"""What the screen, its panels and its dialogs ask of the app around them; they do not know the app itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.app import App

from asteria_tui.session import Handle, Session
from asteria_tui.state import State
from asteria_tui.tui.actions import ActionContext, KeyNames
from asteria_tui.tui.preferences import Settings, UiState

if TYPE_CHECKING:
    from asteria_tui.operations.base import Operation


class Host(App[str]):
    session: Session
    settings: Settings
    ui_state: UiState
    key_names: KeyNames
    acted_at: float
    """When the last action was asked for, on the monotonic clock."""

    @property
    def state(self) -> State:
        return self.session.state

    @property
    def action_context(self) -> ActionContext:
        raise NotImplementedError

    def show(self) -> None:
        """Brings the screen up to the session's state."""
        raise NotImplementedError

    def start(self, operation: Operation) -> Handle | None:
        """Begins an operation; where it is refused that is said."""
        raise NotImplementedError

    def complain(self, title: str, detail: str = "") -> None:
        raise NotImplementedError

    def copy(self, text: str) -> str:
        """To the clipboard and to a file; the name of the file, to be said behind "copied"."""
        raise NotImplementedError

    def edit(self, file: str, line: int) -> None:
        """Opens the user's editor."""
        raise NotImplementedError
