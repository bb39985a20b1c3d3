"""The sources on disk, watched for as long as the screen or `dev` is there."""

from __future__ import annotations

from typing import ClassVar

from asteria_tui.dev.watch import source_changes
from asteria_tui.events import Lane, SourcesChanged
from asteria_tui.operations.base import Context, Operation


class WatchSources(Operation, frozen=True, kw_only=True):
    name: ClassVar[str] = "watch"
    lane: ClassVar[Lane] = "background"

    async def run(self, context: Context) -> None:
        async for sources in source_changes(context.project):
            context.emit(SourcesChanged(sources=sources))
