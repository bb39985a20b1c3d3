"""The record of a started server: by it a later command finds the server again."""

from __future__ import annotations

import errno
import hashlib
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from asteria_tui.config import Project, Settings, Table, TargetName
from asteria_tui.errors import ConfigError, TargetError
from asteria_tui.files import write_atomically
from asteria_tui.process import ProcessId
from asteria_tui.targets.server_config import Ports, ServedModel

STATE_FILE = "state.json"


class LoadedModel(msgspec.Struct, frozen=True, kw_only=True):
    """An archive that we had the server load."""

    version: str
    sha256: str
    file: str
    parameters: dict[str, int] = {}
    """How it is served: workers, batch size and the like."""

    @classmethod
    def of(cls, model: ServedModel) -> LoadedModel:
        return cls(version=model.version, sha256=model.sha256, file=model.file, parameters=model.load_parameters)


class ServerRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A server of this project that was started; whether it still runs is for its target to say."""

    target: TargetName
    process: ProcessId | None = None
    container: str | None = None
    """Its name; labels are what it is found by."""
    started_at: float
    ports: Ports
    temporary: str = ""
    """A directory of ours outside the project, to be removed with the server."""
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
    directory = server_dir(project)
    try:
        project.state_dir.mkdir(mode=0o700, exist_ok=True)
        write_atomically(project.state_dir / ".gitignore", b"*\n")
        directory.mkdir(mode=0o700, exist_ok=True)
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
    return directory


def load_record(project: Project) -> ServerRecord | None:
    """The record of the last start; a file that is no record of ours is as good as none."""
    try:
        return msgspec.json.decode((server_dir(project) / STATE_FILE).read_bytes(), type=ServerRecord)
    except (OSError, msgspec.DecodeError):
        return None


def save_record(project: Project, record: ServerRecord) -> None:
    """Atomic: a reader sees the old record or the new one."""
    file = make_state_dir(project) / STATE_FILE
    write_atomically(file, msgspec.json.format(msgspec.json.encode(record)))


def forget_record(project: Project) -> None:
    (server_dir(project) / STATE_FILE).unlink(missing_ok=True)


def with_model(record: ServerRecord, name: str, loaded: LoadedModel | None) -> ServerRecord:
    """The record after a model was loaded, or unloaded (None)."""
    models = {key: value for key, value in record.models.items() if key != name}
    if loaded is not None:
        models[name] = loaded
    return msgspec.structs.replace(record, models=models)


def fingerprint(project: Project, of_target: Table | None = None) -> str:
    """Of what a running server can't change: its addresses, its Java, its store, and settings of its target."""
    parts = (project.settings.server, of_target, project.settings.stores.primary)
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
