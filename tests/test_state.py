"""The reducer, by replayed lists of events."""

from __future__ import annotations

from functools import reduce as fold

from asteria_tui import events
from asteria_tui.state import PREDICTIONS_KEPT, State, reduce


def after(*happened: events.Event) -> State:
    return fold(reduce, happened, State())


def test_a_stage_goes_from_running_to_done():
    begun = events.StageStarted(at=1.0, stage="package", model="m")
    assert [stage.status for stage in after(begun).stages] == ["running"]
    [stage] = after(begun, events.StageFinished(stage="package", model="m", summary="1 MB", seconds=0.5)).stages
    assert (stage.status, stage.summary, stage.seconds, stage.started_at) == ("done", "1 MB", 0.5, 1.0)


def test_stages_of_several_models_stand_side_by_side():
    state = after(
        events.StageStarted(stage="package", model="a"),
        events.StageFinished(stage="package", model="a"),
        events.StageStarted(stage="package", model="b"),
        events.StageFinished(stage="package", model="b"),
        events.StageStarted(stage="start"),
    )
    assert [(stage.stage, stage.model, stage.status) for stage in state.stages] == [
        ("package", "a", "done"),
        ("package", "b", "done"),
        ("start", None, "running"),
    ]


def test_a_new_workflow_forgets_the_one_before():
    failed = events.StageFailed(stage="ready", title="no")
    before = after(events.StageStarted(stage="package"), events.StageStarted(stage="ready"), failed)
    assert before.failure == failed
    again = reduce(before, events.StageStarted(stage="package"))
    assert again.failure is None
    assert [stage.stage for stage in again.stages] == ["package"]


def test_a_single_prediction_keeps_the_pipeline():
    state = after(
        events.StageStarted(stage="package"),
        events.StageFinished(stage="package"),
        events.StageStarted(stage="predict"),
        events.StageFinished(stage="predict"),
    )
    again = reduce(state, events.StageStarted(stage="predict"))
    assert [(stage.stage, stage.status) for stage in again.stages] == [("package", "done"), ("predict", "running")]


def test_a_stopped_server_has_no_keys_and_no_models():
    state = after(
        events.ServerChanged(state="running"),
        events.ModelsChanged(models=(events.Model(name="m", version="1"),)),
        events.KeysChanged(keys=(events.Key(kind="api", token="x"),)),
        events.ServerChanged(state="stopped", reason="killed"),
    )
    assert (state.models, state.keys, state.server.reason) == ((), (), "killed")


def test_ready_means_a_worker_for_each_model():
    ready = events.Model(name="a", version="1", workers=(events.Worker(id="9000", status="READY"),))
    starting = events.Model(name="b", version="1", workers=(events.Worker(id="9001", status="UNLOADING"),))
    running = events.ServerChanged(state="running")
    assert after(running, events.ModelsChanged(models=(ready,))).is_ready
    assert not after(running, events.ModelsChanged(models=(ready, starting))).is_ready


def test_memory_is_bounded():
    many = [events.Predicted(model="m", status=200, milliseconds=i) for i in range(PREDICTIONS_KEPT + 10)]
    state = after(*many)
    assert len(state.predictions) == PREDICTIONS_KEPT
    assert state.predictions[-1].milliseconds == PREDICTIONS_KEPT + 9


def test_what_concerns_no_state_changes_nothing():
    state = after(events.StageStarted(stage="package"))
    assert reduce(state, events.LogBatch()) is state
