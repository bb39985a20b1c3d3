"""The single truth that every panel, `status` and the tests share: events reduced to one frozen State."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import msgspec

from asteria_tui import events
from asteria_tui.events import Event, Key, Model, Predicted, StageFailed, Step

Status = Literal["running", "done", "failed"]
PREDICTIONS_KEPT = 50
COMMANDS_KEPT = 200
NOTICES_KEPT = 20


class StageState(msgspec.Struct, frozen=True, kw_only=True):
    """Where one stage of the last workflow stands."""

    stage: Step
    model: str | None = None
    status: Status = "running"
    started_at: float = 0.0
    seconds: float = 0.0
    summary: str = ""
    unchanged: bool = False
    done: float | None = None
    total: float | None = None
    unit: str = ""
    failure: StageFailed | None = None


class State(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is known of one project's server and of the last workflow."""

    stages: tuple[StageState, ...] = ()
    """In the order in which they began; one for each stage and model."""
    server: events.ServerChanged = events.ServerChanged(at=0.0, state="stopped")
    keys: tuple[Key, ...] = ()
    models: tuple[Model, ...] = ()
    archives: dict[str, events.ArchiveBuilt] = {}
    stores: events.StoresCompared | None = None
    metrics: dict[str, float] = {}
    predictions: tuple[Predicted, ...] = ()
    notices: tuple[events.WarningRaised, ...] = ()
    commands: tuple[events.CommandRan, ...] = ()

    @property
    def failure(self) -> StageFailed | None:
        """The first failure of the last workflow."""
        return next((stage.failure for stage in self.stages if stage.failure), None)

    @property
    def is_ready(self) -> bool:
        """Whether the server runs and each of its models has a worker that can answer."""
        return self.server.state == "running" and all(model.is_ready for model in self.models)


def reduce(state: State, event: Event) -> State:
    """The state after `event`; an event that changes nothing here gives the same object."""
    step = _STEPS.get(type(event))
    return step(state, event) if step else state


def _replace(**changes: Callable[[State, Any], object]) -> Callable[[State, Any], State]:
    def step(state: State, event: Any) -> State:
        return msgspec.structs.replace(state, **{name: make(state, event) for name, make in changes.items()})

    return step


def _started(state: State, event: events.StageStarted) -> State:
    # A workflow begins with package or stop: what the one before said is over.
    before = () if event.stage in {"package", "stop"} and not _is_running(state) else state.stages
    begun = StageState(stage=event.stage, model=event.model, started_at=event.at)
    return _with_stage(msgspec.structs.replace(state, stages=before), begun)


def _is_running(state: State) -> bool:
    return bool(state.stages) and state.stages[-1].stage in {"package", "stop"}


def _progressed(state: State, event: events.StageProgressed) -> State:
    return _change_stage(state, event, summary=event.text, done=event.done, total=event.total, unit=event.unit)


def _finished(state: State, event: events.StageFinished) -> State:
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


def _failed(state: State, event: events.StageFailed) -> State:
    return _change_stage(state, event, status="failed", seconds=event.seconds, summary=event.title, failure=event)


def _change_stage(state: State, event: Any, **changes: Any) -> State:
    key = (event.stage, event.model)
    found = next(
        (stage for stage in state.stages if (stage.stage, stage.model) == key),
        StageState(stage=event.stage, model=event.model, started_at=event.at),
    )
    return _with_stage(state, msgspec.structs.replace(found, **changes))


def _with_stage(state: State, stage: StageState) -> State:
    key = (stage.stage, stage.model)
    if any((old.stage, old.model) == key for old in state.stages):
        stages = tuple(stage if (old.stage, old.model) == key else old for old in state.stages)
    else:
        stages = (*state.stages, stage)
    return msgspec.structs.replace(state, stages=stages)


def _server(state: State, event: events.ServerChanged) -> State:
    if event.state == "stopped":
        return msgspec.structs.replace(state, server=event, keys=(), models=(), metrics={})
    return msgspec.structs.replace(state, server=event)


_STEPS: dict[type[Event], Callable[[State, Any], State]] = {
    events.StageStarted: _started,
    events.StageProgressed: _progressed,
    events.StageFinished: _finished,
    events.StageFailed: _failed,
    events.ServerChanged: _server,
    events.KeysChanged: _replace(keys=lambda _, event: event.keys),
    events.ModelsChanged: _replace(models=lambda _, event: event.models),
    events.MetricsSampled: _replace(metrics=lambda _, event: event.metrics),
    events.StoresCompared: _replace(stores=lambda _, event: event),
    events.ArchiveBuilt: _replace(archives=lambda state, event: {**state.archives, event.model: event}),
    events.Predicted: _replace(predictions=lambda state, event: (*state.predictions, event)[-PREDICTIONS_KEPT:]),
    events.WarningRaised: _replace(notices=lambda state, event: (*state.notices, event)[-NOTICES_KEPT:]),
    events.CommandRan: _replace(commands=lambda state, event: (*state.commands, event)[-COMMANDS_KEPT:]),
}
