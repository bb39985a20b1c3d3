"""A request whose code raised waits for its fix: its worker keeps it, loads each save, and works on it again.

A worker holds only for as long as the `dev` that asked for it is connected. Nobody but that can be seen from here:
neither a caller that went away, nor how many others wait.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from typing import Any

from .link import Client, Link

OURS_HEADER = "x-asteria-sample"
"""What `dev` marks its own requests with: none of them is ever held."""
MAX_BYTES = 1 << 20
"""Of a batch that is kept to be worked on again."""
LOOK_EVERY = 0.02
"""Seconds between two looks at the sources while a request is held."""
SERVER_ERROR = 500


class InvalidResultError(Exception):
    """What TorchServe would refuse as the answers to a batch (`ts/service.py`)."""

    def __init__(self, answers: Any, expected: int) -> None:
        found = f"{len(answers)} of them" if isinstance(answers, list) else type(answers).__name__
        super().__init__(f"the handler has to return a list of {expected} answers, and returned {found}")
        self.answers = answers


class Hold:
    """Whether requests are held, and for how long each may be."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._owner: Client | None = None
        self._seconds = 0.0
        self._is_waiting = False
        self._is_given_up = False
        link.commands["hold"] = self._begin
        link.commands["give_up"] = self._give_up

    @property
    def seconds(self) -> float:
        """For how long a request is held; 0 where none is."""
        return self._seconds if self._owner is not None and not self._owner.is_closed else 0.0

    def wait(self, is_fixed: Callable[[], bool]) -> bool:
        """Whether new code came to work on the request again, before it was given up or its time was over."""
        end = time.monotonic() + self.seconds
        self._is_waiting, self._is_given_up = True, False
        try:
            while not self._is_given_up and self.seconds and time.monotonic() < end:
                if is_fixed():
                    return True
                time.sleep(LOOK_EVERY)
                self._link.attend()
        finally:
            self._is_waiting = False
        return False

    def _begin(self, client: Client, message: dict[str, Any]) -> None:
        seconds = message.get("seconds")
        if client.role == "dev" and isinstance(seconds, (int, float)):
            self._owner, self._seconds = client, float(seconds)

    def _give_up(self, client: Client, message: dict[str, Any]) -> None:  # noqa: ARG002 it says no more
        if self._is_waiting:
            self._is_given_up = True
            self._link.send("given_up")


class Batch:
    """The requests of one call, as TorchServe decoded them: a handler may change what it is given."""

    def __init__(self, data: Any, context: Any) -> None:
        self.data = data
        self._context = context
        self._processors = list(getattr(context, "request_processor", None) or ())
        self._copy: Any = None
        self.too_large = False
        self._stream = _Counted(getattr(context, "cl_socket", None))

    @property
    def is_ours(self) -> bool:
        """Whether nobody from outside waits for it."""
        headers = [processor.get_request_properties() for processor in self._processors]
        names = [{name.lower(): value for name, value in one.items()} for one in headers]
        return bool(names) and all(OURS_HEADER in one or one.get("describe") == "True" for one in names)

    def keep(self) -> None:
        """Makes it possible to work on it again."""
        self.too_large = _size(self.data) > MAX_BYTES
        if not self.too_large:
            self._copy = copy.deepcopy(self.data)
            if self._stream.socket is not None:
                self._context.cl_socket = self._stream

    def may_be_held(self, error: Exception) -> bool:
        """Not what the code refuses on purpose, nor an answer whose first parts were sent."""
        code = getattr(error, "error_code", None)
        is_refusal = type(error).__name__ == "PredictionException" and isinstance(code, int) and code < SERVER_ERROR
        return self._copy is not None and not is_refusal and not self._stream.is_used

    def restore(self) -> None:
        """As it came: body, response headers and status."""
        self.data = copy.deepcopy(self._copy)
        for processor in self._processors:
            processor.get_response_headers().clear()
            processor.report_status(200)

    def check(self, answers: Any) -> None:
        """Raises InvalidResultError."""
        if not isinstance(answers, list) or len(answers) != len(self.data):
            raise InvalidResultError(answers, len(self.data))


class _Counted:
    """The socket to TorchServe, which parts of a streamed answer go through."""

    def __init__(self, socket: Any) -> None:
        self.socket = socket
        self.is_used = False

    def __getattr__(self, name: str) -> Any:
        if name.startswith("send"):
            self.is_used = True
        return getattr(self.socket, name)


def _size(value: Any) -> int:
    """Bytes, about; of no more than what is too large anyway."""
    if isinstance(value, (bytes, bytearray, str)):
        return len(value)
    items: Any = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    size = 8
    for item in items:
        size += _size(item)
        if size > MAX_BYTES:
            break
    return size
