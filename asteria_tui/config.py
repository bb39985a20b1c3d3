"""What the user wants: flag > `ASTERIA_…` environment variable > `asteria.toml` > default.

`asteria.toml` is read strictly: an unknown key is an error that names the file, the key and the nearest spelling.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from asteria_tui.bounds import KIB, is_text, parse_toml, read_small
from asteria_tui.errors import ConfigError, NoProjectError

FILE_NAME = "asteria.toml"
MAX_BYTES = 256 * KIB
"""Of a file of settings: a thousand models take half of it."""
MAX_PATH = 4096
MAX_FILE_NAME = 255
"""Bytes of a path and of each of its names (Linux, path_resolution(7))."""
STATE_DIR = ".asteria"
TargetName = Literal["local", "docker"]
"""Of each target in `targets/registry.py`: written out, because mypy and msgspec read it from the type."""
Archiver = Literal["own", "official"]
"""Our own writer, or the tool torch-model-archiver itself."""

Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
AtLeastOne = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
"""TorchServe counts with the `int` of Java."""

# `torch-model-archiver` accepts the same names (docs/torchserve.md section 3).
MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_\-.]{0,199}")
# A part of a URL's path, and of a line of the log.
_VERSION = r"(?!\.{1,2}\Z)[^/\x00-\x1f\x7f]{1,200}"
VERSION = re.compile(_VERSION)


class Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of asteria.toml."""


class ModelSettings(Table, frozen=True, kw_only=True):
    """`[models.NAME]`: sources to package, or a ready-made archive."""

    version: Annotated[str, msgspec.Meta(pattern=rf"\A{_VERSION}\Z")] = "1.0"
    handler: str | None = None
    """A file, `file.py:function`, or the name of a handler built into TorchServe."""
    serialized_file: str | None = None
    model_file: str | None = None
    extra_files: tuple[str, ...] = ()
    """Files, patterns, or directories whose contents go to the root of the archive."""
    requirements_file: str | None = None
    config_file: str | None = None
    runtime: Literal["python", "python3", "LSP"] = "python"
    archive: str | None = None
    """A ready-made archive instead of the sources above."""
    samples: str | None = None
    """A directory of saved payloads; the first one is what `up` sends."""
    content_type: Annotated[str, msgspec.Meta(pattern=r"\A([!-~][ -~]{0,254})?\Z")] | None = None
    """Of its payloads, instead of what their names say; an empty one sends none, as `curl -T` does."""
    workers: AtLeastOne = 1
    batch_size: AtLeastOne = 1
    max_batch_delay: Count = 100
    """Milliseconds."""
    response_timeout: AtLeastOne = 120
    """Seconds."""
    startup_timeout: AtLeastOne = 120
    """Seconds."""


class StoreSettings(Table, frozen=True, kw_only=True):
    """`[stores]`: directories of archives that TorchServe loads from."""

    primary: str = "model_store"
    mirrors: tuple[str, ...] = ()


class ServerSettings(Table, frozen=True, kw_only=True):
    """`[server]`: a port of 0 takes a free one."""

    target: TargetName = "local"
    inference_port: Port = 8080
    management_port: Port = 8081
    metrics_port: Port = 8082
    grpc_inference_port: Port = 7070
    grpc_management_port: Port = 7071
    token_expiration_minutes: Annotated[float, msgspec.Meta(gt=0, le=1e9)] = 60.0
    python: str | None = None
    """The interpreter that runs the workers; without it the one that runs asteria-tui."""
    java_options: tuple[str, ...] = ()
    properties: dict[str, str] = {}
    """Further lines for the generated config.properties."""


class DockerSettings(Table, frozen=True, kw_only=True):
    """`[docker]`."""

    image: str = "asteria-torchserve:local"
    dockerfile: str = "Dockerfile.torchserve"
    container: str = "asteria-torchserve"
    memory: str = "2g"
    base: str | None = None
    """What the image is built on, instead of the Dockerfile's own choice."""
    wheelhouse: str | None = None
    """A directory of wheels: the image is built from them, without a network."""
    torch_index: str | None = None
    """The package index that torch comes from, such as one with CPU builds."""


class Settings(Table, frozen=True, kw_only=True):
    """All of asteria.toml."""

    models: dict[str, ModelSettings] = {}
    stores: StoreSettings = StoreSettings()
    server: ServerSettings = ServerSettings()
    docker: DockerSettings = DockerSettings()


class Project(msgspec.Struct, frozen=True, kw_only=True):
    """A folder and what its asteria.toml says."""

    root: Path
    settings: Settings

    @property
    def state_dir(self) -> Path:
        """Where everything of ours lies that is not the user's (docs/design.md section 5)."""
        return self.root / STATE_DIR

    @property
    def logs_dir(self) -> Path:
        """The logs of the current server, or of the last one."""
        return self.state_dir / "server" / "logs"

    @property
    def history_dir(self) -> Path:
        """One folder for each run of a server."""
        return self.state_dir / "history"

    @property
    def primary_store(self) -> Path:
        return self.path(self.settings.stores.primary)

    def path(self, name: str) -> Path:
        """A path of asteria.toml, relative to the project."""
        try:
            path = Path(name).expanduser()
        except RuntimeError as error:
            raise ConfigError(f"{name}: no such home directory") from error
        if not is_possible(path):
            raise ConfigError(f"{name!r}: no file can have this name")
        return self.root / path

    def relative(self, path: Path | str) -> str:
        """A path as the user knows it: relative where it lies in the project."""
        try:
            return str(Path(path).relative_to(self.root))
        except ValueError:
            return str(path)

    def model(self, name: str | None = None) -> tuple[str, ModelSettings]:
        """The model of that name, or the first one; raises ConfigError where there is none."""
        models = self.settings.models
        if not models:
            raise ConfigError("this project has no model", hint=f"add a [models.NAME] table to {FILE_NAME}")
        chosen = next(iter(models)) if name is None else name
        if chosen not in models:
            raise ConfigError(
                f"no model named {chosen!r} in this project",
                detail=f"the models are: {', '.join(models)}",
                hint=_did_you_mean(chosen, models),
            )
        return chosen, models[chosen]


def is_possible(path: Path) -> bool:
    """Whether the system could have a file of that name at all; it raises many errors for one that it can't."""
    try:
        names = [os.fsencode(part) for part in (str(path), *path.parts)]
    except UnicodeEncodeError:
        return False
    return b"\0" not in names[0] and len(names[0]) <= MAX_PATH and max(map(len, names[1:]), default=0) <= MAX_FILE_NAME


def load(root: Path, overrides: Mapping[str, Any] | None = None) -> Project:
    """The project in `root`.

    `overrides` are flags by dotted key, such as `{"server.target": "docker"}`; None values are not given.

    Raises:
        NoProjectError: there is no asteria.toml.
        ConfigError: something in it, in the environment or in a flag is wrong.
    """
    file = root / FILE_NAME
    try:
        content = read_small(file, MAX_BYTES)
    except FileNotFoundError:
        raise NoProjectError(
            f"no {FILE_NAME} in {root}",
            hint="`asteria-tui init` writes one from what lies there; -C DIR names another folder",
        ) from None
    except OSError as error:
        raise ConfigError(f"cannot read {file}", detail=error.strerror or str(error)) from error
    try:
        data = parse_toml(content)
    except ValueError as error:
        raise ConfigError(f"{file} is not valid TOML", detail=str(error)) from error
    return Project(root=root.resolve(), settings=settings_from(data, overrides, source=str(file)))


def settings_from(
    data: dict[str, Any], overrides: Mapping[str, Any] | None = None, source: str = FILE_NAME
) -> Settings:
    """Checked settings from parsed TOML, the environment and flags; raises ConfigError."""
    _refuse_unknown_keys(data, Settings, source)
    for given, where in ((_environment(), "the environment"), (overrides or {}, "the command line")):
        for dotted, value in given.items():
            if value is None:
                continue
            table, key = dotted.split(".")
            section = data.setdefault(table, {})
            if isinstance(section, dict):
                section[key] = value
                source = f"{source} with {where}" if where not in source else source
    try:
        # Environment variables are text, so numbers may come as text.
        settings = msgspec.convert(data, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{source}: {error}", hint="docs/configuration.md lists every key") from error
    for name, model in settings.models.items():
        _check_model(name, model, source)
    _check_ports(settings.server, source)
    return settings


def _check_ports(server: ServerSettings, source: str) -> None:
    ports = [getattr(server, field) for field in server.__struct_fields__ if field.endswith("_port")]
    twice = {port for port in ports if port and ports.count(port) > 1}
    if twice:
        raise ConfigError(f"{source}: port {twice.pop()} is given twice under [server]", hint="0 takes a free one")


def _check_model(name: str, model: ModelSettings, source: str) -> None:
    if not MODEL_NAME.fullmatch(name):
        raise ConfigError(
            f"{source}: {name!r} is not a valid model name",
            hint="letters, digits, `_`, `-` and `.`; the first one a letter or digit",
        )
    if model.archive is None and model.handler is None:
        raise ConfigError(
            f"{source}: [models.{name}] has neither handler nor archive",
            hint='handler = "handler/my_handler.py" to package sources, archive = "my.mar" to serve a ready one',
        )


def _refuse_unknown_keys(data: Mapping[str, Any], table: type[msgspec.Struct], source: str, at: str = "") -> None:
    """Names the key and the nearest spelling, which msgspec's own message does not."""
    known = {field.encode_name: field.type for field in msgspec.structs.fields(table)}
    for key, value in data.items():
        dotted = f"{at}{key}"
        if key not in known:
            raise ConfigError(f"{source}: unknown key {dotted!r}", hint=_did_you_mean(key, known))
        kind = known[key]
        if not isinstance(value, dict):
            continue
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            _refuse_unknown_keys(value, kind, source, f"{dotted}.")
        elif kind == dict[str, ModelSettings]:
            for name, model in value.items():
                if isinstance(model, dict):
                    _refuse_unknown_keys(model, ModelSettings, source, f"{dotted}.{name}.")


def _did_you_mean(word: str, known: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known are: {', '.join(known)}"


def _environment() -> dict[str, str | list[str]]:
    """`ASTERIA_SERVER_INFERENCE_PORT=0` by dotted key; lists are parted by commas; raises ConfigError."""
    tables: dict[str, type[Table]] = {
        field.name: field.type
        for field in msgspec.structs.fields(Settings)
        if isinstance(field.type, type) and issubclass(field.type, Table)
    }
    known = {
        f"ASTERIA_{table}_{field.name}".upper(): (f"{table}.{field.name}", field.type == tuple[str, ...])
        for table, struct in tables.items()
        for field in msgspec.structs.fields(struct)
    }
    given: dict[str, str | list[str]] = {}
    for name, value in os.environ.items():
        if not value or not name.startswith(tuple(f"ASTERIA_{table}_".upper() for table in tables)):
            continue
        if name not in known:
            raise ConfigError(f"unknown environment variable {name}", hint=_did_you_mean(name, known))
        if not is_text(value):
            raise ConfigError(f"the environment variable {name} is not UTF-8")
        dotted, is_list = known[name]
        given[dotted] = value.split(",") if is_list else value
    return given
