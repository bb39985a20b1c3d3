"""Look into any .mar, of whatever origin, without unpacking it and without trusting it."""

from __future__ import annotations

import json
import os
import stat
import zipfile
import zlib
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

import msgspec

from asteria_tui.archive.budget import DirectoryGuard
from asteria_tui.archive.entry_point import find_entry_point
from asteria_tui.archive.files import Progress, reading, sha256_of
from asteria_tui.archive.sources import BUILT_IN_HANDLERS, MANIFEST_NAME, understand_handler
from asteria_tui.bounds import open_regular, parse_json
from asteria_tui.errors import ArchiveError
from asteria_tui.wording import escaped

READ_LIMIT = 1024 * 1024
"""Bytes of a member that are unpacked to be looked at; no manifest or handler is larger."""
MAX_WARNINGS = 100
MAX_WARNING = 500
"""Characters."""
BOMB_RATIO = 200
"""Weights and source code never shrink like this; deflate ends at 1032."""
UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OSError)
"""What `zipfile` raises over a member that is damaged, encrypted or packed by a method that it does not know."""


class Member(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    size: int
    compressed_size: int
    crc: int
    is_stored: bool


class ArchiveReport(msgspec.Struct, frozen=True, kw_only=True):
    path: Path
    size: int
    sha256: str
    members: tuple[Member, ...]
    """In the order of the file."""
    manifest: dict[str, Any] | None
    model_name: str | None
    version: str | None
    entry_point: str
    """`handler.py: class MyHandler`, `handler.py: function handle`, `built-in text_classifier`, or empty."""
    warnings: tuple[str, ...]


def inspect(path: Path, progress: Progress | None = None) -> ArchiveReport:
    """What the archive holds and what is wrong with it; `progress` counts the hashing.

    Raises:
        ArchiveError: it cannot be read or is no .mar at all.
    """
    refuse_other_formats(path)
    with reading(path), open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        with _opened(path, file) as archive:
            infos = archive.infolist()
            warnings = [*_warnings(infos)]
            manifest = _manifest(archive, warnings)
            entry_point = _entry_point(archive, manifest, warnings)
    model = _model(manifest)
    more = [f"and {len(warnings) - MAX_WARNINGS:,} more warnings"] if len(warnings) > MAX_WARNINGS else []
    return ArchiveReport(
        path=path,
        size=size,
        # After the rest: a file that is no archive may be of any size.
        sha256=sha256_of(path, progress),
        members=tuple(_member(info) for info in infos),
        manifest=manifest,
        model_name=_text(model.get("modelName")),
        version=_version(model.get("modelVersion")),
        entry_point=entry_point,
        warnings=tuple(escaped(text, MAX_WARNING) for text in (*warnings[:MAX_WARNINGS], *more)),
    )


def _opened(path: Path, file: IO[bytes]) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(cast("IO[bytes]", DirectoryGuard(file)))
    except ArchiveError as error:
        raise ArchiveError(f"{path} is too large to be looked into", detail=error.title) from error
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise ArchiveError(
            f"{path} is truncated or damaged",
            detail=f"{error}: the directory at the end of a zip file is missing or wrong",
            hint="package or copy it again",
        ) from error


def refuse_other_formats(path: Path) -> None:
    """Raises ArchiveError unless the file begins like a zip file, and says what it is instead."""
    if path.is_dir():
        raise ArchiveError(f"{path} is not a .mar but a directory", hint="`--archive-format no-archive` makes these")
    with reading(path), open_regular(path) as file:
        start = file.read(4)
    if start[:2] == b"\x1f\x8b":
        raise ArchiveError(
            f"{path} is not a .mar but gzip data, perhaps a model in .tar.gz form",
            hint="make a .mar of it: unpack it and package its files",
        )
    if start not in {b"PK\x03\x04", b"PK\x05\x06"}:
        raise ArchiveError(f"{path} is not a .mar: it is no zip file", detail="empty" if not start else "")


def manifest_model(archive: zipfile.ZipFile) -> dict[str, Any]:
    """The `model` table of the manifest; empty where there is none that can be read."""
    return _model(_manifest(archive, []))


def _member(info: zipfile.ZipInfo) -> Member:
    return Member(
        name=info.filename,
        size=info.file_size,
        compressed_size=info.compress_size,
        crc=info.CRC,
        is_stored=info.compress_type == zipfile.ZIP_STORED,
    )


def _warnings(infos: list[zipfile.ZipInfo]) -> list[str]:
    found = [
        f"{name} is there {count} times; which one is unpacked is chance"
        for name, count in Counter(info.filename for info in infos).items()
        if count > 1
    ]
    for info in infos:
        # zipfile cuts a name at a NUL byte and turns other separators; the original tells what was written.
        name = info.orig_filename
        parts = PurePosixPath(name.replace("\\", "/"))
        if parts.is_absolute() or ".." in parts.parts or (parts.parts[:1] and parts.parts[0].endswith(":")):
            found.append(f"{name!r} leads out of the directory that it is unpacked in")
        if "\0" in name:
            found.append(f"{name!r} holds a NUL byte")
        if info.flag_bits & 1:
            found.append(f"{name} is encrypted: TorchServe cannot unpack it")
        if stat.S_ISLNK(info.external_attr >> 16):
            found.append(f"{name} is a symbolic link")
        if info.file_size > max(READ_LIMIT, BOMB_RATIO * info.compress_size):
            found.append(f"{name} unpacks to {info.file_size:,} bytes from {info.compress_size:,}: a zip bomb?")
    return found


def _read(archive: zipfile.ZipFile, name: str) -> bytes:
    """One small member; raises ValueError where it is larger than the limit, whatever its header says."""
    with archive.open(name) as member:
        content = member.read(READ_LIMIT + 1)
    if len(content) > READ_LIMIT:
        raise ValueError(f"larger than {READ_LIMIT:,} bytes")
    return content


def _manifest(archive: zipfile.ZipFile, warnings: list[str]) -> dict[str, Any] | None:
    try:
        manifest = parse_json(_read(archive, MANIFEST_NAME))
    except KeyError:
        warnings.append(f"there is no {MANIFEST_NAME}: TorchServe will not load it")
        return None
    except UNREADABLE as error:
        warnings.append(f"{MANIFEST_NAME} cannot be read: {error}")
        return None
    if not isinstance(manifest, dict):
        warnings.append(f"{MANIFEST_NAME} is not a JSON object")
        return None
    if not isinstance(manifest.get("model"), dict):
        warnings.append(f"{MANIFEST_NAME} has no model")
    names = set(archive.namelist())
    for key in ("serializedFile", "modelFile", "requirementsFile", "configFile"):
        named = _model(manifest).get(key)
        if named is not None and not isinstance(named, str):
            warnings.append(f"the {key} of the manifest is no text: {json.dumps(named)}")
        elif named and named not in names:
            warnings.append(f"the manifest names the {key} {named}, which is not there")
    return manifest


def _model(manifest: dict[str, Any] | None) -> dict[str, Any]:
    model = (manifest or {}).get("model")
    return model if isinstance(model, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _version(value: object) -> str | None:
    """A number counts as its text."""
    return json.dumps(value) if isinstance(value, int | float) else _text(value)


def _entry_point(archive: zipfile.ZipFile, manifest: dict[str, Any] | None, warnings: list[str]) -> str:
    given = _text(_model(manifest).get("handler"))
    runtime = _text((manifest or {}).get("runtime")) or "python"
    if not given:
        if manifest is not None:
            warnings.append("the manifest names no handler")
        return ""
    handler = understand_handler(given, runtime)
    if handler.path is None:
        return f"built-in {given}"
    if runtime == "LSP":
        return given
    file = handler.path
    try:
        return f"{file}: {find_entry_point(_read(archive, file), file, handler.function)}"
    except KeyError:
        if given.removesuffix(".py") in BUILT_IN_HANDLERS:
            return f"built-in {given}"
        warnings.append(f"the handler {file} is not in the archive")
    except ArchiveError as error:
        warnings.append(f"{error.title}: {error.detail}" if error.detail else error.title)
    except UNREADABLE as error:
        warnings.append(f"{file} cannot be read: {error}")
    return ""
