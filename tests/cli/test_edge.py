"""The outer edge: where flags may stand, who stops reading, who interrupts."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from asteria_tui.cli.options import Options
from asteria_tui.cli.parser import Command, Program
from tests.conftest import COMMAND, Folder, MakeFolder

TO_NOBODY = "no server of this project is running"


@pytest.mark.parametrize(
    ("given", "options"),
    [
        (["status", "--json"], Options(json=True)),
        (["--json", "status"], Options(json=True)),
        (["-C", "status", "status"], Options(project=Path("status"))),
        (["--project=x", "-q", "--target", "docker", "status", "-v"], Options(Path("x"), "docker", False, True, True)),
        (["-C", "x", "status", "-C", "y"], Options(project=Path("y"))),
        (["status"], Options(project=Path("from the environment"))),
    ],
)
def test_common_flags_may_stand_before_the_command_and_behind_it(given, options, monkeypatch):
    seen: list[Options] = []
    if given == ["status"]:
        monkeypatch.setenv("ASTERIA_PROJECT", "from the environment")
    monkeypatch.setattr(Program, "get_command", lambda *_: Command("status", callback=seen.append))
    program = Program(lambda *_: 0)
    with program.make_context("asteria-tui", given, obj={}) as context:
        program.invoke(context)
    assert seen == [options]


@pytest.mark.parametrize(
    ("given", "opened"), [(["--up"], (Options(), True)), (["-C", "x"], (Options(project=Path("x")), False))]
)
def test_flags_of_the_screen(given, opened):
    program = Program(lambda *asked: asked)
    with program.make_context("asteria-tui", given, obj={}) as context:
        assert program.invoke(context) == opened


def test_leading_flags_reach_the_command(make_folder: MakeFolder):
    folder = make_folder("there")
    folder.path = folder.path.parent
    failed = folder.run("-C", "there", "--json", "predict", code=4).one("operation_failed")
    assert failed["title"] == TO_NOBODY
    assert (
        folder.run("--json", "-C", "there", "models", "list", code=4).one("operation_failed")["name"] == "models list"
    )
    assert folder.run("--json", "-C", "there", "models", code=4).one("operation_failed")["name"] == "models list"
    assert "No such command 'nonsense'" in folder.run("-q", "nonsense", code=2).err
    assert "build" in folder.run("-q", "image", code=2).out


@pytest.mark.parametrize("call", ["--help", "--version", "logs --help", "init --help", "status --json"])
def test_a_reader_that_is_gone_ends_it_quietly(make_folder: MakeFolder, call: str):
    folder = make_folder()
    with subprocess.Popen(
        [*COMMAND, *call.split()], cwd=folder.path, env=folder.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


CLOSED = ("<&-", ">&-", "2>&-", "<&- >&- 2>&-")


def run_closed(folder: Folder, closed: str, *arguments: str) -> subprocess.CompletedProcess:
    call = ["sh", "-c", f'exec "$@" {closed}', "sh", *COMMAND, *arguments]
    return subprocess.run(call, cwd=folder.path, env=folder.env, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("closed", CLOSED)
def test_closed_streams_do_not_change_how_it_ends(make_folder: MakeFolder, closed: str):
    folder = make_folder()
    calls = {"": 2, "--help": 0, "nonsense": 2, "package": 0, "inspect model_store/echo.mar": 0, "status": 4, "logs": 4}
    for call, code in calls.items():
        ended = run_closed(folder, closed, *call.split())
        assert ended.returncode == code, (call, ended)
        assert "Traceback" not in ended.stderr
    assert folder.left_over() == []


def test_closed_streams_and_a_server(shared: Folder):
    for call in ("up", "status", "predict -d 1", "models", "keys --json", "logs -n 1"):
        ended = run_closed(shared, CLOSED[-1], *call.split())
        assert ended.returncode == 0, (call, ended)
        assert "Traceback" not in ended.stderr


def test_an_interruption_while_it_starts_is_silent(make_folder: MakeFolder):
    folder = make_folder()
    folder.write(
        "early.py",
        """
        import asteria_tui.cli.main
        from asteria_tui.__main__ import main

        def interrupt(_):
            raise KeyboardInterrupt

        asteria_tui.cli.main.main = interrupt
        main()
        """,
    )
    ended = subprocess.run(
        [COMMAND[0], "early.py", "status"], cwd=folder.path, env=folder.env, capture_output=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (128 + signal.SIGINT, b"")


def test_a_payload_is_read_before_anything_is_asked_of_a_server(make_folder: MakeFolder):
    folder = make_folder()
    for arguments, said in {
        ("first", "-d", "1"): "first and -d are two payloads",
        ("first", "-m", "other"): "model other is not of this project",
        ("-m", "other"): "-d JSON, @FILE or - give a payload for it",
    }.items():
        assert said in folder.run("predict", *arguments, code=2).err
    assert TO_NOBODY in folder.run("predict", "-m", "other", "-d", "1", code=4).err
    closed = run_closed(folder, "<&-", "predict", "-")
    assert closed.returncode == 2
    assert "standard input is closed" in closed.stderr


def test_logs_before_any_run_and_flags_that_do_not_go_together(make_folder: MakeFolder):
    folder = make_folder()
    assert "no server of this project has run yet" in folder.run("logs", code=4).err
    log = str(folder.write("ts_log.log", "2026-11-23T03:08:45,821 [INFO ] main a.B - said\\n"))
    assert "no cause in this log" in folder.run("logs", log, "--tracebacks").err
    for flags in (["-f"], ["-n", "3"], ["-n", "0"], ["--level", "warn"], ["--source", "worker"]):
        refused = folder.run("logs", log, "--tracebacks", *flags, code=2)
        assert f"--tracebacks does not go with {flags[0]}" in refused.err
