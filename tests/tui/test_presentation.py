"""What the panels say of a state, replayed from lists of events."""

from __future__ import annotations

import msgspec
import pytest

from asteria_tui import events
from asteria_tui.state import State, reduce
from asteria_tui.tui import details, served
from asteria_tui.tui import presentation as pres
from asteria_tui.tui.actions import ActionContext, key_names
from asteria_tui.tui.editor import editor_command
from asteria_tui.tui.panels.pipeline import _lines, _one_line
from asteria_tui.tui.server_text import rows as server_rows
from asteria_tui.tui.server_text import strip, subjects
from asteria_tui.tui.widgets.chart import area, ceiling
from asteria_tui.tui.widgets.sparkline import sparkline
from tests.tui.conftest import CAUSE, FAILED, NOW, RUNNING

KEYS = key_names({})


def server_lines(state, width, keys, **how):
    return [row.text for row in server_rows(state, width, keys, **how)]


def _after(*told):
    state = State()
    for event in told:
        state = reduce(state, event)
    return state


def test_a_green_pipeline():
    rows = pres.pipeline(_after(*RUNNING))
    assert [(row.name, row.status) for row in rows] == [(name, "done") for name in pres.STAGES]
    assert rows[-1].text == "score 0.0312"


def test_a_failure_says_cause_place_and_way_out_once():
    text = "\n".join(line.plain for line in _lines(pres.pipeline(_after(*FAILED)), 40, KEYS))
    assert text.count("KeyError") == 1
    assert "handler.py:23 in initialize" in text
    assert "→ fix line 23, then press u" in text
    assert max(map(len, text.splitlines())) <= 40


def test_the_pipeline_in_one_line_keeps_the_cause():
    line = _one_line(pres.pipeline(_after(*FAILED)), 76).plain
    assert "✘ ready  KeyError: 'threshold'" in line


def test_a_server_that_was_there_before_the_screen_proves_its_stages():
    found = [event for event in RUNNING if not event.__class__.__name__.startswith("Stage")]
    rows = {row.name: row for row in pres.pipeline(_after(*found))}
    assert [name for name, row in rows.items() if row.status == "done"] == ["start", "ready", "keys", "predict"]
    assert rows["predict"].text == "score 0.0312"


def test_a_model_of_older_code_is_marked():
    loaded = events.Model(name="m", version="1.0", sha256="old")
    state = _after(events.ServerChanged(state="running"), events.ModelsChanged(models=(loaded,)))
    assert not any("older code" in line.plain for line in server_lines(state, 40, KEYS))
    state = reduce(state, events.SourcesChanged(sources=(events.SourceState(model="m", sha256="new"),)))
    assert any(line.plain.startswith("m 1.0  older code") for line in server_lines(state, 40, KEYS))


def test_progress_is_a_share_where_the_whole_is_known():
    state = _after(
        events.StageStarted(stage="package", model="a"),
        events.StageProgressed(stage="package", model="a", text="copying", done=30, total=40, unit="B"),
    )
    assert pres.pipeline(state)[0].time == "75%"


def test_two_models_have_a_row_each():
    state = _after(
        *(events.StageStarted(stage="package", model=name) for name in ("a", "b")),
        *(events.StageFinished(stage="package", model=name, summary="1.0", seconds=1) for name in ("a", "b")),
    )
    assert [(row.model, row.text) for row in pres.pipeline(state) if row.name == "package"] == [
        ("a", "1.0"),
        ("b", "1.0"),
    ]


def test_the_strip_says_why_a_server_is_unwell():
    state = _after(*RUNNING, events.ServerChanged(state="unwell", reason="sample: no worker is ready"))
    assert strip(state, 76, KEYS).plain.startswith("● unwell  sample: no worker is ready")


def test_a_key_that_ended_says_so():
    assert pres.key_time(NOW - 1) == "expired"
    assert pres.key_time(None) == "no end"


def test_bars_are_as_high_as_their_share():
    assert sparkline([1, 4, 8], 10) == "▁▄█" or sparkline([1, 4, 8], 10) == "▂▅█"
    assert sparkline([5] * 30, 8) == "█" * 8
    assert sparkline([], 8) == ""


@pytest.mark.parametrize(
    ("chosen", "command"),
    [
        ("nano", ["nano", "+23", "a.py"]),
        ("code --wait", ["code", "--wait", "--goto", "a.py:23"]),
        ("/usr/bin/hx", ["/usr/bin/hx", "a.py:23"]),
        ("it's", ["it's", "+23", "a.py"]),
        (" ", ["ed", "+23", "a.py"]),
    ],
)
def test_each_editor_opens_at_the_line_in_its_own_way(chosen, command, monkeypatch):
    monkeypatch.setenv("VISUAL", "ed")
    assert editor_command(chosen, "a.py", 23) == command


def test_a_model_that_dev_serves_is_marked():
    loaded = events.Model(name="m", version="1.0", sha256="", is_dev=True)
    state = State(server=events.ServerChanged(state="running"), models=(loaded,))
    assert any(line.plain.startswith("m 1.0  dev") for line in server_lines(state, 40, KEYS))


LOADED = events.TrafficChanged(
    models=(
        events.ModelTraffic(
            model="sample", per_second=51, p50=8.2, p95=12, requests=60, failures=2, waiting=3,
            counts=(0,) * 58 + (50, 52), latencies=(0.0,) * 58 + (8.0, 9.0), failed=(0,) * 59 + (2,),
        ),
    ),
    metrics=(("Things", 3.0, "Count"), ("Stepping", 1.5, "ms")),
)  # fmt: skip


def test_the_server_panel_has_the_traffic_of_each_model_and_its_chart():
    state = _after(
        *RUNNING,
        LOADED,
        events.WorkersSampled(workers=(events.WorkerUsage(pid=4830, memory_bytes=9_000_000, cpu_percents=(3, 12)),)),
    )
    lines = [line.plain for line in server_lines(state, 40, KEYS)]
    assert "sample 1.0              51   8.2      12" in lines
    assert any(line.endswith("10 ms") for line in lines)
    assert any(line.endswith("100/s") for line in lines)
    assert "2 errors   3 waiting         last minute" in lines
    assert any(line.startswith("W-9000 ready     4830 9.0 MB  12 % ▃█") for line in lines)
    assert any(line.startswith("Stepping") and line.endswith("1.5 ms") for line in lines)
    assert max(map(len, lines)) <= 40


def test_what_is_not_known_of_a_worker_is_a_dash():
    model = events.Model(name="m", version="1", workers=(events.Worker(id="9000", status="UNLOADING"),))
    state = _after(events.ServerChanged(state="running"), events.ModelsChanged(models=(model,)))
    [line] = [line.plain for line in server_lines(state, 40, KEYS) if line.plain.startswith("W-")]
    assert line.split() == ["W-9000", "unlo…", "—", "—", "—"]


def test_more_workers_than_fit_are_a_number_that_opens():
    workers = tuple(events.Worker(id=str(9000 + number), status="READY") for number in range(13))
    state = _after(
        events.ServerChanged(state="running"),
        events.ModelsChanged(models=(events.Model(name="m", version="1", workers=workers),)),
    )
    made = server_rows(state, 40, KEYS)
    assert subjects(made)[-1] == ("more",)
    assert len(subjects(made)) == 1 + 10 + 1
    assert len(subjects(server_rows(state, 40, KEYS, all_workers=True))) == 1 + 13


def test_the_strip_has_the_traffic_in_one_row():
    line = strip(_after(*RUNNING, LOADED), 76, KEYS).plain
    assert line == "● sample 51/s p95 12 ms ▁▁▁▁▁▁▁▁██ 2 err · 1 worker · keys 47 min"


@pytest.mark.parametrize(("value", "top"), [(0, 1), (0.3, 0.5), (1, 1), (7, 10), (11, 20), (51, 100), (1_200, 2_000)])
def test_the_scale_of_a_chart_is_a_round_number(value, top):
    assert ceiling(value) == pytest.approx(top)


def test_a_chart_shows_the_newest_at_the_right_and_failures_in_their_colour():
    lines = area([0] * 58 + [1, 8], 30, 2, "$accent", {59}, "$text-error")
    assert [len(line.plain) for line in lines] == [30, 30]
    assert lines[1].plain.endswith("⣀⣸")
    assert [str(span.style) for line in lines for span in line.spans if span.end == 30] == ["$text-error"] * 2
    assert [line.plain for line in area([], 4, 2, "$accent")] == ["    ", "⣀⣀⣀⣀"]
    assert {line.plain[-1] for line in area([5] * 60, 60, 1, "$accent")} == {"⣿"}


def _served(*told, sources="a", store="a", loaded="a", changed_at=NOW - 8, operation=""):
    """A server that has loaded one archive, while the folder and the store hold perhaps others."""
    model = events.Model(
        name="m", version="1.0", sha256=loaded, min_workers=1, workers=(events.Worker(id="9000", status="READY"),)
    )
    source = events.SourceState(
        model="m", sha256=sources, store_sha256=store, changed_at=changed_at, newest="handler.py"
    )
    return _after(
        events.ServerChanged(state="running", started_at=NOW - 900),
        events.ModelsChanged(models=(model,)),
        events.SourcesChanged(sources=(source,)),
        *told,
    )


@pytest.mark.parametrize(
    ("hashes", "shown"),
    [
        ({}, "source = store = loaded"),
        ({"sources": "b"}, "source ≠ store = loaded"),
        ({"sources": "b", "store": "b"}, "source = store ≠ loaded"),
        ({"sources": "b", "store": "c"}, "source ≠ store ≠ loaded"),
    ],
)
def test_the_chain_stands_in_one_row(hashes, shown):
    state = _served(**hashes)
    assert served.chain(state).plain == shown
    assert shown in [line.plain for line in server_lines(state, 40, KEYS)]


def test_of_several_models_the_broken_chain_is_shown_with_its_name():
    state = _served()
    two = (events.Model(name="echo", version="1.0", sha256="old"), *state.models)
    sources = (events.SourceState(model="echo", sha256="new", store_sha256="old"), *state.sources.values())
    state = reduce(reduce(state, events.ModelsChanged(models=two)), events.SourcesChanged(sources=sources))
    assert served.chain(state).plain == "source ≠ store = loaded  echo"


def _header(project, state, width=120):
    return details.status_line(project, ActionContext(state=state, keys=KEYS), width).plain


def test_the_header_says_what_changed_since_it_was_loaded(project):
    assert "changed" not in _header(project, _served())
    assert "handler.py changed just now: u" in _header(project, _served(sources="b"))
    assert "handler.py changed 3 min ago: u" in _header(project, _served(sources="b", changed_at=NOW - 200))


def _failed_up():
    return (
        events.OperationStarted(operation="up-1", name="up", lane="workflow"),
        events.StageStarted(operation="up-1", stage="ready", model="m"),
        events.StageFailed(operation="up-1", stage="ready", model="m", title="KeyError", cause=CAUSE, at=NOW - 2),
        events.OperationFailed(operation="up-1", name="up", stage="ready", title="KeyError", cause=CAUSE, at=NOW - 2),
    )


def test_after_an_up_that_failed_the_header_says_which_code_answers(project):
    header = _header(project, _served(*_failed_up(), sources="b"))
    assert "ready failed, older code answers" in header
    assert header.index("ready failed") < header.index("● running")
    assert "ready failed, the same code answers" in _header(project, _served(*_failed_up()))
    assert "handler.py changed just now: u" in _header(project, _served(*_failed_up(), sources="b", changed_at=NOW))


@pytest.mark.parametrize("width", [80, 60, 40])
def test_that_fits_into_the_header_at_every_width(project, width):
    header = _header(project, _served(*_failed_up(), sources="b"), width)
    assert len(header) <= width
    assert "ready fai" in header


def test_after_a_failed_stage_the_later_ones_are_blank():
    told = (*RUNNING, *_failed_up())
    rows = pres.pipeline(_after(*told))
    after = [row for row in rows if row.name in {"keys", "predict"}]
    assert [(row.status, row.text) for row in after] == [("idle", ""), ("idle", "")]


@pytest.mark.parametrize("state", ["stopping", "starting"])
def test_a_server_that_goes_or_comes_has_no_worker_that_answers(project, state):
    told = _after(*RUNNING, events.ServerChanged(state=state))
    assert "worker" not in _header(project, told)
    assert "W-9000" not in "\n".join(line.plain for line in server_lines(told, 40, KEYS))


def test_a_failure_names_its_model_where_there_are_several():
    sources = events.SourcesChanged(sources=(events.SourceState(model="m"), events.SourceState(model="echo")))
    told = (sources, *_failed_up())
    assert any(
        line.plain.startswith("✘ ready    m  KeyError: 'threshold'")
        for line in _lines(pres.pipeline(_after(*told)), 60, KEYS)
    )
    assert "ready  m KeyError" in _one_line(pres.pipeline(_after(*told)), 76).plain


def test_a_value_is_not_cut_for_the_name_before_it():
    name = "a_model_with_a_very_long_name_indeed"
    told = [
        event
        for one in (name, "b")
        for event in (
            events.StageStarted(stage="predict", model=one),
            events.StageFinished(stage="predict", model=one, summary="score 0.0312", seconds=0.009),
        )
    ]
    [line, _] = [line.plain for line in _lines(pres.pipeline(_after(*told)), 42, KEYS) if "predict" in line.plain]
    assert line.startswith("✔ predict  a_model")
    assert "  score 0.0312" in line
    assert len(line) <= 42


def test_a_hint_names_the_key_of_what_the_command_does():
    assert pres.for_screen("`asteria-tui up` starts one", KEYS) == "u starts one"
    assert pres.for_screen("`asteria-tui models scale m 1` starts one", KEYS) == "+ starts one"
    assert pres.for_screen("`asteria-tui logs` shows it", KEYS) == "3 shows it"
    assert pres.for_screen("`asteria-tui logs --tracebacks` shows it", KEYS) == "t shows it"
    assert pres.for_screen("`asteria-tui inspect a.mar` shows it", KEYS) == "`asteria-tui inspect a.mar` shows it"


def test_a_request_that_failed_says_nothing_of_the_code_where_that_is_the_present_one(project):
    failed = [
        msgspec.structs.replace(one, stage="predict")
        if isinstance(one, events.StageFailed | events.OperationFailed)
        else one
        for one in _failed_up()
        if not isinstance(one, events.StageStarted)
    ]
    assert "predict failed  ●" in _header(project, _served(*failed))
    assert "predict failed, older code answers  ●" in _header(project, _served(*failed, sources="b"))
