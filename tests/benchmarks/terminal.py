"""A program in a pseudo-terminal: what it paints, how soon, and what it costs."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time
from collections.abc import Sequence
from typing import Self

import psutil

COLUMNS, LINES = 120, 40


class Terminal:
    """`with Terminal(command) as terminal`; the program gets SIGHUP at the end, as from a closed window."""

    def __init__(self, command: Sequence[str], environment: dict[str, str] | None = None) -> None:
        self.started = time.perf_counter()
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            inherited = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES"}}
            variables = inherited | {"TERM": "xterm-256color", "COLORTERM": "truecolor"} | (environment or {})
            os.execvpe(command[0], list(command), variables)  # noqa: S606 no shell is the point
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        self.process = psutil.Process(self.pid)
        self.seen = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self, seconds: float = 40.0) -> int | None:
        """Closes the terminal; the exit status, None when the program had to be killed."""
        os.close(self.fd)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.01)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        return None

    def wait_for_end(self, seconds: float = 30.0) -> int | None:
        """Until the program ends by itself; its exit status. Raises TimeoutError."""
        until = time.monotonic() + seconds
        while True:
            ready, _, _ = select.select([self.fd], [], [], max(0.0, until - time.monotonic()))
            if not ready:
                raise TimeoutError("the program has not ended")
            try:
                os.read(self.fd, 1 << 16)
            except OSError:  # what Linux says when the last program of a terminal has gone
                return self.close()

    def wait_for(self, text: bytes, seconds: float = 30.0) -> float:
        """Seconds until the program paints `text`, from now on; raises TimeoutError."""
        begun = time.perf_counter()
        self.seen = b""
        while text not in self.seen:
            self._read(begun + seconds - time.perf_counter(), text)
        return time.perf_counter() - begun

    def read(self, seconds: float = 30.0) -> bytes:
        """What the program paints next; raises TimeoutError."""
        self.seen = b""
        self._read(seconds, b"anything")
        return self.seen

    def run(self, seconds: float) -> int:
        """Lets the program go on; how many bytes it painted."""
        begun, painted = time.perf_counter(), 0
        while (left := begun + seconds - time.perf_counter()) > 0:
            ready, _, _ = select.select([self.fd], [], [], left)
            if ready:
                painted += len(os.read(self.fd, 1 << 16))
        return painted

    def press(self, keys: str) -> None:
        os.write(self.fd, keys.encode())

    @property
    def memory(self) -> int:
        """Resident bytes of the program itself."""
        return int(self.process.memory_info().rss)

    @property
    def cpu_seconds(self) -> float:
        times = self.process.cpu_times()
        return float(times.user + times.system)

    def _read(self, left: float, text: bytes) -> None:
        ready, _, _ = select.select([self.fd], [], [], max(0.0, left))
        if not ready:
            raise TimeoutError(f"{text!r} was not painted; the last was {self.seen[-300:]!r}")
        try:
            self.seen = self.seen[-(1 << 20) :] + os.read(self.fd, 1 << 16)
        except OSError as error:
            raise TimeoutError(f"the program ended; the last was {self.seen[-2000:]!r}") from error
