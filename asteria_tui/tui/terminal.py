"""The terminal under a screen, and the ends that nobody presses a key for: told to go, or the terminal gone."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterable
from typing import IO, Any, TypeVar

from textual._xterm_parser import BRACKETED_PASTE_END, BRACKETED_PASTE_START, XTermParser
from textual.app import App
from textual.drivers import linux_driver
from textual.drivers.linux_driver import LinuxDriver
from textual.message import Message

Result = TypeVar("Result")
STDIN, STDOUT, STDERR = range(3)
ESCAPE = "\x1b"


async def run_in_terminal(app: App[Result], leave: Result) -> None:
    """Runs the app until it is left; SIGTERM and a terminal that goes (SIGHUP) leave it, too, with the result `leave`.

    Both are set here whatever was inherited: where SIGHUP is ignored (nohup), a screen without a terminal lived on.
    """
    app.driver_class = TerminalDriver
    loop = asyncio.get_running_loop()

    def exit_() -> None:
        app.call_after_refresh(app.exit, leave)  # in its turn: widgets half mounted would fail, each with a traceback

    def hang_up(*_: object) -> None:
        _disconnect()
        if not loop.is_closed():
            loop.call_soon_threadsafe(exit_)

    loop.add_signal_handler(signal.SIGTERM, exit_)
    signal.signal(signal.SIGHUP, hang_up)  # at once, not when the loop comes to it
    if os.isatty(STDIN):
        await app.run_async()
    else:  # it went before anybody listened
        hang_up()


def _disconnect() -> None:
    """Nothing comes in any more, and what goes out is dropped: a terminal that is gone would answer with errors."""
    silence, _ = os.pipe()  # unlike the end of a file it is never ready to be read: Textual's reader would spin
    os.set_blocking(silence, False)  # the reader may be just before a read of what was ready
    os.dup2(silence, STDIN)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, STDOUT)
    os.dup2(nowhere, STDERR)


class TerminalDriver(LinuxDriver):
    """Textual's driver, for a terminal that may go at any moment.

    Textual's writer thread ends at the first write that fails, and then the app waits for it forever at one of the
    next writes; its reader makes a crash of the app out of it. SIGHUP says the same, and lets the app clean up.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._file: Any = _Output(self._file)

    def run_input_thread(self) -> None:
        linux_driver.XTermParser = PasteParser  # type: ignore[attr-defined]
        with contextlib.suppress(OSError):
            super().run_input_thread()

    def _get_terminal_size(self) -> tuple[int, int]:
        """For a terminal that knows none, Textual guesses 24 lines here and 25 elsewhere, and resizes for ever."""
        self._size = super()._get_terminal_size()
        return self._size

    def _sigcont_application(self, *_: object) -> None:
        """A terminal that goes sends SIGCONT, too."""
        if os.isatty(self.fileno):
            super()._sigcont_application()


class PasteParser(XTermParser):
    """Takes the escape characters out of a paste.

    Of what follows one there, such as in the coloured text of a log, Textual makes keys; and keys are commands.
    """

    _is_paste = False
    _before = ""
    """The end of what came before: the mark of a beginning may come in two parts."""
    _held = ""
    """The end of a part of a paste that may be the beginning of the mark of its end."""

    def feed(self, data: str) -> Iterable[Message]:
        passed = self._without_escapes(data) if data else ""
        # What is empty is the end of all input.
        return super().feed(passed) if passed or not data else ()

    def _without_escapes(self, text: str) -> str:
        passed = []
        while text:
            if self._is_paste:
                pasted, end, text = (self._held + text).partition(BRACKETED_PASTE_END)
                self._held = "" if end else _beginning_of(BRACKETED_PASTE_END, pasted)
                passed += [pasted.removesuffix(self._held).replace(ESCAPE, ""), end]
                self._is_paste = not end
            else:
                found = (self._before + text).find(BRACKETED_PASTE_START)
                end_at = found + len(BRACKETED_PASTE_START) - len(self._before) if found >= 0 else len(text)
                passed.append(text[:end_at])
                self._is_paste = found >= 0
                self._before = "" if self._is_paste else (self._before + text)[1 - len(BRACKETED_PASTE_START) :]
                text = text[end_at:]
        return "".join(passed)


def _beginning_of(mark: str, text: str) -> str:
    """The longest end of the text that the mark begins with."""
    return next((mark[:size] for size in range(len(mark) - 1, 0, -1) if text.endswith(mark[:size])), "")


class _Output:
    """What Textual's writer thread needs of a file; what cannot be written is dropped."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self.fileno = file.fileno

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError):
            self._file.write(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._file.flush()
