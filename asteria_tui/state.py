"""The single truth that every panel, `status` and the tests share: events reduced to one frozen State."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import msgspec

from asteria_tui import events
from asteria_tui.errors import ExitCode
from asteria_tui.events import Event, Key, Lane, Model, OperationFailed, Predicted, SourceState, StageFailed

Status = Literal["running", "done", "failed"]
Failure = StageFailed | OperationFailed
PREDICTIONS_KEPT = 50
COMMANDS_KEPT = 200
NOTICES_KEPT = 20
RELOADS_KEPT = 200
ELSEWHERE_KEPT = 100


class OperationState(msgspec.Struct, frozen=True, kw_only=True):
    """An operation that runs."""

    id: str
    name: str
    lane: Lane
    started_at: float = 0.0
    origin: str = ""
    """Where else it runs; empty for one of this session."""


class StageState(msgspec.Struct, frozen=True, kw_only=True):
    """Where one stage of the last workflow stands, or of a request since."""

    stage: str
    model: str | None = None
    operation: str = ""
    status: Status = "running"
    started_at: float = 0.0
    seconds: float = 0.0
    summary: str = ""
    unchanged: bool = False
    done: float | None = None
    total: float | None = None
    unit: str = ""
    failure: Failure | None = None


class State(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is known of one project's server and of the last workflow."""

    operations: tuple[OperationState, ...] = ()
    """Those that run, in the order in which they began."""
    elsewhere: tuple[str, ...] = ()
    """The ids of those that other processes ran or run."""
    stages: tuple[StageState, ...] = ()
    """In the order in which they began; one for each stage and model."""
    last_failure: OperationFailed | None = None
    """Of the last operation that failed, until one succeeds."""
    server: events.ServerChanged = events.ServerChanged(at=0.0, state="stopped")
    keys: tuple[Key, ...] = ()
    models: tuple[Model, ...] = ()
    archives: dict[str, events.ArchiveBuilt] = {}
    sources: dict[str, SourceState] = {}
    """The sources of each model as they are on disk, where somebody watches them."""
    descriptions: dict[str, tuple[dict[str, Any], ...]] = {}
    """All that the server says of each version of a model, where it was asked."""
    stores: events.StoresCompared | None = None
    metrics: dict[str, float] = {}
    usage: dict[int, events.WorkerUsage] = {}
    """What the processes of the workers use, by pid."""
    traffic: events.TrafficChanged = events.TrafficChanged(at=0.0)
    predictions: tuple[Predicted, ...] = ()
    reloads: tuple[events.Reloaded, ...] = ()
    """What each save did while `dev` ran, the newest last."""
    held: dict[int, events.RequestHeld] = {}
    """The requests that wait for a fix, by the pid of their worker."""
    notices: tuple[events.WarningRaised, ...] = ()
    commands: tuple[events.CommandRan, ...] = ()

    @property
    def failure(self) -> Failure | None:
        """What stands in the way now: of the workflow that runs, else of the last operation."""
        failed = next((stage.failure for stage in self.stages if stage.failure), None)
        return failed or (None if self.running("workflow") else self.last_failure)

    @property
    def is_ready(self) -> bool:
        """Whether the server runs and each of its models has a worker that can answer."""
        return self.server.state == "running" and all(model.is_ready for model in self.models)

    def running(self, lane: Lane) -> OperationState | None:
        """The operation that was begun last in that lane, of those that run."""
        return next((one for one in reversed(self.operations) if one.lane == lane), None)

    def is_step(self, operation: str) -> bool:
        """Whether a running operation changes something or has stages, so that its end counts as failure or success."""
        is_workflow = any(one.id == operation and one.lane == "workflow" for one in self.operations)
        return is_workflow or any(stage.operation == operation for stage in self.stages)

    def is_made_up_for(self, event: events.StageFinished) -> bool:
        """Whether that stage is the one that the last failure was of."""
        last = self.last_failure
        return last is not None and (last.stage, last.model) == (event.stage, event.model)

    def is_running(self, name: str) -> bool:
        """Whether an operation of that name runs."""
        return any(operation.name == name for operation in self.operations)

    def outdated(self) -> tuple[SourceState, ...]:
        """The sources that are newer than what the server has loaded of them."""
        served = {model.name: model.sha256 for model in self.models if model.sha256}
        return tuple(
            source
            for name, source in self.sources.items()
            if name in served and (source.error or source.sha256 not in {"", served[name]})
        )

    @property
    def is_up(self) -> bool:
        """Whether a server runs, well or not."""
        return self.server.state in {"running", "unwell"}

    def is_past(self, answer: Predicted) -> bool:
        """Whether it was given by an earlier server, or something failed since."""
        started, failure = self.server.started_at, self.failure
        is_overtaken = failure is not None and failure.at > answer.at and failure.operation != answer.operation
        return not self.is_up or is_overtaken or (started is not None and answer.at < started)

    def is_of_older_code(self, answer: Predicted) -> bool:
        """Whether the sources of the model that gave this answer are others by now."""
        if answer.sources_sha256:
            in_service = (event.sources_sha256 for event in reversed(self.reloads) if event.model == answer.model)
            return next(in_service, answer.sources_sha256) != answer.sources_sha256
        source = self.sources.get(answer.model)
        return source is not None and answer.archive_sha256 not in {"", source.sha256}


def reduce(state: State, event: Event) -> State:
    """The state after `event`; an event that changes nothing here gives the same object."""
    step = _STEPS.get(type(event))
    return step(state, event) if step else state


def _replace(**changes: Callable[[State, Any], object]) -> Callable[[State, Any], State]:
    def step(state: State, event: Any) -> State:
        return msgspec.structs.replace(state, **{name: make(state, event) for name, make in changes.items()})

    return step


def _begin(state: State, event: events.OperationStarted) -> State:
    begun = OperationState(
        id=event.operation, name=event.name, lane=event.lane, started_at=event.at, origin=event.origin
    )
    # What the workflow before said is over.
    stages = () if event.lane == "workflow" else state.stages
    elsewhere = (*state.elsewhere, event.operation)[-ELSEWHERE_KEPT:] if event.origin else state.elsewhere
    return msgspec.structs.replace(state, operations=(*state.operations, begun), stages=stages, elsewhere=elsewhere)


def _finish(state: State, event: events.OperationFinished) -> State:
    last = state.last_failure
    is_success = event.exit_code == 0
    is_same = last is not None and last.name == event.name
    if is_success and (is_same or state.is_step(event.operation)):
        last = None
    return msgspec.structs.replace(_without(state, event.operation), last_failure=last)


def _fail(state: State, event: OperationFailed) -> State:
    """No stage of it is left running, whatever ended it; one that was refused had not begun."""
    if not any(one.id == event.operation for one in state.operations):
        return state
    stages = tuple(
        msgspec.structs.replace(stage, status="failed", summary=event.title, failure=event)
        if stage.operation == event.operation and stage.status == "running"
        else stage
        for stage in state.stages
    )
    # Whoever interrupts knows; what failed before is still to be fixed.
    is_told = event.exit_code == ExitCode.INTERRUPTED and state.last_failure is not None
    last = state.last_failure if is_told else event
    return msgspec.structs.replace(_without(state, event.operation), stages=stages, last_failure=last)


def _without(state: State, operation: str) -> State:
    running = tuple(one for one in state.operations if one.id != operation)
    return msgspec.structs.replace(state, operations=running)


def _stage_started(state: State, event: events.StageStarted) -> State:
    begun = StageState(stage=event.stage, model=event.model, operation=event.operation, started_at=event.at)
    key = (event.stage, event.model)
    if any((old.stage, old.model) == key for old in state.stages):
        return _with_stage(state, begun)
    return msgspec.structs.replace(state, stages=(*state.stages, begun))


def _stage_progressed(state: State, event: events.StageProgressed) -> State:
    """What is done stays so: the server of before may be started again after the stage that failed."""
    key = (event.stage, event.model)
    if not any((stage.stage, stage.model) == key and stage.status == "running" for stage in state.stages):
        return state
    return _change_stage(state, event, summary=event.text, done=event.done, total=event.total, unit=event.unit)


def _stage_finished(state: State, event: events.StageFinished) -> State:
    """And what had failed there has not any more, also where its operation goes on, as `dev` does."""
    if state.is_made_up_for(event):
        state = msgspec.structs.replace(state, last_failure=None)
    return _change_stage(
        state,
        event,
        status="done",
        seconds=event.seconds,
        summary=event.summary,
        unchanged=event.unchanged,
        done=None,
        total=None,
    )


def _stage_failed(state: State, event: StageFailed) -> State:
    return _change_stage(state, event, status="failed", seconds=event.seconds, summary=event.title, failure=event)


def _change_stage(state: State, event: Any, **changes: Any) -> State:
    """The stage with those changes; one that never began shows nothing."""
    key = (event.stage, event.model)
    found = next((stage for stage in state.stages if (stage.stage, stage.model) == key), None)
    return _with_stage(state, msgspec.structs.replace(found, **changes)) if found else state


def _with_stage(state: State, stage: StageState) -> State:
    key = (stage.stage, stage.model)
    stages = tuple(stage if (old.stage, old.model) == key else old for old in state.stages)
    return msgspec.structs.replace(state, stages=stages)


def _server(state: State, event: events.ServerChanged) -> State:
    """One that goes down, or only begins, has no worker that answers."""
    if event.state == "stopped":
        return msgspec.structs.replace(state, server=event, keys=(), models=(), metrics={})
    if event.state in {"starting", "stopping"}:
        return msgspec.structs.replace(state, server=event, models=())
    return msgspec.structs.replace(state, server=event)


_STEPS: dict[type[Event], Callable[[State, Any], State]] = {
    events.OperationStarted: _begin,
    events.OperationFinished: _finish,
    events.OperationFailed: _fail,
    events.StageStarted: _stage_started,
    events.StageProgressed: _stage_progressed,
    events.StageFinished: _stage_finished,
    events.StageFailed: _stage_failed,
    events.ServerChanged: _server,
    events.KeysChanged: _replace(keys=lambda _, event: event.keys),
    events.ModelsChanged: _replace(models=lambda _, event: event.models),
    events.ModelDescribed: _replace(
        descriptions=lambda state, event: {**state.descriptions, event.model: event.versions}
    ),
    events.SourcesChanged: _replace(sources=lambda _, event: {source.model: source for source in event.sources}),
    events.MetricsSampled: _replace(metrics=lambda _, event: event.metrics),
    events.WorkersSampled: _replace(usage=lambda _, event: {worker.pid: worker for worker in event.workers}),
    events.TrafficChanged: _replace(traffic=lambda _, event: event),
    events.StoresCompared: _replace(stores=lambda _, event: event),
    events.ArchiveBuilt: _replace(archives=lambda state, event: {**state.archives, event.model: event}),
    events.Predicted: _replace(predictions=lambda state, event: (*state.predictions, event)[-PREDICTIONS_KEPT:]),
    events.Reloaded: _replace(reloads=lambda state, event: (*state.reloads, event)[-RELOADS_KEPT:]),
    events.RequestHeld: _replace(held=lambda state, event: {**state.held, event.pid: event}),
    events.RequestReleased: _replace(
        held=lambda state, event: {pid: held for pid, held in state.held.items() if pid != event.pid}
    ),
    events.WarningRaised: _replace(notices=lambda state, event: (*state.notices, event)[-NOTICES_KEPT:]),
    events.CommandRan: _replace(commands=lambda state, event: (*state.commands, event)[-COMMANDS_KEPT:]),
}
