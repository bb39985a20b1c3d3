"""Events as lines: for people on stderr, for scripts as JSON on stdout."""

from __future__ import annotations

import codecs
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from asteria_tui import events, wording
from asteria_tui.cli.options import Options
from asteria_tui.cli.style import Style
from asteria_tui.errors import AsteriaError
from asteria_tui.events import Event
from asteria_tui.inference.content import is_binary, summary
from asteria_tui.logs.text import sanitize
from asteria_tui.wording import duration, escaped, size

STAGE_WIDTH = 8
CHECK_WIDTH = 12


class Renderer:
    """Shows each event as it comes."""

    def __init__(self, options: Options, *, names_models: bool = False, shows_answers: bool = True) -> None:
        """`names_models`: say of each answer whose it is, for there are several models."""
        self.shows_answers = shows_answers
        """Not where they are saved."""
        self._received: Received | None = None
        self.names_models = names_models
        self.options = options
        self.style = Style(sys.stderr)
        self._has_progress = False
        self._lines: dict[type[Event], Callable[[Any], None]] = {
            events.StageStarted: self._started,
            events.StageProgressed: self._progressed,
            events.StageFinished: self._finished,
            events.StageFailed: self._stage_failed,
            events.OperationFailed: self._operation_failed,
            events.Checked: self._checked,
            events.WarningRaised: lambda event: self.say(sanitize(f" ! {event.text}{_hint(event.hint)}")),
            events.CommandRan: self._ran,
            events.Predicted: self._predicted,
            events.RequestHeld: lambda event: self.result(sanitize(wording.request_held(event))),
            events.RequestReleased: lambda event: self.result(sanitize(wording.request_released(event))),
            events.Reloaded: lambda event: self.result(sanitize(wording.reloaded(event))),
        }

    def show(self, event: Event) -> None:
        if self.options.json:
            print(events.encode(event).decode(), flush=True)  # noqa: T201 stdout is where data goes
            return
        line = self._lines.get(type(event))
        if line is not None:
            line(event)

    def say(self, text: str) -> None:
        """Narration: on stderr, none of it with -q."""
        self._clear_progress()
        if not self.options.quiet and not self.options.json:
            print(text, file=sys.stderr, flush=True)  # noqa: T201

    def result(self, text: str) -> None:
        """What was asked for: on stdout, also with -q."""
        self._clear_progress()
        print_value(text)

    def _started(self, event: events.StageStarted) -> None:
        self._transient(f" … {_stage(event)}")

    def _progressed(self, event: events.StageProgressed) -> None:
        amount = _amount(event)
        self._transient(f" … {_stage(event)}  {escaped(event.text)}  {self.style.dim(amount)}")

    def _finished(self, event: events.StageFinished) -> None:
        glyph = self.style.dim("=") if event.unchanged else self.style.good("✔")
        self.say(f" {glyph} {_stage(event)}  {sanitize(event.summary)}  {self.style.dim(duration(event.seconds))}")

    def _checked(self, event: events.Checked) -> None:
        where = f"{event.name:<{CHECK_WIDTH}}"
        if event.title:
            self._failure(where, event)
        else:
            self.say(f" {self.style.good('✔')} {where}  {sanitize(event.summary)}")

    def _stage_failed(self, event: events.StageFailed) -> None:
        self._failure(_stage(event), event)

    def _operation_failed(self, event: events.OperationFailed) -> None:
        if not event.stage:  # else that has reported it
            self._failure(f"{event.name:<{STAGE_WIDTH}}", event)

    def _failure(self, where: str, event: events.StageFailed | events.OperationFailed | events.Checked) -> None:
        self._clear_progress()
        print(f" {self.style.bad('✘')} {where}  {self.style.bad(sanitize(event.title))}", file=sys.stderr)  # noqa: T201
        for line in sanitize(event.detail).splitlines():
            print(f"   {line}", file=sys.stderr)  # noqa: T201
        if event.hint:
            print(f"   → {sanitize(event.hint)}", file=sys.stderr)  # noqa: T201
        cause = None if isinstance(event, events.Checked) else event.cause
        if cause and cause.traceback and self.options.verbose:
            print(cause.traceback, file=sys.stderr)  # noqa: T201
        if isinstance(event, events.OperationFailed) and event.crash_report and self.options.verbose:
            print(Path(event.crash_report).read_text(), file=sys.stderr)  # noqa: T201

    def _ran(self, event: events.CommandRan) -> None:
        if self.options.verbose:
            self.say(self.style.dim(f"   $ {sanitize(event.command)}"))

    def receive(self, chunk: bytes) -> None:
        """A part of an answer, as it comes."""
        self._clear_progress()
        self._received = self._received or Received()
        self._received.write(chunk)

    def _predicted(self, event: events.Predicted) -> None:
        self._clear_progress()
        received, self._received = self._received, None
        if self.names_models:
            self.say(self.style.dim(f"   {event.model}:"))
        if received is not None and received.end():
            return
        if event.is_good and not self.shows_answers:
            return
        # The answer itself: to a pipe or a file as it is, to a terminal sanitized.
        if event.content:
            print_value(f"{summary(event.content, event.content_type)}\n`-o FILE` or `> FILE` saves it")
        else:
            print_value(sanitize(event.body) if isinstance(event.body, str) and sys.stdout.isatty() else event.body)

    def _transient(self, text: str) -> None:
        """A line that the next one replaces; only where there is a terminal to replace it on."""
        if not self.style.is_terminal or self.options.quiet or self.options.json:
            return
        width = os.get_terminal_size(sys.stderr.fileno()).columns
        print(f"\r\x1b[2K{text[: width - 1]}", end="", file=sys.stderr, flush=True)  # noqa: T201
        self._has_progress = True

    def _clear_progress(self) -> None:
        if self._has_progress:
            print("\r\x1b[2K", end="", file=sys.stderr, flush=True)  # noqa: T201
            self._has_progress = False


class Received:
    """The body of one answer on stdout while it comes: the very bytes, but on a terminal only text, and sanitized."""

    def __init__(self) -> None:
        # Python has no stdout at all where it was closed.
        self._is_terminal = sys.stdout is not None and sys.stdout.isatty()
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._is_text = True
        self._ends_line = True
        self._failure: OSError | None = None

    def write(self, chunk: bytes) -> None:
        """An output that takes no more does not end the request: `end` tells."""
        if self._failure is None:
            try:
                self._write(chunk)
            except OSError as error:
                self._failure = error

    def _write(self, chunk: bytes) -> None:
        if sys.stdout is None:
            return
        if not self._is_terminal:
            sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()
            return
        if not self._is_text:
            return
        try:
            text = self._decoder.decode(chunk)
        except UnicodeDecodeError:
            text = ""
            self._is_text = False
        if is_binary(text):
            self._is_text = False
        elif text:
            self._ends_line = text.endswith("\n")
            print(sanitize(text), end="", flush=True)  # noqa: T201

    def end(self) -> bool:
        """False where it has not shown the body: bytes are no text for a terminal; raises the OSError of a write."""
        if self._failure is not None:
            raise self._failure
        if not self._ends_line:
            print(flush=True)  # noqa: T201
        return self._is_text


def _stage(event: events.StageStarted | events.StageProgressed | events.StageFinished | events.StageFailed) -> str:
    return f"{event.stage:<{STAGE_WIDTH}}{f' {event.model}' if event.model else ''}"


def _amount(event: events.StageProgressed) -> str:
    if event.done is None:
        return ""
    if event.unit == "B" and event.total:
        return f"{event.done / event.total:.0%} of {size(event.total)}"
    return f"{event.done:.0f} {event.unit}"


def _hint(hint: str) -> str:
    return f"\n   → {hint}" if hint else ""


def print_value(value: object) -> None:
    """An answer as data: text as it is, everything else as JSON."""
    print(value if isinstance(value, str) else events.encode(value).decode(), flush=True)  # noqa: T201


def print_text(text: str) -> None:
    """Lines with words of others in them, sanitized wherever they go."""
    print_value(sanitize(text))


def print_error(error: AsteriaError, options: Options, name: str) -> None:
    """An error outside any session, as the same event that a session would have made of it."""
    Renderer(options).show(
        events.OperationFailed(
            name=name, title=error.title, detail=error.detail, hint=error.hint, exit_code=error.exit_code
        )
    )


def ago(at: float) -> str:
    return duration(max(0.0, time.time() - at))
