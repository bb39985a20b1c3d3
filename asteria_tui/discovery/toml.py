"""The asteria.toml of a discovery: what differs from the defaults, and what is useful to see."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from asteria_tui.config import FILE_NAME, ModelSettings
from asteria_tui.discovery.project import Discovery
from asteria_tui.errors import ConfigError
from asteria_tui.files import write_atomically

# Written even where it is the default.
SHOWN = {"version", "workers", "primary", "mirrors", "target", "inference_port"}
REMARKS = {
    "handler": "a file, file:function, or a name built into TorchServe",
    "extra_files": "files, patterns, or folders whose contents go along",
    "archive": "a ready-made archive instead of sources",
    "samples": "saved payloads; the first one is what `up` sends",
    "content_type": "empty: none, as curl -T sends",
    "workers": "also batch_size, max_batch_delay, response_timeout",
    "primary": "where archives are built and served from",
    "mirrors": "folders that get a copy of each archive",
    "target": "local | docker",
    "inference_port": "0 picks a free one",
}
HEAD = "# Written by `asteria-tui init` from what lies here; every value may be changed.\n"
MODEL_WITHOUT_SAMPLES = '# samples = "samples"  # a folder of saved payloads; without one `up` tests nothing\n'


def to_toml(discovery: Discovery) -> str:
    """Text that `config.settings_from` reads back as the same settings."""
    settings = discovery.settings
    parts = [HEAD]
    for name, model in settings.models.items():
        parts += [f"\n[models.{_key(name)}]\n", *_lines(model)]
        if model.samples is None:
            parts.append(MODEL_WITHOUT_SAMPLES)
    parts += ["\n[stores]\n", *_lines(settings.stores), "\n[server]\n", *_lines(settings.server)]
    if settings.server.properties:
        parts += [
            "\n[server.properties]\n",
            *(f"{_key(k)} = {_value(v)}\n" for k, v in settings.server.properties.items()),
        ]
    if docker := list(_lines(settings.docker)):
        parts += ["\n[docker]\n", *docker]
    return "".join(parts)


def write(root: Path, discovery: Discovery) -> Path:
    """Writes the whole file or nothing.

    Raises:
        ConfigError: there is one already, or the folder cannot be written.
    """
    target = root / FILE_NAME
    if os.path.lexists(target):
        raise ConfigError(f"{target} is there already", hint="edit it, or remove it first")
    try:
        write_atomically(target, to_toml(discovery).encode(), mode=0o666)
    except OSError as error:
        raise ConfigError(f"cannot write {target}", detail=error.strerror or str(error)) from error
    return target


def _lines(table: msgspec.Struct) -> Iterator[str]:
    for field in msgspec.structs.fields(table):
        value = getattr(table, field.name)
        is_shown = field.name in SHOWN and not (
            field.name == "version" and isinstance(table, ModelSettings) and table.archive is not None
        )
        if value is None or isinstance(value, dict) or (value == field.default and not is_shown):
            continue
        remark = f"  # {REMARKS[field.name]}" if field.name in REMARKS else ""
        yield f"{field.name} = {_value(value)}{remark}\n"


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _value(name)


def _value(value: Any) -> str:
    """JSON's strings, lists and numbers are TOML's; what is not printed, such as a mark of direction, is escaped."""
    text = json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)
    return "".join(one if one.isprintable() else f"\\U{ord(one):08x}" for one in text)
