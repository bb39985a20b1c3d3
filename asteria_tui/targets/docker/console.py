"""What a container prints, in a file on the host. Blocking, but for `follow`, which is a thread of its own."""

from __future__ import annotations

import contextlib
import fcntl
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from asteria_tui.errors import TargetError
from asteria_tui.state_dir import open_file
from asteria_tui.targets.docker import engine

if TYPE_CHECKING:
    from docker.models.containers import Container


def copy(container: Container, state_dir: Path, name: str) -> None:
    """All that it has printed so far, into a file of the state folder."""
    _write(container.logs(stream=True, follow=False), state_dir, name)


def follow(container_id: str, state_dir: Path, name: str) -> threading.Thread:
    """A thread that copies until the container ends, or our process does."""
    thread = threading.Thread(target=_follow, args=(container_id, state_dir, name), daemon=True)
    thread.start()
    return thread


def _follow(container_id: str, state_dir: Path, name: str) -> None:
    from docker.errors import DockerException
    from requests import RequestException
    from urllib3.exceptions import HTTPError

    # Whoever needs the engine will be told that it is gone.
    gone = contextlib.suppress(TargetError, DockerException, RequestException, HTTPError)
    with gone, contextlib.closing(engine.connect()) as client:
        _write(client.containers.get(container_id).logs(stream=True, follow=True), state_dir, name)


def _write(chunks: Iterable[bytes], state_dir: Path, name: str) -> None:
    """Over what lies there, which is the same text as far as it goes: readers never see the file shrink.

    One of us at a time; who comes second finds the work being done.
    """
    try:
        output = open_file(state_dir, name)
    except (FileNotFoundError, PermissionError):  # no folder of ours to write to
        return
    with output:
        try:
            fcntl.flock(output, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        for chunk in chunks:
            output.write(chunk)
