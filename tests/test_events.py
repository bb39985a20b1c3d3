"""Events: what a script reads is what a test replays."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, seed
from hypothesis import strategies as st

from asteria_tui import events
from asteria_tui.events import Cause, Event, Frame, decode, encode

CAUSE = Cause(exception="ValueError", message="boom", frame=Frame(file="handler.py", line=3, function="handle"))
EVENTS: list[Event] = [
    events.OperationStarted(operation="up-1", name="up", lane="workflow", parameters={"model": None}),
    events.OperationFinished(operation="up-1", name="up", seconds=1.0),
    events.OperationFailed(operation="up-1", name="up", stage="ready", title="no", cause=CAUSE),
    events.StageStarted(stage="package", model="m"),
    events.StageProgressed(stage="package", done=1, total=2, unit="B"),
    events.StageFinished(stage="package", summary="1 MB", seconds=0.1),
    events.StageFailed(stage="ready", title="no", cause=CAUSE),
    events.Checked(name="ports", title="a port is taken", exit_code=3),
    events.WarningRaised(text="mind"),
    events.CommandRan(command="java"),
    events.ArchiveBuilt(model="m", path="m.mar", sha256="0" * 64, size=1, members=2),
    events.ServerChanged(state="running"),
    events.KeysChanged(),
    events.ModelsChanged(),
    events.ModelDescribed(model="m", versions=({"modelName": "m"},)),
    events.SourcesChanged(sources=(events.SourceState(model="m", sha256="0" * 64),)),
    events.MetricsSampled(metrics={"a": 1.0}),
    events.WorkersSampled(workers=(events.WorkerUsage(pid=7, memory_bytes=1_000_000, cpu_percents=(0, 12)),)),
    events.TrafficChanged(
        models=(events.ModelTraffic(model="m", p50=8.2, counts=(0, 1)),), metrics=(("Things", 3.0, "Count"),)
    ),
    events.Predicted(model="m", status=503, milliseconds=2.0, cause=CAUSE),
    events.StoresCompared(),
    events.Reloaded(
        model="m",
        cause=CAUSE,
        samples=(
            events.SampleAnswer(
                sample="first", status=200, milliseconds=1.0, differences=(events.Difference(path="a", before=1),)
            ),
        ),
    ),
    events.RequestHeld(
        model="m",
        pid=7,
        cause=CAUSE,
        frames=(events.HeldFrame(file="handler.py", line=3, function="handle", source=("x",), locals={"x": "1"}),),
    ),
    events.RequestReleased(model="m", pid=7, seconds=1.0),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_every_event_survives_the_way_through_json(event: Event):
    line = encode(event)
    assert decode(line) == event
    assert b"\n" not in line


def test_the_list_above_is_complete():
    assert {type(event) for event in EVENTS} == set(Event.__subclasses__())


def test_events_are_tagged_by_name():
    assert json.loads(encode(EVENTS[0]))["event"] == "operation_started"
    # Names that scripts read outlive the names in the code.
    assert json.loads(encode(events.WarningRaised(text="mind")))["event"] == "noticed"
    link = events.ChainLink(model="m", place="source", name="h.py", matches=False)
    assert json.loads(encode(link))["is_whole"] is False


def test_what_earlier_versions_recorded_is_read():
    answer = b'{"event":"predicted","at":1.0,"model":"m","sample":"a","status":200,"milliseconds":9.0,"body":1}'
    assert decode(answer) == events.Predicted(at=1.0, model="m", sample="a", status=200, milliseconds=9.0, body=1)
    failed = decode(b'{"event":"stage_failed","at":1.0,"stage":"status","title":"no","exit_code":4}')
    assert isinstance(failed, events.StageFailed)


def test_a_cause_in_one_line():
    assert CAUSE.headline == "ValueError: boom, handler.py:3 in handle"


ACTING = "".join(
    chr(code) for code in (*range(0x20), *range(0x7F, 0xA0), 0x61C, *range(0x200E, 0x2010), *range(0x2028, 0x202F))
)


@seed(11)
@given(st.text(st.characters() | st.sampled_from(ACTING), max_size=30))
def test_nothing_in_json_acts_on_a_terminal_and_nothing_is_lost(text):
    event = events.WarningRaised(text=text)
    line = encode(event)
    assert not set(ACTING) & set(line.decode())
    assert decode(line) == event


def test_half_of_a_character_is_replaced():
    line = encode(events.Predicted(model="m\udc80", status=200, milliseconds=1.0, body={"\ud800": ["\x9b"]}))
    assert json.loads(line)["model"] == "m\ufffd"
    assert json.loads(line)["body"] == {"\ufffd": ["\x9b"]}
    assert isinstance(decode(line), events.Predicted)
