"""Where the worker is right now: a signal has it written into a file, also while C code holds the interpreter."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal

STACK_SIGNAL = signal.SIGUSR2


class Stack:
    """The file lies beside the socket, in the same private folder; each signal adds the stacks of all threads."""

    def __init__(self, path: str) -> None:
        self.path = path
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
        self._file = os.open(path, flags, 0o600)
        faulthandler.register(STACK_SIGNAL, file=self._file, all_threads=True)

    def close(self) -> None:
        faulthandler.unregister(STACK_SIGNAL)
        with contextlib.suppress(OSError):
            os.close(self._file)
            os.unlink(self.path)
