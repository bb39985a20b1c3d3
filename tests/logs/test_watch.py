"""The causes that are watched are those of the current run; what earlier runs left is kept apart."""

from __future__ import annotations

import json

import pytest

from asteria_tui.logs.cause import SourceMap
from asteria_tui.logs.watch import KnownCauses, RunWatch

FRAME = ["Traceback (most recent call last):", '  File "/x/handler.py", line 3, in handle', "    return 1 / 0"]


class Runs:
    """The folders of some runs, and the link to the current one."""

    def __init__(self, folder):
        self.folder = folder
        self.link = folder / "logs"

    def begin(self, name):
        run = self.folder / name
        run.mkdir()
        self.link.unlink(missing_ok=True)
        self.link.symlink_to(run)
        self.log("started")

    def log(self, *lines):
        with (self.link / "records.jsonl").open("a") as file:
            for text in lines:
                record = {"t": 1_790_000_000_000, "l": "INFO", "th": "W-9000-m_1.0-stdout", "lg": "MODEL_LOG"}
                file.write(json.dumps({**record, "m": text, "x": ""}, separators=(",", ":")) + "\n")

    def fail(self, message):
        self.log(*FRAME, f"ValueError: {message}", "after it")


@pytest.fixture
def runs(tmp_path):
    return Runs(tmp_path)


def named(known):
    return [[(cause.message, cause.count) for cause in causes] for causes in (known.current, known.older)]


def test_a_new_run_makes_the_causes_before_it_older(runs):
    watch = RunWatch(runs.link, SourceMap)
    assert watch.refresh() == KnownCauses()
    runs.begin("1")
    runs.fail("a")
    runs.fail("b")
    runs.fail("b")
    assert named(watch.refresh()) == [[("a", 1), ("b", 2)], []]
    runs.fail("c")
    runs.begin("2")
    assert named(watch.refresh()) == [[], [("a", 1), ("b", 2), ("c", 1)]]
    runs.fail("b")
    assert named(watch.refresh()) == [[("b", 1)], [("a", 1), ("c", 1)]]
    runs.begin("3")
    assert named(watch.refresh()) == [[], [("a", 1), ("c", 1), ("b", 1)]]


def test_the_same_run_goes_on_counting(runs):
    runs.begin("1")
    watch = RunWatch(runs.link, SourceMap)
    for count in (1, 2):
        runs.fail("a")
        assert named(watch.refresh()) == [[("a", count)], []]
