"""A screen ends with its terminal, and when it is told to, at whatever moment that comes."""

from __future__ import annotations

import fcntl
import struct
import termios

import pytest

from asteria_tui.errors import ExitCode
from tests.benchmarks.terminal import Terminal
from tests.conftest import COMMAND, ROOT
from tests.waiting import until

IGNORING_HANGUPS = ["sh", "-c", "trap '' HUP; exec \"$@\"", "sh"]
"""As `nohup` starts a program, or whoever was started by it."""


@pytest.fixture(params=["first run", "workbench"])
def command(request, project, monkeypatch) -> list[str]:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    if request.param == "first run":
        (project.root / "asteria.toml").unlink()
    return [*COMMAND, "-C", str(project.root)]


@pytest.mark.parametrize("prefix", [[], IGNORING_HANGUPS], ids=["", "ignoring hang-ups"])
def test_without_a_terminal_it_ends(command, prefix):
    terminal = Terminal([*prefix, *command])
    come_to_rest(terminal)
    assert terminal.close(seconds=10) == ExitCode.DONE


@pytest.mark.parametrize("paints", [1, 3])
@pytest.mark.parametrize("end", ["hangup", "terminate"])
def test_while_it_opens(command, end, paints):
    """What is half mounted neither holds it up nor fails."""
    terminal = Terminal(command)
    for _ in range(paints):
        terminal.read()
    if end == "terminate":
        terminal.process.terminate()
        assert terminal.wait_for_end(10) == ExitCode.DONE
    else:
        assert terminal.close(seconds=10) == ExitCode.DONE


def test_with_stderr_elsewhere_no_screen_is_opened_that_nobody_sees(command, tmp_path):
    terminal = Terminal(["sh", "-c", f"exec \"$@\" 2>'{tmp_path}/stderr'", "sh", *command])
    assert terminal.wait_for_end(10) == ExitCode.USAGE
    assert "needs a terminal" in (tmp_path / "stderr").read_text()


def test_a_terminal_that_knows_no_size_is_painted_and_left(command):
    terminal = Terminal(command)
    fcntl.ioctl(terminal.fd, termios.TIOCSWINSZ, bytes(struct.calcsize("HHHH")))
    come_to_rest(terminal)
    assert terminal.close(seconds=10) == ExitCode.DONE


def come_to_rest(terminal: Terminal) -> None:
    terminal.wait_for(b"sample")
    until(lambda: terminal.run(0.3) == 0, seconds=10)
