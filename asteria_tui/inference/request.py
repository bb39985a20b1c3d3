"""One request to a server's inference address: where it goes and what it carries, whoever sends it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

import msgspec

from asteria_tui.bounds import read_small
from asteria_tui.errors import ConfigError
from asteria_tui.inference.path import model_path
from asteria_tui.inference.payload import MAX_BYTES, Payload, type_of

Call = Literal["predict", "explain"]
Envelope = Literal["kserve", "kservev2"]
SEQUENCE_HEADER = "ts_request_sequence_id"
"""Requests of one sequence reach the same worker of a stateful model."""
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\x20-\x7e\t]*")
_OURS = frozenset({"authorization", "content-length", "content-type", "host", "transfer-encoding"})


class Request(msgspec.Struct, frozen=True, kw_only=True):
    path: str
    """What follows the inference address."""
    body: bytes
    content_type: str | None = None
    """None sends no such header, as `curl -T` does."""
    headers: Mapping[str, str] = {}


def path_of(model: str, *, version: str | None = None, call: Call = "predict", envelope: Envelope | None = None) -> str:
    """Raises ConfigError for a name or version that would lead elsewhere, and for one with an envelope.

    The paths are those of docs/torchserve.md section 7; TorchServe converts the body only where the server has
    `service_envelope` set to the same.
    """
    if envelope is None:
        return model_path("/predictions" if call == "predict" else "/explanations", model, version)
    if version is not None:
        raise ConfigError("the paths of KServe have no place for a version", hint="leave out --envelope")
    if envelope == "kserve":
        return f"{model_path('/v1/models', model)}:{call}"
    return f"{model_path('/v2/models', model)}/{'infer' if call == 'predict' else call}"


def headers_of(given: Iterable[str], sequence: str | None = None) -> dict[str, str]:
    """From `Name: value`; raises ConfigError, which never quotes a value: it may be a secret."""
    headers: dict[str, str] = {}
    for number, one in enumerate(given, 1):
        name, colon, value = one.partition(":")
        if not colon or not _NAME.fullmatch(name) or not _VALUE.fullmatch(value.strip()):
            raise ConfigError(f"header number {number} is none", hint="-H 'Name: value', of printable ASCII characters")
        if name.lower() in _OURS:
            hints = {"content-type": "--content-type sets it", "authorization": "the server's token is sent by itself"}
            raise ConfigError(f"the header {name} is not yours to set", hint=hints.get(name.lower(), ""))
        headers[name] = value.strip()
    if sequence is not None:
        if not _VALUE.fullmatch(sequence):
            raise ConfigError("the sequence's id is no value of a header", hint="printable ASCII characters")
        headers[SEQUENCE_HEADER] = sequence
    return headers


def form(fields: Iterable[str]) -> Payload:
    """A body of multipart/form-data from `name=value` and `name=@file` (RFC 7578); raises ConfigError.

    TorchServe keeps the last of equal names (docs/torchserve.md section 7), so they are refused.
    """
    boundary = f"asteria-{os.urandom(12).hex()}"
    parts: list[bytes] = []
    seen: set[str] = set()
    for one in fields:
        name, equals, value = one.partition("=")
        if not equals or not name or not name.isprintable():
            raise ConfigError("a field is none", hint="-F name=value or -F name=@FILE")
        if name in seen:
            raise ConfigError(f"the field {name!r} is given twice", detail="the handler would see the last one only")
        seen.add(name)
        disposition = f'form-data; name="{_quoted(name)}"'
        kind = ""
        content = value.encode()
        if value.startswith("@"):
            file = Path(value[1:]).expanduser()
            try:
                content = read_small(file, MAX_BYTES)
            except OSError as error:
                raise ConfigError(f"cannot read the field {name!r}", detail=f"{file}: {error.strerror}") from error
            disposition += f'; filename="{_quoted(file.name)}"'
            kind = f"Content-Type: {type_of(file)}\r\n"
        head = f"--{boundary}\r\nContent-Disposition: {disposition}\r\n{kind}\r\n"
        parts.append(head.encode() + content + b"\r\n")
    body = b"".join((*parts, f"--{boundary}--\r\n".encode()))
    return Payload(name="form", content=body, content_type=f"multipart/form-data; boundary={boundary}")


def _quoted(text: str) -> str:
    """As browsers write it (HTML Living Standard, multipart/form-data)."""
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def what_the_handler_gets(content_type: str | None, body: bytes) -> str:
    """The rule of docs/torchserve.md section 7 in a sentence."""
    kind = (content_type or "").partition(";")[0].strip().lower()
    if not body:
        return "an empty bytearray in data[0]['body']"
    rules = {
        "application/json": "the parsed JSON in data[0]['body']",
        "text/plain": "a str in data[0]['body']",
        "multipart/form-data": "one entry in data[0] for each field: parts of JSON parsed, others a bytearray",
        "application/x-www-form-urlencoded": "a bytearray in data[0] for each field",
    }
    return rules.get(kind, "a bytearray in data[0]['body']")
