"""The record of a started server: by it a later command finds the server again."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec

from asteria_tui.config import Project, Settings, Table, TargetName
from asteria_tui.errors import ConfigError, TargetError
from asteria_tui.logs.history import RUN
from asteria_tui.process import ProcessId
from asteria_tui.state_dir import make_dir, read_file, remove, remove_partials, write_file
from asteria_tui.targets.server_config import Ports, ServedModel

STATE_FILE = "state.json"
COPY_FILE = "state.copy.json"
GITIGNORE, IGNORE_ALL = ".gitignore", b"*\n"
MAX_TIME = 253402300799.0
"""The last second of the year 9999, in seconds since the epoch."""
MAX_BYTES = 1 << 20
"""Of a record."""


ABANDONED = 60.0
"""Seconds after which nobody writes a small file any more; it takes milliseconds."""


class LoadedModel(msgspec.Struct, frozen=True, kw_only=True):
    """An archive that we had the server load."""

    version: str
    sha256: str
    file: str
    parameters: dict[str, int] = {}
    """How it is served: workers, batch size and the like."""
    is_dev: bool = False
    """Served by `dev`, from its sources."""

    @classmethod
    def of(cls, model: ServedModel) -> LoadedModel:
        return cls(
            version=model.version,
            sha256=model.sha256,
            file=model.file,
            parameters=model.load_parameters,
            is_dev=model.is_dev,
        )


class ServerRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A server of this project that was started; whether it still runs is for its target to say.

    It is a hint: a cloned or copied folder may bring one, so nothing is ended or deleted for it alone.
    """

    target: TargetName
    process: ProcessId | None = None
    """None until it was started: the record is written before."""
    mark: Annotated[str, msgspec.Meta(pattern=r"\A([0-9a-f]{32})?\Z")] = ""
    """Random; every process of the server has it in its environment."""
    run: Annotated[str, msgspec.Meta(pattern=rf"\A\Z|{RUN}")] = ""
    """The folder of its logs, in `history/`."""
    was_open: bool = False
    """Its ports were seen open, so it has written its keys."""
    container: str | None = None
    """Its name; labels are what it is found by."""
    started_at: Annotated[float, msgspec.Meta(ge=0, le=MAX_TIME)]
    ports: Ports
    temporary: str = ""
    """A directory outside of the project, with the mark in it, to be removed with the server."""
    fingerprint: str = ""
    """Of the settings that only a restart can change."""
    settings: Settings = Settings()
    """What it was started with; the whole project where there is no asteria.toml."""
    models: dict[str, LoadedModel] = {}

    def url(self, port: int) -> str:
        return f"http://127.0.0.1:{port}"

    @property
    def inference(self) -> str:
        return self.url(self.ports.inference)

    @property
    def management(self) -> str:
        return self.url(self.ports.management)

    @property
    def metrics(self) -> str:
        return self.url(self.ports.metrics)


def server_dir(project: Project) -> Path:
    return project.state_dir / "server"


def make_state_dir(project: Project) -> Path:
    """`.asteria/server/`, private and git-ignored; raises ConfigError where the project can't be written."""
    try:
        make_dir(project.state_dir)
        _keep_from_git(project.state_dir)
        return make_dir(project.state_dir, "server")
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise TargetError(
                f"the disk of {project.state_dir} is full", detail=str(error), hint="free some space there"
            ) from error
        raise ConfigError(
            f"cannot write to {project.state_dir}",
            detail=error.strerror or str(error),
            hint="the server's state, keys and logs are kept there: make the project folder writable, or copy it",
        ) from error


def _keep_from_git(state_dir: Path) -> None:
    """Written where it is not there: whoever is killed meanwhile leaves a part of it."""
    try:
        if read_file(state_dir, GITIGNORE) == IGNORE_ALL:
            return
    except OSError:
        pass  # a link, a folder, or nothing yet
    write_file(state_dir, GITIGNORE, IGNORE_ALL)


def load_record(project: Project) -> ServerRecord | None:
    """The record of the last start, if need be from its copy; a file that is no record of ours is as good as none."""
    for file in (STATE_FILE, COPY_FILE):
        with contextlib.suppress(OSError, _DamagedError):
            return _read(project, file)
    return None


def damage(project: Project) -> str:
    """What is wrong with the record, for a person; empty where nothing is, or there is none."""
    file = f"server/{STATE_FILE}"
    try:
        _read(project, STATE_FILE)
    except FileNotFoundError:
        return ""
    except (OSError, _DamagedError) as error:
        why = getattr(error, "strerror", None) or error
        return f"the record {project.relative(project.state_dir / file)} is damaged: {why}"
    return ""


class _DamagedError(Exception):
    """The file is no record."""


def _read(project: Project, file: str) -> ServerRecord:
    data = read_file(project.state_dir, f"server/{file}", MAX_BYTES)
    try:
        return msgspec.json.decode(data, type=ServerRecord)
    except (ValueError, RecursionError) as error:  # bytes that are no UTF-8 are no DecodeError
        raise _DamagedError(str(error)) from error


def save_record(project: Project, record: ServerRecord) -> None:
    """A reader sees the old record or the new one, also when one of the two files is lost."""
    make_state_dir(project)
    data = msgspec.json.format(msgspec.json.encode(record))
    for file in (STATE_FILE, COPY_FILE):
        write_file(project.state_dir, f"server/{file}", data)


def adopt_record(project: Project, record: ServerRecord) -> None:
    """Makes the record of a running server whole again, where it is not."""
    try:
        is_kept = _read(project, STATE_FILE) == _read(project, COPY_FILE) == record
    except (OSError, _DamagedError):
        is_kept = False
    if not is_kept:
        save_record(project, record)


def forget_record(project: Project) -> None:
    for file in (STATE_FILE, COPY_FILE):
        remove(project.state_dir, f"server/{file}")
    with contextlib.suppress(FileNotFoundError):
        remove_partials(project.state_dir, "server")
        remove_partials(project.state_dir, older_than=ABANDONED)


def with_model(record: ServerRecord, name: str, loaded: LoadedModel | None) -> ServerRecord:
    """The record after a model was loaded, or unloaded (None)."""
    models = {key: value for key, value in record.models.items() if key != name}
    if loaded is not None:
        models[name] = loaded
    return msgspec.structs.replace(record, models=models)


def fingerprint(project: Project, of_target: Table | None = None) -> str:
    """Of what a running server can't change: its addresses, its Java, its store, and settings of its target."""
    # A folder that was moved took its store along.
    parts = (project.settings.server, of_target, str(project.primary_store))
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:16]


def new_record(project: Project, ports: Ports, models: Sequence[ServedModel], fingerprint: str = "") -> ServerRecord:
    return ServerRecord(
        target=project.settings.server.target,
        started_at=time.time(),
        ports=ports,
        fingerprint=fingerprint,
        settings=project.settings,
        models={model.name: LoadedModel.of(model) for model in models},
    )
