"""Logs that lead to the cause: two workers of a real server, and a handler that raises for some inputs."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import COMMAND, ECHO, Folder

pytestmark = pytest.mark.torchserve

BOOMS, OTHERS = 4, 2


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Folder]:
    """Two workers that raised two different exceptions, some of them at the same time."""
    folder = Folder(tmp_path_factory.mktemp("failing"))
    folder.write("handler.py", ECHO)
    folder.write("samples/first.json", "1")
    folder.write("asteria.toml", '[models.echo]\nhandler = "handler.py"\nsamples = "samples"\nworkers = 2\n')
    folder.run("up")
    payloads = ['{"raise": "boom"}'] * BOOMS + ['{"raise": "other"}'] * OTHERS
    sent = [
        subprocess.Popen(
            [*COMMAND, "predict", "-d", payload],
            cwd=folder.path,
            env=folder.env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for payload in payloads
    ]
    assert {process.wait(timeout=60) for process in sent} == {6}
    yield folder
    folder.down()


def test_one_row_for_each_cause_with_its_count_file_and_line(failing: Folder):
    rows = failing.run("logs", "--tracebacks").out.splitlines()
    line = next(number for number, text in enumerate((failing.path / "handler.py").read_text().splitlines(), 1)
                if "raise ValueError" in text)  # fmt: skip
    found = {re.search(r"ValueError: (\w+)", row)[1]: int(re.search(r"(\d+)×", row)[1]) for row in rows}
    assert found == {"boom": BOOMS, "other": OTHERS}
    assert all(f"handler.py:{line} in handle" in row for row in rows)


def test_causes_as_json_carry_the_whole_traceback(failing: Folder):
    causes = [json.loads(line) for line in failing.run("logs", "--tracebacks", "--json").out.splitlines()]
    assert {cause["message"]: cause["count"] for cause in causes} == {"boom": BOOMS, "other": OTHERS}
    for cause in causes:
        assert cause["traceback"].startswith("Traceback (most recent call last):")
        assert cause["traceback"].endswith(f"ValueError: {cause['message']}")
        assert cause["phase"] == "inference"
        assert set(cause["workers"]) <= {"W-9000", "W-9001"}


def test_filters(failing: Folder):
    access = failing.run("logs", "--source", "access", "-n", "1000").out.splitlines()
    assert sum("POST /predictions/echo" in line for line in access) == 1 + BOOMS + OTHERS
    assert sum(" 503 " in line for line in access) == BOOMS + OTHERS
    said = failing.run("logs", "--grep", "ValueError: (boom|other)", "--not", "other", "-n", "1000").out.splitlines()
    assert len(said) == BOOMS
    one = failing.run("logs", "--worker", "W-9000", "-n", "1000", "--json").out.splitlines()
    assert {json.loads(line)["worker"] for line in one} == {"W-9000"}
    warned = failing.run("logs", "--level", "warn", "-n", "1000", "--json").out.splitlines()
    assert {json.loads(line)["level"] for line in warned} <= {"WARN", "ERROR", "FATAL"}
    assert failing.run("logs", "--since", "0s", "--json").out == ""
    assert "Model server started." in failing.run("logs", "--since", "1h").out
    assert failing.run("logs", "--source", "console").out.count("Model server started.") == 1


def test_wrong_filters_are_refused(failing: Folder):
    for arguments, said in {
        ("--source", "nowhere"): "no source named 'nowhere'",
        ("--since", "later"): "'later' is not a span of time",
        ("--grep", "("): "( is no regular expression",
        ("--grep", "([ -z]|[ -z])*[^ -~]$"): "takes too long on this log",
        ("--level", "loud"): "loud",
        ("--run", "-9"): "-9",
        ("--request", "nobody"): "no request nobody is known",
    }.items():
        assert said in failing.run("logs", *arguments, code=2).err


def test_a_request_finds_its_lines(failing: Folder):
    good = failing.run("predict", "-d", "7", "--json").one("predicted")["request_id"]
    lines = failing.run("logs", "--request", good).out
    assert re.search(r'access .*"POST /predictions/echo HTTP/1.1" 200', lines)
    assert f"requestID:{good}" in lines
    bad = failing.run("predict", "-d", '{"raise": "seen"}', "--json", code=6).one("predicted")["request_id"]
    lines = failing.run("logs", "--request", bad).out
    assert re.search(r"access .* 503", lines)
    assert re.search(r"1×  ValueError: seen, handler.py:\d+ in handle", lines)


def test_follow_shows_what_is_written_and_ends_with_a_signal(failing: Folder):
    wanted = "Torch worker started|ValueError: followed"
    with failing.started("logs", "-f", "-n", "1", "--grep", wanted) as following:
        # Once it has shown the past it follows from there: nothing that is written now can be missed.
        assert "Torch worker started" in following.stdout.readline()
        failing.run("predict", "-d", '{"raise": "followed"}', code=6)
        assert "ValueError: followed" in following.stdout.readline()
        following.send_signal(signal.SIGINT)
        assert following.wait(timeout=20) == 130
        assert following.stderr.read() == ""


def test_a_reader_that_has_seen_enough_ends_it_quietly(failing: Folder, tmp_path: Path):
    piped = subprocess.run(
        ["sh", "-c", '"$@" logs -n 5000 -v | head -1', "sh", *COMMAND],
        cwd=failing.path,
        env=failing.env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert len(piped.stdout.splitlines()) == 1
    assert piped.stderr == ""


def test_logs_survive_down_and_earlier_runs_can_be_read(tmp_path_factory: pytest.TempPathFactory):
    folder = Folder(tmp_path_factory.mktemp("history"))
    folder.write("handler.py", ECHO)
    folder.write("asteria.toml", '[models.echo]\nhandler = "handler.py"\n')
    folder.run("up")
    folder.run("predict", "-d", '{"raise": "in the first run"}', code=6)
    folder.run("restart")
    folder.down()
    assert "in the first run" not in folder.run("logs", "--tracebacks").out
    assert "ValueError: in the first run" in folder.run("logs", "--tracebacks", "--run", "-1").out
    assert folder.run("logs", "-n", "1").out
