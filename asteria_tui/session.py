"""One live piece of work on a project: runs operations in lanes, owns the target; `state` is the one truth.

A renderer opens a Session, starts operations, and shows what comes. The Session is opened around the screen, never
inside it, so that leaving the screen cuts no clean-up short.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import secrets
import threading
import time
from collections.abc import AsyncIterator, Callable
from functools import cached_property
from typing import TYPE_CHECKING

import msgspec

from asteria_tui import last_failure
from asteria_tui.config import Project, TargetName
from asteria_tui.errors import AsteriaError, BusyError, ExitCode
from asteria_tui.events import (
    Event,
    ModelsChanged,
    OperationFailed,
    OperationFinished,
    OperationStarted,
    Predicted,
    ServerChanged,
    StageFailed,
    StageProgressed,
    TrafficChanged,
    WorkersSampled,
)
from asteria_tui.inference import answers
from asteria_tui.journal import Journal
from asteria_tui.state import State, reduce

if TYPE_CHECKING:
    from asteria_tui.logs.waker import Waker
    from asteria_tui.logs.watch import KnownCauses, RunWatch
    from asteria_tui.operations.base import Operation
    from asteria_tui.targets.target import Target

EVENTS_KEPT = 50
"""For the report of a crash."""
CLOSE_TIMEOUT = 240.0
"""Seconds that a clean-up may take at the end: a server is stopped and the one of before is started again."""
PATIENCE = 0.5
"""Seconds of waiting at the end after which it is said what for."""
ALIVE_EVERY = 1.0
"""Seconds between two looks whether a process still lives that began something."""
# A newer one says all that an older one of the same operation, stage and model did.
_REPLACEABLE = (StageProgressed, ServerChanged, ModelsChanged, TrafficChanged, WorkersSampled)


class Handle:
    """An operation that was started."""

    def __init__(self, id_: str, operation: Operation, task: asyncio.Task[ExitCode]) -> None:
        self.id = id_
        self.operation = operation
        self._task = task

    def cancel(self) -> None:
        """Interrupts it; it cleans up behind itself before it ends."""
        self._task.cancel()

    async def done(self) -> ExitCode:
        """Its exit code, when it has ended; whoever waits may be cancelled without it."""
        await asyncio.wait([self._task])
        return ExitCode.INTERRUPTED if self._task.cancelled() else self._task.result()


class Session:
    """Not thread-safe but for `emit`, which any thread may call."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.state = State()
        self._running: dict[str, Handle] = {}
        self._failed_stages: dict[str, StageFailed] = {}
        self._recent: collections.deque[Event] = collections.deque(maxlen=EVENTS_KEPT)
        self._queue: dict[object, Event] | None = None
        self._news = asyncio.Event()
        self._is_closed = False
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._journal = Journal(project.state_dir)

    @cached_property
    def target(self) -> Target:
        """Opened when first used: the screen paints before psutil or Docker are loaded."""
        from asteria_tui.targets.registry import open_target

        return open_target(self.project)

    @cached_property
    def log_waker(self) -> Waker:
        """Wakes all that read the log of the current run, once somebody runs its `watch`."""
        from asteria_tui.logs.waker import Waker

        return Waker(self.project.logs_dir)

    # -- operations ---------------------------------------------------------------------------------------------

    def start(self, operation: Operation) -> Handle:
        """Begins an operation; raises BusyError where another one has the lane."""
        busy = self.state.running("workflow")
        if operation.lane == "workflow" and busy is not None:
            hint = "wait until it has ended" if busy.origin else "wait until it has ended, or cancel it"
            raise BusyError(f"{busy.name} is still running", hint=hint)
        id_ = f"{operation.name.replace(' ', '-')}-{secrets.token_hex(4)}"
        self.emit(
            OperationStarted(operation=id_, name=operation.name, lane=operation.lane, parameters=operation.parameters())
        )
        task = asyncio.ensure_future(self._perform(operation, id_))
        handle = self._running[id_] = Handle(id_, operation, task)
        task.add_done_callback(lambda done: self._ended(handle, done))
        return handle

    async def run(self, operation: Operation) -> ExitCode:
        """Begins an operation and waits for its end; being cancelled interrupts it."""
        try:
            handle = self.start(operation)
        except BusyError as error:
            self.emit(_failure(operation, error))
            return error.exit_code
        while handle.id in self._running:
            try:
                return await handle.done()
            except asyncio.CancelledError:
                handle.cancel()
        return await handle.done()

    def cancel(self, name: str) -> bool:
        """Interrupts the operation of that name that was started last; False when none runs."""
        for handle in reversed(self._running.values()):
            if handle.operation.name == name:
                handle.cancel()
                return True
        return False

    async def close(self, report: Callable[[str], object] = lambda _: None) -> None:
        """Interrupts what runs and waits for its clean-up, then ends the stream; `report` says what is waited for."""
        await self.settle(report)
        self._is_closed = True
        self._news.set()

    async def settle(self, report: Callable[[str], object] = lambda _: None) -> None:
        """Interrupts everything and returns when it has cleaned up."""
        handles = list(self._running.values())
        for handle in handles:
            handle.cancel()
        waiting = [asyncio.ensure_future(handle.done()) for handle in handles]
        if not waiting:
            return
        _, late = await asyncio.wait(waiting, timeout=PATIENCE)
        if late:
            names = ", ".join(handle.operation.name for handle in self._running.values())
            report(f"waiting for {names} to clean up …")
            await asyncio.wait(late, timeout=CLOSE_TIMEOUT)

    async def _perform(self, operation: Operation, id_: str) -> ExitCode:
        """To its end: exactly one OperationFinished or OperationFailed, whatever is raised."""
        from asteria_tui.operations.base import Context, locked  # loads psutil: not before the first paint

        begun = time.monotonic()

        def emit(event: Event) -> None:
            self.emit(msgspec.structs.replace(event, operation=id_))

        def is_busy() -> bool:
            return self.state.running("workflow") is not None

        try:
            async with contextlib.AsyncExitStack() as held:
                if operation.lane == "workflow":
                    await held.enter_async_context(locked(self.project, emit))
                context = Context(self.project, self.target, emit, lambda: self.state, is_busy)
                if operation.lane == "background":
                    context = msgspec.structs.replace(context, log_changes=self.log_waker.reader().wait)
                code = await operation.run(context) or ExitCode.DONE
        except asyncio.CancelledError:
            if operation.lane != "background":
                raise
            code = ExitCode.INTERRUPTED  # how whoever goes on until then ends
        except AsteriaError as error:
            emit(_failure(operation, error, self._failed_stages.get(id_), time.monotonic() - begun))
            return error.exit_code
        except Exception as bug:  # noqa: BLE001 the edge: what is no error of ours is a bug of ours
            emit(self._crash(operation, bug, time.monotonic() - begun))
            return ExitCode.FAILED
        emit(OperationFinished(name=operation.name, exit_code=code, seconds=time.monotonic() - begun))
        return code

    def _ended(self, handle: Handle, task: asyncio.Task[ExitCode]) -> None:
        del self._running[handle.id]
        if task.cancelled():  # perhaps before it had begun
            failed = self._failed_stages.get(handle.id)
            error = AsteriaError("interrupted")
            error.exit_code = ExitCode.INTERRUPTED
            self.emit(msgspec.structs.replace(_failure(handle.operation, error, failed), operation=handle.id))
        self._failed_stages.pop(handle.id, None)

    def _crash(self, operation: Operation, bug: Exception, seconds: float) -> OperationFailed:
        from asteria_tui.crashes import sentence, write_crash_report

        doing = f"{operation.name} {operation.parameters()}"
        file = write_crash_report(self.project.state_dir, bug, self._recent, doing)
        return OperationFailed(
            name=operation.name,
            title=sentence(bug),
            hint=f"{self.project.relative(file)} has what a report needs" if file else "",
            exit_code=ExitCode.FAILED,
            seconds=seconds,
            crash_report=file,
        )

    # -- facts --------------------------------------------------------------------------------------------------

    def emit(self, event: Event) -> None:
        """One more fact, for the state and for whoever reads `events()`."""
        if threading.get_ident() != self._thread:
            self._loop.call_soon_threadsafe(self.emit, event)
            return
        before = self.state
        self._take(event)
        if isinstance(event, StageFailed):
            self._failed_stages.setdefault(event.operation, event)
        elif isinstance(event, Predicted):
            answers.remember(self.project.state_dir, event)
        last_failure.keep(self.project.state_dir, before, event)
        self._journal.keep(before, event)

    def _take(self, event: Event) -> None:
        self.state = reduce(self.state, event)
        self._recent.append(event)
        if self._queue is not None:
            key = _key(event)
            self._queue.pop(key, None)
            self._queue[key] = event
        self._news.set()

    async def watch_others(self) -> None:
        """Takes in what other processes do to the project, as they do it; never ends by itself."""
        from asteria_tui.logs.waker import Waker

        waker = Waker(self.project.state_dir)
        reader = waker.reader()
        watching = asyncio.ensure_future(waker.watch())
        self._journal.open()
        try:
            while True:
                for event in self._journal.news():
                    self._take(event)
                    if isinstance(event, OperationFinished | OperationFailed):
                        self.log_waker.wake()  # the monitor looks at once what became of server and keys
                await reader.wait(ALIVE_EVERY if self._journal.is_waiting else None)
        finally:
            watching.cancel()
            self._journal.close()

    def events(self) -> AsyncIterator[Event]:
        """Every event from now on, in order, until `close`; for one reader.

        A newer progress, server or models event of the same operation takes the place of one that waits; no other
        is ever dropped.
        """
        self._queue = {}
        return self._stream(self._queue)

    async def _stream(self, queue: dict[object, Event]) -> AsyncIterator[Event]:
        while True:
            while queue:
                yield queue.pop(next(iter(queue)))
            if self._is_closed:
                return
            self._news.clear()
            await self._news.wait()

    async def changes(self) -> AsyncIterator[State]:
        """The state each time that something happened, however much it was; for one reader, instead of `events`."""
        while not self._is_closed:
            self._news.clear()
            yield self.state
            await self._news.wait()

    def restore(self) -> None:
        """Brings the last answers and the last failure of earlier sessions back."""
        self.state = msgspec.structs.replace(
            self.state,
            predictions=tuple(answers.recall(self.project.state_dir)),
            last_failure=last_failure.load(self.project.state_dir),
        )

    # -- the project --------------------------------------------------------------------------------------------

    def choose_target(self, name: TargetName) -> None:
        """From now on TorchServe runs there; a server that runs elsewhere goes on running. Raises TargetError.

        What goes on in the background begins anew there.
        """
        from asteria_tui.targets.registry import open_target

        server = msgspec.structs.replace(self.project.settings.server, target=name)
        settings = msgspec.structs.replace(self.project.settings, server=server)
        project = Project(root=self.project.root, settings=settings)
        open_target(project)
        self.project = project
        vars(self).pop("target", None)
        self.emit(ServerChanged(state="stopped", target=name))
        for handle in list(self._running.values()):
            if handle.operation.lane == "background":
                handle.cancel()
                self.start(handle.operation)

    @cached_property
    def _run_watch(self) -> RunWatch:
        from asteria_tui.archive.source_map import source_map
        from asteria_tui.logs.watch import RunWatch

        return RunWatch(self.project.logs_dir, lambda: source_map(self.project))

    async def causes(self) -> KnownCauses:
        """The causes that the log names, read by a thread."""
        return await asyncio.to_thread(self._run_watch.refresh)

    def source_of(self, traceback: str, model: str | None) -> tuple[str, int] | None:
        """The file and line of the project that a traceback in the log came from; None if none is the project's."""
        from asteria_tui.archive.source_map import source_map
        from asteria_tui.logs.cause import source_frame

        frame = source_frame(traceback, model, source_map(self.project))
        return (frame.file, frame.line) if frame is not None and frame.is_project else None


def _key(event: Event) -> object:
    """What a newer event replaces a waiting one by: equal for none but those. Of progress each text comes once."""
    if not isinstance(event, _REPLACEABLE):
        return object()
    return (type(event), event.operation, *(getattr(event, name, None) for name in ("stage", "model", "text")))


def _failure(
    operation: Operation, error: AsteriaError, failed: StageFailed | None = None, seconds: float = 0.0
) -> OperationFailed:
    if failed is not None and failed.title != error.title:
        failed = None  # it failed again afterwards, and that is not reported yet
    return OperationFailed(
        name=operation.name,
        stage=failed.stage if failed else "",
        model=failed.model if failed else None,
        title=error.title,
        detail=error.detail,
        hint=error.hint,
        exit_code=error.exit_code,
        seconds=seconds,
        cause=error.cause,
    )
