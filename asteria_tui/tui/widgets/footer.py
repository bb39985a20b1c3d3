"""The last line: at most eight keys of the focused panel, to press or to click; a disabled one says why."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.events import Click
from textual.widgets import Static

from asteria_tui.tui.actions import BY_ID, FOOTERS, Action, Situation, shown_keys


class FooterKey(Static):
    def __init__(self, action: Action, keys: str) -> None:
        key = keys.partition(" ")[0]
        super().__init__(Content.assemble((key, "$footer-key-foreground"), f" {action.label}"))
        self.action = action

    def show(self, why_not: str) -> None:
        self.set_class(bool(why_not), "-disabled")
        self.tooltip = why_not or self.action.help

    async def on_click(self, event: Click) -> None:
        event.stop()
        await self.app.run_action(f"act('{self.action.id}')")


class Footer(Horizontal):
    panel = ""
    keys: dict[str, str] = {}  # noqa: RUF012 replaced as a whole
    """The keys that the user chose, by the id of the action."""

    def compose(self) -> ComposeResult:
        for id_ in FOOTERS.get(self.panel, ()):
            action = BY_ID[id_]
            yield FooterKey(action, shown_keys(self.keys.get(id_, action.keys)))

    async def show(self, panel: str, situation: Situation) -> None:
        if panel != self.panel:
            self.panel = panel
            await self.recompose()
        for key in self.query(FooterKey):
            key.show(key.action.why_not(situation))
