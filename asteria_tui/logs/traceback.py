"""Tracebacks of interleaved workers joined again, each one whole.

Every line that a worker prints is a record of its own, so tracebacks of several workers, and of the two streams of
one, come torn. The algorithm is the one of docs/torchserve.md section 4, "Joining Python tracebacks".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import msgspec

from asteria_tui.events import LogRecord, Phase

SILENCE = 0.5
"""Seconds without a line of its thread after which a traceback is over."""

HEAD = "Traceback (most recent call last):"
GROUP_HEAD = "  + Exception Group Traceback (most recent call last):"
CHAIN = (
    "The above exception was the direct cause of the following exception:",
    "During handling of the above exception, another exception occurred:",
)
_STOPPED = "Stopped Scanner - "
_SET_BACK = 60.0
"""Seconds by which a record may be older than the ones before it; more than that, and the clock was set back."""
_LINES = 5_000
_GROUP_LINE = re.compile(r"\s+[|+]")
# The line before a traceback names what failed (model_service_worker.py and service.py of TorchServe 0.12.0).
_HEADINGS: tuple[tuple[str, Phase], ...] = (
    ("Invoking custom service failed.", "inference"),
    ("Prediction error", "inference"),
    ("System out of memory", "inference"),
    ("CUDA out of memory", "inference"),
    ("Unable to serialize model output.", "inference"),
    ("Backend worker process died.", "load"),
    ("Failed to load model ", "load"),
    ("Load model ", "load"),
)
# So does a frame of TorchServe: the heading is lost where the handler has closed stdout, and logging reports to stderr.
_FRAMES: tuple[tuple[str, str, Phase], ...] = (
    ("model_service_worker.py", "load_model", "load"),
    ("service.py", "predict", "inference"),
)
_FRAME = re.compile(r'  File "(?:.*[/\\])?ts[/\\]([\w.]+)", line \d+, in (\w+)$')


class Block(msgspec.Struct, kw_only=True):
    """One whole traceback of one thread."""

    worker: str | None
    model: str | None
    stream: str
    phase: Phase
    first_at: float
    last_at: float
    lines: list[str]

    @property
    def text(self) -> str:
        return "\n".join(self.lines).rstrip("\n")


class OpenTraceback:
    """A traceback that is still being written: `feed` decides whether a line belongs to it."""

    def __init__(self, head: str) -> None:
        self._before = head
        self._in_frames = not head.startswith(" ")
        self._in_group = not self._in_frames

    def feed(self, line: str) -> bool:
        """Whether `line` is part of this traceback; False closes it."""
        is_part = self._takes(line)
        if is_part:
            self._before = line
        return is_part

    def _takes(self, line: str) -> bool:
        if line == HEAD:
            self._in_frames = True
        elif line == GROUP_HEAD:
            self._in_group, self._in_frames = True, False
        elif self._in_frames:
            # The first line that starts without a blank names the exception; before it stand frames only.
            self._in_frames = not line or line[0].isspace()
        elif self._in_group:
            return not line or line in CHAIN or _GROUP_LINE.match(line) is not None
        else:
            # After the exception: more lines of its message (indented), the link of a chain, or an end.
            return not line or line in CHAIN or (line[0].isspace() and self._has_message)
        return True

    @property
    def _has_message(self) -> bool:
        """Whether the line before still belongs to an exception's message."""
        return bool(self._before.strip()) and self._before not in CHAIN


class _Open(OpenTraceback):
    """With what was read of it."""

    def __init__(self, block: Block) -> None:
        super().__init__(block.lines[0])
        self.block = block


class Joiner:
    """Feed it records in the order of the log; it gives back the tracebacks of workers, each one whole."""

    def __init__(self) -> None:
        self._open: dict[str, _Open] = {}
        self._before: dict[str, str] = {}
        self._now = 0.0

    @property
    def is_waiting(self) -> bool:
        """Whether some traceback is not complete yet."""
        return bool(self._open)

    def feed(self, records: Iterable[LogRecord]) -> Iterator[Block]:
        """The tracebacks that are complete by now."""
        for record in records:
            if record.time is not None and not self._now - _SET_BACK < record.time <= self._now:
                self._now = record.time
                if self._open:
                    yield from self.close_silent(self._now)
            if record.source == "worker":
                for line in record.text.split("\n"):
                    yield from self._line(record, line)
            elif record.text.startswith(_STOPPED) and record.thread in self._open:
                yield self._open.pop(record.thread).block  # the process ended: nothing more of it can come

    def close_silent(self, now: float) -> Iterator[Block]:
        """The tracebacks whose thread has been silent for a while at `now` (seconds since the epoch)."""
        for key in [key for key, open_ in self._open.items() if now - open_.block.last_at > SILENCE]:
            yield self._open.pop(key).block

    def flush(self) -> Iterator[Block]:
        """All that are open, for at the end of a log nothing more can come."""
        for key in list(self._open):
            yield self._open.pop(key).block

    def _line(self, record: LogRecord, line: str) -> Iterator[Block]:
        key = record.thread
        open_ = self._open.get(key)
        at = self._now if record.time is None else record.time
        if open_ is not None:
            if open_.feed(line):
                open_.block.last_at = max(at, open_.block.last_at)
                open_.block.phase = open_.block.phase or _phase_of_frame(line)
                if len(open_.block.lines) < _LINES:
                    open_.block.lines.append(line)
                return
            yield self._open.pop(key).block
        if line in (HEAD, GROUP_HEAD):
            self._open[key] = _Open(
                Block(
                    worker=record.worker,
                    model=record.model,
                    stream=record.stream,
                    phase=_phase(self._before.get(key, "")),
                    first_at=at,
                    last_at=at,
                    lines=[line],
                )
            )
        if line and not line[0].isspace():
            self._before[key] = line  # a heading may hold a message of several lines, the further ones indented


def _phase(heading: str) -> Phase:
    return next((phase for start, phase in _HEADINGS if heading.startswith(start)), "")


def _phase_of_frame(line: str) -> Phase:
    found = _FRAME.match(line)
    return next((phase for *place, phase in _FRAMES if found and [*found.groups()] == place), "")
