"""A log tells each cause once: the root exception, the user's own line, how often, what the server does next."""

from pathlib import Path

import pytest

from asteria_tui.events import Frame, LogRecord
from asteria_tui.logs.cause import SourceMap, cause_of, folded
from asteria_tui.logs.causes import Causes
from asteria_tui.logs.traceback import Block
from tests.logs.whole import causes, records

SAMPLES = Path(__file__).parent / "samples"
UNPACKED = "/srv/demo/tmp/models/0123456789abcdef0123456789abcdef"


def of(name, **sources):
    return list(causes(records((SAMPLES / name).read_bytes().splitlines(keepends=True)), SourceMap(**sources)))


def block(text, **fields):
    shape = {"worker": "W-9000", "model": "m", "stream": "stdout", "phase": "", "first_at": 1.0, "last_at": 2.0}
    return Block(**(shape | fields), lines=text.split("\n"))


def told(text, sources=None, **fields):
    return cause_of(block(text, **fields), sources)


def test_an_import_error_of_the_handler_is_unmasked():
    _, cause = sorted(of("init_console.txt"), key=lambda cause: cause.exception)
    assert (
        cause.headline == "ModuleNotFoundError: No module named 'not_a_module_xyz', importfail_handler.py:1 in <module>"
    )
    assert (cause.count, cause.workers, cause.model, cause.phase) == (2, ("W-19001",), "importfail", "load")
    assert cause.retry_in == 1.0


def test_the_root_of_a_chain_is_named_first():
    cause, _ = sorted(of("init_console.txt"), key=lambda cause: cause.exception)
    assert cause.headline == "FileNotFoundError: weights missing, initfail_handler.py:3 in inner"
    assert cause.frame.code == 'def inner(): raise FileNotFoundError("weights missing")'


def test_equal_tracebacks_of_several_workers_are_counted():
    (cause,) = of("inference_console.txt", members={"inffail": {"inffail_handler.py": "handler/inffail_handler.py"}})
    assert (cause.count, cause.phase) == (5, "inference")
    assert set(cause.workers) == {"W-19000", "W-19001"}
    assert cause.first_at < cause.last_at
    assert (cause.frame.file, cause.frame.line, cause.frame.is_project) == ("handler/inffail_handler.py", 5, True)
    assert 'File "handler/inffail_handler.py", line 14' in cause.traceback


def test_every_way_to_fail_of_a_real_server():
    rows = {(row.model, row.exception, row.phase): row for row in of("server.jsonl")}
    assert set(rows) == {
        ("nope", "ModelNotFoundException", "load"),
        ("flaky", "ZeroDivisionError", "inference"),
        ("flaky", "ValueError", "inference"),
        ("flaky", "Worker died", "inference"),
        ("flaky", "RuntimeError", "inference"),
        ("flaky", "WorkerInitializationException", "inference"),
        ("badinit", "RuntimeError", "load"),
        ("syn", "SyntaxError", "load"),
        ("rt", "Worker died", "load"),
    }
    assert rows["flaky", "ZeroDivisionError", "inference"].count == 2
    assert rows["syn", "SyntaxError", "load"].headline == "SyntaxError: invalid syntax, syn.py:1 in <module>"
    message = rows["badinit", "RuntimeError", "load"].message
    assert message == 'Error(s) in loading state_dict for Linear:\n\tMissing key(s) in state_dict: "weight", "bias".'
    assert "\n" not in rows["badinit", "RuntimeError", "load"].headline


def test_a_taken_port_is_a_cause():
    (cause,) = of("bind_console.txt")
    assert cause.phase == "start"
    assert cause.exception == "IOException"
    assert cause.message.startswith("Failed to bind to address: http://127.0.0.1:")
    assert cause.message.endswith("Address already in use")
    assert cause.last_at > 0


@pytest.mark.parametrize(
    ("line", "headline"),
    [
        ("Invalid configuration: Model version 1.0 is taken", "Invalid configuration: Model version 1.0 is taken"),
        (
            "java not found, please make sure JAVA_HOME is set properly.",
            "java not found: please make sure JAVA_HOME is set properly.",
        ),
        ("Error: Could not find or load main class X", "Error: Could not find or load main class X"),
        ('Exception in thread "main" java.lang.NoSuchMethodError: readString', "NoSuchMethodError: readString"),
    ],
)
def test_a_server_that_cannot_start_says_why(line, headline):
    (cause,) = causes(records([line.encode()]))
    assert (cause.headline, cause.phase) == (headline, "start")


@pytest.mark.parametrize("line", ["Model server started.", "WARNING: x", 'Exception in thread "Thread-0" java.X'])
def test_other_lines_of_the_console_are_no_cause(line):
    assert list(causes(records([line.encode()]))) == []


def test_the_first_member_of_a_group_is_the_cause():
    text = f"""  + Exception Group Traceback (most recent call last):
  |   File "{UNPACKED}/handler.py", line 14, in handle
  |     raise ExceptionGroup("many", errors)
  | ExceptionGroup: many (2 sub-exceptions)
  +-+---------------- 1 ----------------
    | Exception Group Traceback (most recent call last):
    |   File "{UNPACKED}/handler.py", line 9, in check
    |     raise ExceptionGroup("inner", [e])
    | ExceptionGroup: inner (1 sub-exception)
    +-+---------------- 1 ----------------
      | Traceback (most recent call last):
      |   File "{UNPACKED}/handler.py", line 7, in check
      |     int("x")
      | ValueError: invalid literal
      +------------------------------------
    +---------------- 2 ----------------
    | KeyError: 'two'
    +------------------------------------"""
    cause = told(text)
    assert cause.headline == "ValueError: invalid literal, handler.py:7 in check"
    assert '  |   File "handler.py", line 14, in handle' in cause.traceback


def test_a_group_without_inner_frames_keeps_its_own():
    text = f"""  + Exception Group Traceback (most recent call last):
  |   File "{UNPACKED}/handler.py", line 14, in handle
  | ExceptionGroup: many (1 sub-exception)
  +-+---------------- 1 ----------------
    | ValueError: one
    +------------------------------------"""
    assert told(text).headline == "ValueError: one, handler.py:14 in handle"


def test_a_traceback_that_was_cut_off_still_names_the_line():
    cause = told(f'Traceback (most recent call last):\n  File "{UNPACKED}/handler.py", line 3, in handle')
    assert cause.headline == "Traceback: cut off before the exception, handler.py:3 in handle"


def test_a_worker_that_cannot_even_start():
    text = """Traceback (most recent call last):
  File "/venv/ts/model_service_worker.py", line 9, in <module>
    import yaml
ModuleNotFoundError: No module named 'yaml'"""
    cause = told(text, stream="stderr")
    assert cause.phase == "start"
    assert cause.frame == Frame(
        file="/venv/ts/model_service_worker.py", line=9, function="<module>", code="import yaml"
    )


def test_only_the_projects_own_files_are_the_projects():
    sources = SourceMap(members={"m": {"a/x.py": "src/a/x.py"}}, root="/home/me/project")
    assert sources.own(f"{UNPACKED}/a/x.py", "m") == "src/a/x.py"
    assert sources.own(f"{UNPACKED}/numpy.py", "m") is None
    assert sources.own(f"{UNPACKED}/handler.py", "other") == "handler.py"
    assert sources.own(f"{UNPACKED}/numpy/core.py", "other") is None
    assert sources.own("/home/me/project/handler/h.py", "m") == "handler/h.py"
    assert sources.own("/home/me/project/.venv/lib/x.py", "m") is None
    assert sources.own("/home/me/projects/x.py", "m") is None
    assert sources.own("/usr/lib/python3.11/json/decoder.py", "m") is None


def test_frames_of_frameworks_are_folded():
    (cause,) = of("inference_console.txt")
    text = folded(cause.traceback)
    assert "  … 3 frames of json\njson.decoder.JSONDecodeError" in text
    assert "  … 1 frame of ts\n" in text
    assert text.count("inffail_handler.py") == cause.traceback.count("inffail_handler.py")
    assert "site-packages" not in text


def test_what_differs_from_time_to_time_is_the_same_cause():
    seen = Causes()
    for n in range(3):
        frame = f'  File "{UNPACKED}/h.py", line 3, in f'
        lines = ["Traceback (most recent call last):", frame, f"ValueError: at 0x7f{n} got {n}.5"]
        worker = [LogRecord(time=n * 10.0, thread="t", source="worker", text=line) for line in lines]
        seen.feed(worker)
    seen.flush()
    assert [row.count for row in seen.rows] == [3]


def test_a_cause_is_known_as_soon_as_its_thread_is_silent():
    seen = Causes()
    lines = (SAMPLES / "init_console.txt").read_bytes().splitlines(keepends=True)
    first = [record for record in records(lines) if record.worker == "W-19001" and record.source == "worker"]
    end = next(i for i, record in enumerate(first) if "ts.torch_handler" in record.text)
    assert seen.feed(first[: end + 1]) == []
    (cause,) = seen.close_silent(first[end].time + 0.6)
    assert cause.exception == "ModuleNotFoundError"
    assert seen.of_worker("W-19001") == cause
    assert seen.close_silent(first[end].time + 5) == []


TOO_LONG = (
    " io.netty.handler.codec.TooLongFrameException: Message size exceed limit: 7000000\\n"
    "Consider increasing the 'max_response_size' in 'config.properties' to fix.\\n\\tat org.pytorch.serve.Codec"
)
CUT_OFF = [
    ("epoll-5-1", "o.WorkerThread", "Unknown exception", TOO_LONG),
    ("epoll-5-1", "o.WorkerThread", "9001 Worker disconnected. WORKER_MODEL_LOADED", ""),
    ("W-9001-m_1.0", "o.WorkerThread", "W-9001-m_1.0 State change WORKER_MODEL_LOADED -> WORKER_STOPPED", ""),
    ("W-9001-m_1.0-stdout", "MODEL_LOG", "Backend worker process died.", ""),
    ("W-9001-m_1.0", "o.WorkerThread", "Retry worker: 9001 in 1 seconds.", ""),
    ("W-9001-m_1.0-stdout", "MODEL_LOG", "Traceback (most recent call last):", ""),
    ("W-9001-m_1.0-stdout", "MODEL_LOG", "BrokenPipeError: [Errno 32] Broken pipe", ""),
    ("W-9001-m_1.0-stdout", "o.WorkerLifeCycle", "Stopped Scanner - W-9001-m_1.0-stdout", ""),
]
RESTARTED = ("W-9001-m_1.0", "o.WorkerThread", "W-9001-m_1.0 State change WORKER_STOPPED -> WORKER_STARTED", "")


def json_lines(*lines, start=1_795_411_292_000):
    return [
        f'{{"t":{start + 10 * n},"l":"INFO","th":"{thread}","lg":"{logger}","m":"{said}","x":"{error}"}}\n'.encode()
        for n, (thread, logger, said, error) in enumerate(lines)
    ]


@pytest.mark.parametrize("order", [CUT_OFF, [*CUT_OFF[:4], *CUT_OFF[5:], CUT_OFF[4]]], ids=["death first", "last"])
def test_an_answer_that_is_too_long_is_told_instead_of_the_broken_pipe_after_it(order):
    (cause,) = causes(records(json_lines(*order)))
    assert cause.headline == (
        "TooLongFrameException: Message size exceed limit: 7000000. "
        "Consider increasing the 'max_response_size' in 'config.properties' to fix."
    )
    assert (cause.model, cause.worker, cause.phase, cause.count) == ("m", "W-9001", "inference", 1)


def test_a_retry_is_over_once_the_worker_has_started():
    seen = Causes()
    seen.feed(records(json_lines(*CUT_OFF)))
    seen.flush()
    assert [row.retry_in for row in seen.rows] == [1.0]
    seen.feed(records(json_lines(RESTARTED, start=1_795_411_295_000)))
    assert [row.retry_in for row in seen.rows] == [None]


@pytest.mark.parametrize(
    ("frame", "phase"),
    [
        ('  File "/v/site-packages/ts/model_service_worker.py", line 133, in load_model', "load"),
        ('  File "/v/site-packages/ts/service.py", line 135, in predict', "inference"),
        ('  File "/home/me/ts/handler.py", line 1, in predict', "start"),
    ],
)
def test_a_traceback_without_its_heading_tells_by_its_frames_what_failed(frame, phase):
    """Where the handler has closed stdout, logging writes what it could not write to stderr, in a form of its own."""
    lines = [
        "--- Logging error ---",
        "Traceback (most recent call last):",
        frame,
        '  File "/tmp/models/0123/handler.py", line 4, in handle',
        "ValueError: boom",
        "",
        "During handling of the above exception, another exception occurred:",
        "",
        "Traceback (most recent call last):",
        '  File "/usr/lib/python3.11/logging/__init__.py", line 1113, in emit',
        "ValueError: I/O operation on closed file.",
        "Call stack:",
    ]
    shape = {"time": 1.0, "source": "worker", "thread": "W-9000-m_1.0-stderr", "stream": "stderr", "worker": "W-9000"}
    seen = Causes()
    seen.feed(LogRecord(text=line, model="m", **shape) for line in lines)
    seen.flush()
    [cause] = seen.rows
    assert (cause.exception, cause.message, cause.phase) == ("ValueError", "boom", phase)
