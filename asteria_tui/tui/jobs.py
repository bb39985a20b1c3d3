"""What runs for the user: tasks of the event loop, not of the app, so leaving the screen cuts none of them short."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Literal

import msgspec

from asteria_tui.errors import ExitCode
from asteria_tui.events import Step
from asteria_tui.session import Session

Lane = Literal["workflow", "request"]
"""One job at a time in each."""


class Job(msgspec.Struct, frozen=True):
    name: str
    """The action that began it."""
    task: asyncio.Task[ExitCode]


class Jobs:
    def __init__(self, session: Session, changed: Callable[[str, ExitCode | None], None]) -> None:
        """`changed(name, None)` is called when a job begins, with its exit code when it has ended."""
        self.session = session
        self.changed = changed
        self._jobs: dict[Lane, Job] = {}

    def running(self, lane: Lane = "workflow") -> str:
        """The name of the job in that lane; empty when there is none."""
        return self._jobs[lane].name if lane in self._jobs else ""

    def begin(self, lane: Lane, name: str, action: Coroutine[Any, Any, Any], stage: Step) -> None:
        """Starts `action`; what runs in the lane already must be over."""
        task = asyncio.ensure_future(self.session.perform(_silent(action), stage))
        self._jobs[lane] = Job(name, task)
        task.add_done_callback(lambda done: self._ended(lane, done))
        self.changed(name, None)

    def cancel(self, lane: Lane = "workflow") -> None:
        """Interrupts the job; it cleans up behind itself before it ends."""
        if lane in self._jobs:
            self._jobs[lane].task.cancel()

    async def finish(self) -> None:
        """Interrupts everything and returns when it has cleaned up."""
        tasks = [job.task for job in self._jobs.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, lane: Lane, task: asyncio.Task[ExitCode]) -> None:
        job = self._jobs.pop(lane)
        self.changed(job.name, ExitCode.INTERRUPTED if task.cancelled() else task.result())


async def _silent(action: Coroutine[Any, Any, Any]) -> None:
    """The same action without what it returns: its events tell it."""
    await action
