"""The last line: at most eight keys of the focused panel, to press or to click; a disabled one says why."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content
from textual.events import Click, MouseMove
from textual.widget import Widget

from asteria_tui.tui.actions import BY_ID, PANELS, ActionContext, KeyNames

GAP = 2
ALWAYS = 2
"""The last ones, help and quit, stay where there is no room for all."""


class Footer(Widget):
    """One widget that draws all keys: a change of focus costs no layout."""

    def __init__(self, keys: KeyNames, *, id: str | None = None) -> None:  # noqa: A002 Textual's name
        super().__init__(id=id)
        self.keys = keys
        self._shown: tuple[tuple[str, str], ...] = ()
        self._labels: dict[str, str] = {}

    def show(self, panel: str, context: ActionContext, inside: Sequence[tuple[str, str]] = ()) -> None:
        """`inside` are the actions that work where one types, with their labels: those of the panel do not."""
        ids = tuple(id_ for id_, _ in inside) or next(entry.footer for entry in PANELS if entry.name == panel)
        shown = tuple((id_, BY_ID[id_].why_not(context)) for id_ in ids)
        if shown != self._shown:
            self._shown, self._labels = shown, dict(inside)
            self.refresh()

    def render(self) -> Content:
        parts: list[Content | str] = []
        for id_, why_not in self._fitting():
            key, label = self._text(id_)
            text = Content.assemble((key, "$footer-key-foreground"), (f" {label}", "$foreground 60%"))
            parts += [text.stylize("dim") if why_not else text, " " * GAP]
        return Content.assemble(*parts)

    async def on_click(self, event: Click) -> None:
        event.stop()
        found = self._at(event.x)
        if found is not None:
            await self.app.run_action(f"act('{found[0]}')")

    def on_mouse_move(self, event: MouseMove) -> None:
        found = self._at(event.x)
        self.tooltip = (found[1] or BY_ID[found[0]].help) if found is not None else None

    def _text(self, id_: str) -> tuple[str, str]:
        return self.keys[id_], self._labels.get(id_, BY_ID[id_].label)

    def _cells(self, id_: str) -> int:
        key, label = self._text(id_)
        return len(key) + 1 + len(label) + GAP

    def _fitting(self) -> list[tuple[str, str]]:
        """As many as there is room for, and the last ones."""
        first, last = self._shown[:-ALWAYS], self._shown[-ALWAYS:]
        room = self.content_size.width + GAP - sum(self._cells(id_) for id_, _ in last)
        fitting = []
        for id_, why_not in first:
            room -= self._cells(id_)
            if room >= 0:
                fitting.append((id_, why_not))
        return [*fitting, *last]

    def _at(self, x: int) -> tuple[str, str] | None:
        """The action that stands at a column of the widget."""
        left = self.gutter.left
        for id_, why_not in self._fitting():
            if left <= x < left + self._cells(id_) - GAP:
                return id_, why_not
            left += self._cells(id_)
        return None
