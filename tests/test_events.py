"""Events: what a script reads is what a test replays."""

from __future__ import annotations

import json

import pytest

from asteria_tui import events
from asteria_tui.events import Cause, Event, Frame, LogRecord, decode, encode

CAUSE = Cause(exception="ValueError", message="boom", frame=Frame(file="handler.py", line=3, function="handle"))
EVENTS: list[Event] = [
    events.StageStarted(stage="package", model="m"),
    events.StageProgressed(stage="package", done=1, total=2, unit="B"),
    events.StageFinished(stage="package", summary="1 MB", seconds=0.1),
    events.StageFailed(stage="ready", title="no", cause=CAUSE),
    events.WarningRaised(text="mind"),
    events.CommandRan(command="java"),
    events.ArchiveBuilt(model="m", path="m.mar", sha256="0" * 64, size=1, members=2),
    events.ServerChanged(state="running"),
    events.KeysChanged(),
    events.ModelsChanged(),
    events.MetricsSampled(metrics={"a": 1.0}),
    events.Predicted(model="m", status=503, milliseconds=2.0, cause=CAUSE),
    events.StoresCompared(),
    events.LogBatch(records=(LogRecord(time=None, text="text"),)),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_every_event_survives_the_way_through_json(event: Event):
    line = encode(event)
    assert decode(line) == event
    assert b"\n" not in line


def test_the_list_above_is_complete():
    assert {type(event) for event in EVENTS} == set(Event.__subclasses__())


def test_events_are_tagged_by_name():
    assert json.loads(encode(EVENTS[0]))["event"] == "stage_started"


def test_a_cause_in_one_line():
    assert CAUSE.headline == "ValueError: boom, handler.py:3 in handle"
