"""What a worker's loader says (`dev/loader/`), typed: one line of JSON a message, with the version of the protocol."""

from __future__ import annotations

from typing import Annotated

import msgspec

from asteria_tui.dev.loader import VERSION
from asteria_tui.events import Cause, Frame, HeldFrame

MAX_LINE = 1 << 20
"""Bytes of a message."""
Milliseconds = Annotated[float, msgspec.Meta(ge=0)]


class Message(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag=str.lower):
    """One fact of one worker."""

    version: int = VERSION


class Hello(Message, frozen=True, kw_only=True):
    """The first one."""

    model: str
    pid: int
    python: str = ""
    sources: str = ""
    """The SHA-256 of the sources in service; empty while there are none."""


class Refused(Message, frozen=True, kw_only=True):
    """Instead of `Hello`: somebody else is connected in this role, or the loader speaks another version."""

    reason: str


class Loaded(Message, frozen=True, kw_only=True):
    """New code is in service."""

    sources: str
    milliseconds: Milliseconds
    files: tuple[str, ...] = ()
    """Those that had changed."""
    modules: tuple[str, ...] = ()
    """The files of the project that were imported."""
    is_first: bool = False


class Imported(Message, frozen=True, kw_only=True):
    """Files of the project that were imported in the middle of a request."""

    modules: tuple[str, ...]


class Failure(Message, frozen=True, kw_only=True):
    """An exception of the project's code."""

    sources: str = ""
    exception: str
    message: str = ""
    file: str = ""
    line: int = 0
    function: str = ""
    traceback: str = ""

    def cause(self, root: str, model: str, phase: str = "load") -> Cause:
        """As the log's readers tell one; `root` is the project's folder."""
        is_project = self.file.startswith(root.rstrip("/") + "/")
        file = self.file.removeprefix(root.rstrip("/") + "/") if is_project else self.file
        frame = Frame(file=file, line=self.line, function=self.function, is_project=is_project) if file else None
        return Cause(
            exception=self.exception,
            message=self.message,
            frame=frame,
            phase="inference" if phase == "inference" else "load",
            model=model,
            traceback=self.traceback,
        )


class LoadFailed(Failure, frozen=True, kw_only=True, tag="load_failed"):
    """The code of before is still in service, where there was any."""

    files: tuple[str, ...] = ()
    depth: str = ""
    """`worker` where only a new process can load it."""


class Started(Message, frozen=True, kw_only=True):
    """A batch is given to the handler."""

    requests: tuple[str, ...]


class Answered(Message, frozen=True, kw_only=True):
    requests: tuple[str, ...]
    sources: str
    milliseconds: Milliseconds


class Failed(Failure, frozen=True, kw_only=True):
    """The handler raised; an answer that is an error carries no header of ours."""

    requests: tuple[str, ...] = ()
    milliseconds: Milliseconds = 0.0
    is_too_large: bool = False
    """To be held."""


class Held(Failure, frozen=True, kw_only=True):
    """The handler raised, and the request is kept until new code is loaded; then it is `Started` again."""

    requests: tuple[str, ...] = ()
    seconds: float = 0.0
    """At most."""
    frames: tuple[HeldFrame, ...] = ()


class GivenUp(Message, frozen=True, kw_only=True, tag="given_up"):
    """The request that this worker held ends with its error."""


AnyMessage = Hello | Refused | Loaded | Imported | LoadFailed | Started | Answered | Failed | Held | GivenUp
_decoder = msgspec.json.Decoder(AnyMessage)


def decode(line: bytes) -> AnyMessage:
    """Raises ValueError for what is none, also for one of another version."""
    message: AnyMessage = _decoder.decode(line)
    if message.version != VERSION:
        raise ValueError(f"version {message.version} of the protocol, not {VERSION}")
    return message


def encode(kind: str, **values: object) -> bytes:
    """What we say to a loader."""
    return msgspec.json.encode({"type": kind, "version": VERSION, **values}) + b"\n"
