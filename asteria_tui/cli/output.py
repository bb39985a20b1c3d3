"""Standard output: what cannot be written to it is an error of ours, wherever it was written."""

from __future__ import annotations

import io
import sys

from asteria_tui.errors import AsteriaError


class OutputError(AsteriaError):
    """Nobody gets the result, so it counts as none."""


class Output(io.TextIOWrapper):
    """A text stream that raises OutputError, and BrokenPipeError where its reader is gone."""

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError as error:
            raise _failure(error) from error

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            raise _failure(error) from error


def _failure(error: OSError) -> Exception:
    if isinstance(error, BrokenPipeError):
        return error
    return OutputError("cannot write the output", detail=error.strerror or str(error))


def guard_stdout() -> None:
    """From now on; and what its encoding does not have is escaped, as it is on standard error."""
    before = sys.stdout
    if isinstance(before, io.TextIOWrapper):
        line, through = before.line_buffering, before.write_through
        guarded = Output(
            before.detach(), before.encoding, "backslashreplace", line_buffering=line, write_through=through
        )
        sys.stdout = sys.__stdout__ = guarded  # type: ignore[misc]  # what was detached can't be used any more
