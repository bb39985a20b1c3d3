"""The body of a test inference: a saved sample, a text, a file, or standard input."""

from __future__ import annotations

import difflib
import errno
import itertools
import mimetypes
import re
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NoReturn

import msgspec

from asteria_tui.bounds import MIB, DepthError, parse_json, read_at_most, read_small
from asteria_tui.config import ModelSettings, Project
from asteria_tui.errors import ConfigError

JSON_TYPE = "application/json"
UNTYPED = "application/octet-stream"
"""What no type means, in word: the handler gets the same."""
_IGNORED = {".md", ".txt~", ".py"}
MAX_BYTES = 256 * MIB
"""Of a payload; TorchServe takes 6.5 MB unless `max_request_size` says otherwise."""
MAX_SAMPLES = 10_000
_CONTENT_TYPE = re.compile(r"[!-~][ -~]{0,254}")


class Payload(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    """The sample's name, the file's, or `stdin`."""
    content: bytes
    content_type: str | None = JSON_TYPE
    """None for raw bytes without a type, as `curl -T` sends them."""


def sample_files(project: Project, model: ModelSettings) -> dict[str, Path]:
    """The saved payloads of a model by name, in the order of their file names; raises ConfigError."""
    if model.samples is None:
        return {}
    directory = project.path(model.samples)
    try:
        entries = itertools.islice(directory.iterdir(), MAX_SAMPLES)
        files = sorted(path for path in entries if path.is_file())
    except OSError as error:
        raise ConfigError(
            f"cannot read the samples in {model.samples}",
            detail=error.strerror or str(error),
            hint="samples in asteria.toml names a directory of saved payloads",
        ) from error
    return {path.stem: path for path in files if path.suffix not in _IGNORED and not path.name.startswith(".")}


def first_sample(project: Project, model: ModelSettings) -> Payload | None:
    """What `up` sends; None for a model without samples."""
    for name, path in sample_files(project, model).items():
        return from_file(path, name, model.content_type)
    return None


def read_payload(
    project: Project,
    name: str,
    given: str | None,
    *,
    data: str | None = None,
    stdin: BinaryIO | None = None,
    content_type: str | None = None,
) -> Payload:
    """The payload that a command line means: SAMPLE, `@FILE`, `-`, `data`, or without any the first sample.

    `content_type` is instead of the model's own; an empty one sends none.

    Raises:
        ConfigError: no such sample or file, or it is not JSON where JSON is meant.
    """
    if content_type and not _CONTENT_TYPE.fullmatch(content_type):
        raise ConfigError(f"{content_type!r} is not a content type", hint="such as application/json or image/png")
    model = project.settings.models.get(name)
    if content_type is None and model is not None:
        content_type = model.content_type
    if data is not None:
        return checked(Payload(name="data", content=data.encode(), content_type=chosen_type(content_type, JSON_TYPE)))
    if given == "-":
        if stdin is None:
            raise ConfigError("standard input is closed", hint="-d JSON and @FILE give a payload, too")
        content = _read(lambda: read_at_most(stdin, MAX_BYTES, "standard input"), "from standard input")
        return checked(Payload(name="stdin", content=content, content_type=chosen_type(content_type, JSON_TYPE)))
    if given is not None and given.startswith("@"):
        return from_file(Path(given[1:]).expanduser(), Path(given[1:]).name, content_type)
    if model is None:
        raise ConfigError(
            f"model {name} is not of this project, so it has no samples",
            detail=f"the models of the project are: {', '.join(project.settings.models) or 'none'}",
            hint="-d JSON, @FILE or - give a payload for it",
        )
    samples = sample_files(project, model)
    if not samples:
        raise ConfigError(
            f"model {name} has no samples",
            hint="-d JSON, @FILE or - give a payload; samples in asteria.toml names a directory of them",
        )
    chosen = given or next(iter(samples))
    if chosen not in samples:
        near = difflib.get_close_matches(chosen, samples, n=1)
        raise ConfigError(
            f"no sample named {chosen!r}",
            detail=f"the samples are: {', '.join(samples)}",
            hint=f"did you mean {near[0]!r}?" if near else "@FILE sends a file",
        )
    return from_file(samples[chosen], chosen, content_type)


def from_file(path: Path, name: str, content_type: str | None = None) -> Payload:
    """`content_type` is as in `read_payload`.

    Raises ConfigError when it can't be read, or is not JSON though it should be.
    """
    content = _read(lambda: read_small(path, MAX_BYTES), str(path))
    return checked(Payload(name=name, content=content, content_type=chosen_type(content_type, type_of(path))))


def chosen_type(given: str | None, default: str) -> str | None:
    """An empty one is none."""
    return (default if given is None else given) or None


def _read(read: Callable[[], bytes], source: str) -> bytes:
    try:
        return read()
    except OSError as error:
        hint = "`-` reads standard input" if error.errno == errno.EINVAL else ""
        raise ConfigError(
            f"cannot read the payload {source}", detail=error.strerror or str(error), hint=hint
        ) from error


def type_of(path: Path) -> str:
    """The content type that a file's name tells."""
    return mimetypes.guess_type(path.name)[0] or UNTYPED


def checked(payload: Payload) -> Payload:
    """The same payload; raises ConfigError when it should be JSON and is not.

    TorchServe itself would hand the raw bytes to the handler without a word (docs/torchserve.md section 7).
    """
    if payload.content_type != JSON_TYPE:
        return payload
    try:
        parse_json(payload.content, _refuse_constant)
    except DepthError as error:
        raise ConfigError(f"the payload {payload.name!r} is nested too deeply to be checked") from error
    except ValueError as error:
        raise ConfigError(
            f"the payload {payload.name!r} is not JSON",
            detail=str(error),
            hint="--content-type sends something else than JSON as it is, --raw sends bytes without a type",
        ) from error
    return payload


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number (RFC 8259, section 6)")
