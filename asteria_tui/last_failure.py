"""The last failure of a project, kept until something succeeds: a screen that is opened again shows it."""

from __future__ import annotations

import contextlib
from pathlib import Path

import msgspec

from asteria_tui.bounds import check_depth
from asteria_tui.errors import ExitCode
from asteria_tui.events import Event, OperationFailed, OperationFinished, StageFinished, encode
from asteria_tui.state import State
from asteria_tui.state_dir import read_file, remove, write_file

FILE = "last_operation.json"
MAX_BYTES = 1 << 20


def keep(state_dir: Path, before: State, event: Event) -> None:
    """Writes a failure down and forgets it at the next success, of what changes something or has stages.

    `before` is the state that the event met. An interruption is no failure: whoever made it knows.
    """
    if isinstance(event, OperationFailed) and event.exit_code != ExitCode.INTERRUPTED:
        if before.is_step(event.operation) and state_dir.is_dir():
            with contextlib.suppress(OSError):
                write_file(state_dir, FILE, encode(event))
        return
    is_success = isinstance(event, OperationFinished) and event.exit_code == ExitCode.DONE
    if (is_success and before.is_step(event.operation)) or (
        isinstance(event, StageFinished) and before.is_made_up_for(event)
    ):
        with contextlib.suppress(OSError):
            remove(state_dir, FILE)


def load(state_dir: Path) -> OperationFailed | None:
    """What is kept; a file that is none of ours is as good as none."""
    try:
        content = read_file(state_dir, FILE, MAX_BYTES)
        check_depth(content.decode())
        return msgspec.json.decode(content, type=OperationFailed)
    except (OSError, ValueError):
        return None
