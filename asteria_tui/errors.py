"""The error tree.

AsteriaError
├── ConfigError      the project, its asteria.toml or the call is wrong      exit 2
├── ArchiveError     the .mar could not be built, read or copied             exit 1
├── TargetError      the target cannot be used: no Java, port taken          exit 3
├── ServerError      the server or a model is not well                       exit 4
├── TokenError       the server refused the token                            exit 5
└── InferenceError   the inference failed                                    exit 6
"""

from __future__ import annotations

import enum
from typing import Any


class ExitCode(enum.IntEnum):
    """What a command's exit status says."""

    DONE = 0
    """Everything that was asked for was done."""
    FAILED = 1
    """The operation failed."""
    USAGE = 2
    """The call or the configuration is wrong."""
    TARGET = 3
    """The target cannot be used: no Docker engine, no Java, a port taken."""
    UNWELL = 4
    """The server or a model is not well."""
    REFUSED = 5
    """The server refused the token."""
    INFERENCE = 6
    """The inference failed."""
    INTERRUPTED = 130
    """The user interrupted."""


MAX_TITLE = 600
MAX_DETAIL = 20_000
"""Characters: what an error quotes may have been made to be long."""


class AsteriaError(Exception):
    """An error that a user can read: what happened, the details, what to do next."""

    exit_code: ExitCode = ExitCode.FAILED

    def __init__(self, title: str, detail: str = "", hint: str = "") -> None:
        super().__init__(shortened(title, MAX_TITLE))
        self.title = shortened(title, MAX_TITLE)
        self.detail = shortened(detail, MAX_DETAIL)
        self.hint = shortened(hint, MAX_TITLE)
        self.cause: Any = None
        """The `events.Cause` that the log tells, where it tells one."""


def shortened(text: str, limit: int) -> str:
    """With its middle left out where it is longer than `limit`: what it is about stands at the ends."""
    half = limit // 2
    return text if len(text) <= limit else f"{text[:half]} … {text[-half:]}"


class ConfigError(AsteriaError):
    exit_code = ExitCode.USAGE


class NoProjectError(ConfigError):
    """There is no asteria.toml: the screen offers to write one."""


class ArchiveError(AsteriaError):
    exit_code = ExitCode.FAILED


class BusyError(AsteriaError):
    """Another operation has the lane."""


class TargetError(AsteriaError):
    exit_code = ExitCode.TARGET


class ServerError(AsteriaError):
    exit_code = ExitCode.UNWELL


class TokenError(AsteriaError):
    exit_code = ExitCode.REFUSED


class InferenceError(AsteriaError):
    exit_code = ExitCode.INFERENCE
