"""Opening what is to be worked on: a project folder, one ready-made archive, a folder that is no project yet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from asteria_tui import config
from asteria_tui.bounds import is_text, parse_toml
from asteria_tui.config import FILE_NAME, MODEL_NAME, STATE_DIR, VERSION, ModelSettings, Project
from asteria_tui.errors import ArchiveError, ConfigError
from asteria_tui.state_dir import STORE, check
from asteria_tui.wording import escaped

if TYPE_CHECKING:
    from asteria_tui.discovery import Discovery
    from asteria_tui.targets.record import ServerRecord


def open_project(root: Path, overrides: Mapping[str, Any] | None = None, *, is_about_server: bool = False) -> Project:
    """The project in `root`; without an asteria.toml the one that its server was started with.

    `is_about_server`: a broken asteria.toml does not keep a running server from being looked at or stopped.

    Raises:
        ConfigError: there is neither, the settings are wrong, or its `.asteria` leads elsewhere.
    """
    root = resolved(root)
    check(root / STATE_DIR)
    record = _last_record(Project(root=root, settings=config.Settings()))
    chosen = dict(overrides or {})
    if record is not None and chosen.get("server.target") is None:
        # What was started last is what the later commands are about.
        chosen["server.target"] = record.target
    if record is not None and not (root / FILE_NAME).exists():
        return Project(root=root, settings=record.settings)
    try:
        return config.load(root, chosen)
    except ConfigError:
        if record is not None and is_about_server:
            return Project(root=root, settings=record.settings)
        raise


def _last_record(project: Project) -> ServerRecord | None:
    if not project.state_dir.exists():
        return None
    from asteria_tui.targets.record import load_record  # costs 40 ms with what it needs

    return load_record(project)


def archive_project(root: Path, file: Path, overrides: Mapping[str, Any] | None = None) -> Project:
    """A project that serves one ready-made archive, whatever lies in `root`; raises ConfigError, ArchiveError."""
    from asteria_tui.archive.inspect import inspect
    from asteria_tui.archive.sources import is_of_dev

    root = resolved(root)
    check(root / STATE_DIR)
    if not config.is_possible(file) or not file.is_file():
        raise ConfigError(f"no archive at {escaped(str(file))}")
    report = inspect(file)
    if any(is_of_dev(member.name) for member in report.members):
        raise ArchiveError(
            f"{file} holds the loader of `dev`, which runs other files than those in it",
            hint="package the sources: `asteria-tui package`",
        )
    name, version = report.model_name or file.stem, report.version or "1.0"
    if not MODEL_NAME.fullmatch(name) or not VERSION.fullmatch(version):
        raise ArchiveError(
            f"{file} holds a model that can't be served by its name",
            detail=f"name {name!r}, version {version!r}",
            hint="letters, digits, `_`, `-` and `.`: package it again with another --model-name or --version",
        )
    settings = (
        config.load(root, overrides).settings if (root / FILE_NAME).exists() else config.settings_from({}, overrides)
    )
    # A store of its own: a foreign archive never takes the place of one of the project's.
    stores = config.StoreSettings(primary=f"{STATE_DIR}/{STORE}")
    model = ModelSettings(archive=str(file.resolve()), version=version)
    return Project(root=root, settings=msgspec.structs.replace(settings, models={name: model}, stores=stores))


def _refuse_unusable(content: bytes) -> None:
    """What the next command would refuse is not even proposed."""
    if len(content) > config.MAX_BYTES:
        raise ConfigError("it would be too large")
    config.settings_from(parse_toml(content), source="it")


def resolved(root: Path) -> Path:
    """The folder by its full name; raises ConfigError where there can be none."""
    try:
        folder = root.resolve()
    except FileNotFoundError:
        raise ConfigError("the working directory was deleted", hint="go to another one, or use -C DIR") from None
    except (OSError, RuntimeError, ValueError) as error:  # such as links in a circle
        raise ConfigError(f"no folder {escaped(str(root))}", detail=str(error)) from error
    if not config.is_possible(folder) or not is_text(str(folder)):
        raise ConfigError(
            f"{escaped(str(root))} cannot be a project folder",
            detail="its name is too long, or not UTF-8, in which settings and logs are written",
        )
    return folder


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """An asteria.toml that is not written yet."""

    root: Path
    discovery: Discovery
    """With the reason for each value."""
    text: str


def propose(root: Path) -> Proposal:
    """The asteria.toml for what lies in `root`; raises ConfigError where that is nothing."""
    from asteria_tui.discovery import discover, to_toml

    root = resolved(root)
    discovery = discover(root)
    proposal = Proposal(root=root, discovery=discovery, text=to_toml(discovery))
    try:
        _refuse_unusable(proposal.text.encode())
    except (ConfigError, ValueError) as error:
        raise ConfigError(
            f"what lies in {root} makes no {FILE_NAME} that could be used",
            detail=str(error),
            hint="write one by hand: docs/configuration.md lists every key",
        ) from error
    return proposal


def initialize(proposal: Proposal) -> Path:
    """Writes it; raises ConfigError where there is one already, or it cannot be written."""
    from asteria_tui.discovery import write

    return write(proposal.root, proposal.discovery)


def export_compose(project: Project, directory: Path) -> list[Path]:
    """Writes a compose file and what it mounts; raises ConfigError."""
    from asteria_tui.export.compose import export

    return export(project, directory)
