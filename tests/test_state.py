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


def started(id_: str, name: str = "up", lane: events.Lane = "workflow") -> events.OperationStarted:
    return events.OperationStarted(operation=id_, name=name, lane=lane)


def failed(id_: str, name: str = "up", **fields: str) -> events.OperationFailed:
    return events.OperationFailed(operation=id_, name=name, title="no", **fields)  # type: ignore[arg-type]


def test_a_new_workflow_forgets_the_stages_of_the_one_before():
    stage = events.StageFailed(operation="a", stage="ready", title="no")
    before = after(
        started("a"),
        events.StageStarted(operation="a", stage="ready"),
        stage,
        failed("a", stage="ready"),
    )
    assert before.failure == stage
    again = reduce(before, started("b", "restart"))
    assert (again.failure, again.stages) == (None, ())
    # As long as none has succeeded, the last failure is still known.
    assert again.last_failure == before.last_failure


def test_the_last_failure_goes_with_the_next_success_of_something_that_has_stages():
    before = after(started("a"), failed("a"))
    finished = events.OperationFinished(operation="b", name="keys")
    assert reduce(reduce(before, started("b", "keys", "request")), finished).failure == before.last_failure
    worked = reduce(
        reduce(before, started("b", "predict", "request")), events.StageStarted(operation="b", stage="predict")
    )
    assert reduce(worked, events.OperationFinished(operation="b", name="predict")).failure is None
    unwell = events.OperationFinished(operation="b", name="predict", exit_code=4)
    assert reduce(worked, unwell).failure == before.last_failure


def test_no_stage_is_left_running_by_an_operation_that_failed():
    state = after(
        started("a"),
        events.StageStarted(operation="a", stage="package"),
        events.StageStarted(operation="b", stage="predict"),
        failed("a"),
    )
    assert [(stage.stage, stage.status) for stage in state.stages] == [("package", "failed"), ("predict", "running")]
    assert state.stages[0].failure == state.last_failure
    assert state.operations == ()


def test_what_was_refused_had_not_begun():
    state = after(started("a"), events.StageStarted(operation="a", stage="package"))
    assert reduce(state, failed("")) is state


def test_a_stage_that_never_began_shows_no_progress():
    assert after(events.StageProgressed(stage="package", text="waiting")).stages == ()


def test_progress_changes_no_stage_that_is_done():
    done = events.StageFinished(stage="start", summary="http://127.0.0.1:8080")
    state = after(events.StageStarted(stage="start"), done)
    assert reduce(state, events.StageProgressed(stage="start", text="waiting for Java")) is state


def test_a_single_prediction_keeps_the_pipeline():
    state = after(
        started("a"),
        events.StageStarted(stage="package"),
        events.StageFinished(stage="package"),
        events.StageStarted(stage="predict"),
        events.StageFinished(stage="predict"),
    )
    again = reduce(reduce(state, started("b", "predict", "request")), events.StageStarted(stage="predict"))
    assert [(stage.stage, stage.status) for stage in again.stages] == [("package", "done"), ("predict", "running")]


def test_sources_that_are_not_what_is_served_are_outdated():
    model = events.Model(name="m", version="1", sha256="old")
    state = after(events.ModelsChanged(models=(model,)))
    assert state.outdated() == ()
    same = events.SourcesChanged(sources=(events.SourceState(model="m", sha256="old"),))
    assert reduce(state, same).outdated() == ()
    changed = reduce(state, events.SourcesChanged(sources=(events.SourceState(model="m", sha256="new"),)))
    assert [source.model for source in changed.outdated()] == ["m"]
    answer = events.Predicted(model="m", status=200, milliseconds=1, archive_sha256="old")
    assert changed.is_of_older_code(answer)
    assert not reduce(state, same).is_of_older_code(answer)
    # Who knows nothing claims nothing.
    unknown = events.Predicted(model="m", status=200, milliseconds=1)
    assert not changed.is_of_older_code(unknown)
    assert not state.is_of_older_code(answer)


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
    assert reduce(state, events.Event()) is state


def test_an_interruption_does_not_hide_what_failed_before():
    before = after(started("a"), failed("a"))
    interrupted = events.OperationFailed(operation="b", name="up", title="interrupted", exit_code=130)
    assert reduce(reduce(before, started("b")), interrupted).last_failure == before.last_failure
    assert after(started("b"), interrupted).last_failure == interrupted


def test_an_answer_of_dev_is_of_older_code_when_other_sources_are_in_service():
    answer = events.Predicted(model="m", status=200, milliseconds=1.0, sources_sha256="a")
    state = after(events.Reloaded(model="m", sources_sha256="a"), events.Reloaded(model="other", sources_sha256="c"))
    assert not State().is_of_older_code(answer)
    assert not state.is_of_older_code(answer)
    assert reduce(state, events.Reloaded(model="m", sources_sha256="b")).is_of_older_code(answer)


def test_a_stage_that_works_again_makes_up_for_its_failure_while_its_operation_goes_on():
    """As `dev` does, which starts the server and never ends by itself."""
    failed = [
        events.OperationStarted(operation="up-1", name="up", lane="workflow"),
        events.StageStarted(operation="up-1", stage="start"),
        events.StageFailed(operation="up-1", stage="start", title="ports are taken"),
        events.OperationFailed(operation="up-1", name="up", stage="start", title="ports are taken"),
    ]
    state = after(*failed)
    assert state.last_failure is not None
    dev = [
        events.OperationStarted(operation="dev-1", name="dev", lane="background"),
        events.StageStarted(operation="dev-1", stage="start"),
        events.StageFinished(operation="dev-1", stage="start"),
    ]
    assert fold(reduce, dev, state).last_failure is None
