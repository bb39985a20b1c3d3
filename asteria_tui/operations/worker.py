"""One worker process ended; TorchServe starts another one in its place."""

from __future__ import annotations

from typing import ClassVar

from asteria_tui.errors import ServerError, TargetError
from asteria_tui.events import Lane
from asteria_tui.operations.base import Context, Operation
from asteria_tui.targets.target import EndsWorkers


class EndWorker(Operation, frozen=True, kw_only=True):
    """For a worker that hangs, or to load it anew; the request that it works on is answered with an error."""

    name: ClassVar[str] = "end worker"
    lane: ClassVar[Lane] = "request"
    is_about_server: ClassVar[bool] = True
    worker: str
    """Its id, such as `9000`."""
    pid: int

    async def run(self, context: Context) -> None:
        record = await context.running()
        if not isinstance(context.target, EndsWorkers):
            raise TargetError(
                f"a worker of the target {record.target} cannot be ended by itself",
                hint="scale the model down and up again",
            )
        if not await context.target.end_worker(record, self.pid):
            raise ServerError(f"worker W-{self.worker} (pid {self.pid}) is gone already")
