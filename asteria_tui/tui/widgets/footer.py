"""The last line: at most eight keys of the focused panel, to press or to click; a disabled one says why."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content

from asteria_tui.tui.actions import BY_ID, FOOTERS, Situation, shown_keys
from asteria_tui.tui.widgets.link import Link

GAP = 2
ALWAYS = 2
"""The last ones, help and quit, stay where there is no room for all."""


class FooterKey(Link):
    def __init__(self, action: str, keys: str) -> None:
        key, label = keys.partition(" ")[0], BY_ID[action].label
        super().__init__(action, Content.assemble((key, "$footer-key-foreground"), f" {label}"))
        self.cells = len(key) + 1 + len(label) + GAP

    def show(self, why_not: str) -> None:
        self.set_class(bool(why_not), "-disabled")
        self.tooltip = why_not or BY_ID[self.action].help


class Footer(Horizontal):
    panel = ""
    keys: dict[str, str] = {}  # noqa: RUF012 replaced as a whole
    """The keys that the user chose, by the id of the action."""

    def compose(self) -> ComposeResult:
        for id_ in FOOTERS.get(self.panel, ()):
            yield FooterKey(id_, shown_keys(self.keys.get(id_, BY_ID[id_].keys)))

    async def show(self, panel: str, situation: Situation) -> None:
        if panel != self.panel:
            self.panel = panel
            await self.recompose()
        keys = list(self.query(FooterKey))
        room = self.content_size.width + GAP - sum(key.cells for key in keys[-ALWAYS:])
        for number, key in enumerate(keys):
            if number < len(keys) - ALWAYS:
                room -= key.cells
                key.display = room >= 0
            key.show(BY_ID[key.action].why_not(situation))
