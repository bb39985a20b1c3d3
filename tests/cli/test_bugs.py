"""A bug of ours in a command: one sentence, a file to paste, no stage left running."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import reduce as fold
from pathlib import Path

import pytest

from asteria_tui import events
from asteria_tui.state import State, reduce
from tests.conftest import MAX_SECONDS, Folder, MakeFolder

SENTENCE = "a bug in asteria-tui: KeyError: 'threshold'"
# `asteria-tui` with a bug put into it: what is named raises a KeyError.
PROGRAM = """
import importlib
module = importlib.import_module({module!r})
module.{name} = lambda *_, **__: {{}}["threshold"]
from asteria_tui.__main__ import main
main()
"""


def run(folder: Folder, bug_in: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    module, _, name = bug_in.rpartition(".")
    return subprocess.run(
        [sys.executable, "-c", PROGRAM.format(module=module, name=name), *arguments],
        cwd=folder.path,
        env=folder.env,
        capture_output=True,
        text=True,
        timeout=MAX_SECONDS,
        check=False,
    )


def reports(folder: Folder) -> list[Path]:
    return list((folder.path / ".asteria" / "crashes").iterdir())


def test_in_a_stage(make_folder: MakeFolder):
    folder = make_folder()
    ended = run(folder, "asteria_tui.operations.package.build", "package")
    assert ended.returncode == 1
    assert ended.stderr.count(SENTENCE) == 1
    assert "Traceback" not in ended.stdout + ended.stderr
    [file] = reports(folder)
    assert f"{file.relative_to(folder.path)} has what a report needs" in ended.stderr
    assert file.stat().st_mode & 0o777 == 0o600
    assert "in _package_one" in file.read_text()


def test_in_a_stage_as_events(make_folder: MakeFolder):
    folder = make_folder()
    ended = run(folder, "asteria_tui.operations.package.build", "package", "--json")
    happened = [events.decode(line) for line in ended.stdout.splitlines()]
    state = fold(reduce, happened, State())
    assert [(stage.stage, stage.status) for stage in state.stages] == [("package", "failed")]
    assert state.operations == ()
    [end] = [event for event in happened if isinstance(event, events.OperationFailed)]
    assert (end.title, end.exit_code, end.crash_report) == (SENTENCE, 1, str(reports(folder)[0]))
    # The screen, opened later, knows it too.
    kept = json.loads((folder.path / ".asteria" / "last_operation.json").read_bytes())
    assert kept["title"] == SENTENCE


def test_with_v_it_is_shown_whole(make_folder: MakeFolder):
    ended = run(make_folder(), "asteria_tui.operations.package.build", "package", "-v")
    assert "in _package_one" in ended.stderr
    assert ended.returncode == 1


@pytest.mark.parametrize("where", ["asteria_tui.session.Session", "asteria_tui.config.load"])
def test_outside_any_operation(make_folder: MakeFolder, tmp_path: Path, where: str):
    folder = make_folder(XDG_STATE_HOME=str(tmp_path / "state"))
    ended = run(folder, where, "package")
    assert ended.returncode == 1
    assert ended.stderr.count(SENTENCE) == 1
    assert "Traceback" not in ended.stderr
    # Where there is no folder of ours yet, none is made for it.
    assert not (folder.path / ".asteria").exists()
    [file] = (tmp_path / "state" / "asteria-tui" / "crashes").iterdir()
    assert str(file) in ended.stderr
