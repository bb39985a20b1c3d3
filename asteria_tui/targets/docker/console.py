"""What a container prints, in a file on the host. Blocking, but for `follow`, which is a thread of its own."""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from asteria_tui.errors import TargetError
from asteria_tui.targets.docker import engine

if TYPE_CHECKING:
    from docker.models.containers import Container


def copy(container: Container, file: Path) -> None:
    """All that it has printed so far."""
    _write(container.logs(stream=True, follow=False), file)


def follow(container_id: str, file: Path) -> threading.Thread:
    """A thread that copies until the container ends, or our process does."""
    thread = threading.Thread(target=_follow, args=(container_id, file), daemon=True)
    thread.start()
    return thread


def _follow(container_id: str, file: Path) -> None:
    from docker.errors import DockerException
    from requests import RequestException
    from urllib3.exceptions import HTTPError

    # Whoever needs the engine will be told that it is gone.
    gone = contextlib.suppress(TargetError, DockerException, RequestException, HTTPError)
    with gone, contextlib.closing(engine.connect()) as client:
        _write(client.containers.get(container_id).logs(stream=True, follow=True), file)


def _write(chunks: Iterable[bytes], file: Path) -> None:
    """Over what lies there, which is the same text as far as it goes: readers never see the file shrink.

    One of us at a time; who comes second finds the work being done.
    """
    with contextlib.suppress(FileNotFoundError):  # no directory: nothing of ours to write to
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "wb", buffering=0) as output:
            try:
                fcntl.flock(output, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            for chunk in chunks:
                output.write(chunk)
