"""A few words that do an action when they are clicked."""

from __future__ import annotations

from textual.content import Content
from textual.events import Click
from textual.widgets import Static


class Link(Static):
    def __init__(self, action: str, text: str | Content, *, id: str | None = None) -> None:  # noqa: A002
        """`action` is the id of an action."""
        super().__init__(text, markup=False, id=id)
        self.action = action

    async def on_click(self, event: Click) -> None:
        event.stop()
        await self.app.run_action(f"act('{self.action}')")
