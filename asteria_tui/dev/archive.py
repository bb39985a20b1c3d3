"""What `dev` has a server load: a folder of links to the project's own files, with the loader as its handler.

TorchServe links a folder of its store instead of unpacking it (docs/torchserve.md section 3), so it takes milliseconds
at any size, and what is replaced on disk is what a worker sees.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from asteria_tui.archive.build import manifest_of
from asteria_tui.archive.sources import MANIFEST_NAME, Sources, collect, understand_handler
from asteria_tui.bounds import read_small
from asteria_tui.config import ModelSettings, Project
from asteria_tui.dev import loader
from asteria_tui.errors import ArchiveError
from asteria_tui.state_dir import make_dir, make_link, remove, write_file

PLACE = "dev"
"""Of all such folders, below the state of the project."""
CONFIG_FILE = "asteria_config.yaml"
"""The model's own with our timeouts: those of such a file, given or not, beat what a model is registered with."""
MAX_CONFIG = 1 << 20
MANY = 200
NOT_LIVE = ("asyncCommunication", "parallelType", "torchrun")
"""Where requests are not worked on one after the other in one process."""
DAY = 86_400
"""Seconds: the timeouts that the server gets, which can't be changed later; `dev` applies the project's own."""


class DevArchive(msgspec.Struct, frozen=True, kw_only=True):
    """One model as `dev` serves it."""

    name: str
    version: str
    file: str
    """Its name in the primary store."""
    folder: Path
    sources: Sources

    @property
    def files(self) -> tuple[Path, ...]:
        return tuple(path for _, path in self.sources.members)


def obstacle(project: Project, settings: ModelSettings) -> str:
    """Why the code of a model can't be swapped in a living worker; empty where it can."""
    if not settings.config_file:
        return ""
    import yaml

    try:
        found = yaml.safe_load(read_small(project.path(settings.config_file), MAX_CONFIG))
    except (OSError, ValueError, yaml.YAMLError, RecursionError):
        return ""  # the server says it better
    given = next((key for key in NOT_LIVE if isinstance(found, dict) and found.get(key)), None)
    return f"{settings.config_file} has {given}" if given else ""


def make(project: Project, name: str, settings: ModelSettings, *, is_live: bool = True) -> DevArchive:
    """Writes the folder, or brings it up to date; raises ArchiveError.

    `is_live`: its workers look for changes; else they serve what they loaded when they started.
    """
    if settings.archive is not None:
        raise ArchiveError(f"{name} is a ready-made archive: there are no sources to reload", hint="`up` serves it")
    sources = collect(project, name, settings, is_code_checked=False)
    place = f"{PLACE}/{name}"
    folder = project.state_dir / place
    try:
        _write(project, place, sources, settings, is_live=is_live)
        _link_into_store(project, file_in_store(name), folder)
    except OSError as error:
        raise ArchiveError(f"cannot write {folder}", detail=error.strerror or str(error)) from error
    return DevArchive(name=name, version=settings.version, file=file_in_store(name), folder=folder, sources=sources)


def lay_out(project: Project, place: str, name: str, settings: ModelSettings) -> Path:
    """Writes such a folder elsewhere below the state of the project, for one process; raises ArchiveError."""
    if settings.archive is not None:
        raise ArchiveError(f"{name} is a ready-made archive: there are no sources to run")
    sources = collect(project, name, settings, is_code_checked=False)
    try:
        _write(project, place, sources, settings, is_live=False)
    except OSError as error:
        raise ArchiveError(f"cannot write {place}", detail=error.strerror or str(error)) from error
    return project.state_dir / place


def forget(project: Project, name: str) -> None:
    """Removes the folder and its link in the store; raises OSError."""
    link = project.primary_store / file_in_store(name)
    if link.is_symlink():
        link.unlink()
    remove(project.state_dir, f"{PLACE}/{name}")


def names(project: Project) -> set[str]:
    """The models that have such a folder; also those of a `dev` that was killed."""
    try:
        return set(os.listdir(project.state_dir / PLACE))  # noqa: PTH208 no path leads to it for sure
    except OSError:
        return set()


def file_in_store(name: str) -> str:
    return f"{name}.dev.mar"


def tell(archive: DevArchive, project: Project) -> None:
    """Writes the settings once more: of many files, workers look only when these are others."""
    settings = f"{PLACE}/{archive.name}/{loader.SETTINGS_FILE}"
    write_file(project.state_dir, settings, read_small(project.state_dir / settings, 64 << 20))


def _write(project: Project, place: str, sources: Sources, settings: ModelSettings, *, is_live: bool) -> None:
    root = project.state_dir
    folder = make_dir(root, place)
    links = _folded({name: str(path) for name, path in sources.members})
    package = Path(loader.__file__).parent
    links |= {f"{loader.PACKAGE}/{file.name}": str(file) for file in package.glob("*.py")}
    written = {MANIFEST_NAME, loader.SETTINGS_FILE, *((CONFIG_FILE,) if settings.config_file else ())}
    for name in _names(folder):
        if name not in links.keys() | written:
            remove(root, f"{place}/{name}")
    for name, target in links.items():
        make_dir(root, str(Path(place, name).parent))
        if not _is_link_to(folder / name, target):
            make_link(root, f"{place}/{name}", target)
    manifest = msgspec.json.decode(manifest_of(sources))
    make_dir(root, f"{place}/{Path(MANIFEST_NAME).parent}")
    for_server = {**manifest, "model": {**manifest["model"], "handler": loader.PACKAGE}}
    if settings.config_file:
        for_server["model"]["configFile"] = CONFIG_FILE
        write_file(root, f"{place}/{CONFIG_FILE}", _with_our_timeouts(project.path(settings.config_file)))
    write_file(root, f"{place}/{MANIFEST_NAME}", msgspec.json.encode(for_server))
    write_file(
        root,
        f"{place}/{loader.SETTINGS_FILE}",
        msgspec.json.encode(
            {
                "version": loader.VERSION,
                "model": sources.name,
                "handler": sources.handler,
                "is_built_in": understand_handler(settings.handler or "", settings.runtime).path is None,
                "is_live": is_live,
                "manifest": manifest,
                "members": {name: str(path) for name, path in sources.members},
                "roots": [str(project.root)],
            }
        ),
    )


def _folded(links: dict[str, str]) -> dict[str, str]:
    """A folder of many members that lie just so in one folder of the project is one link: each takes a millisecond."""
    tops: dict[str, dict[str, str]] = {}
    for name, target in links.items():
        top, _, rest = name.partition("/")
        if rest:
            tops.setdefault(top, {})[rest] = target
    for top, members in tops.items():
        rest, target = next(iter(members.items()))
        folder = target.removesuffix(f"/{rest}")
        if len(members) >= MANY and all(target == f"{folder}/{rest}" for rest, target in members.items()):
            links = {name: target for name, target in links.items() if not name.startswith(f"{top}/")} | {top: folder}
    return links


def _is_link_to(path: Path, target: str) -> bool:
    try:
        return str(path.readlink()) == target
    except OSError:
        return False


def _names(folder: Path) -> Iterator[str]:
    """Of what is no folder; a link to one is none."""
    for at, folders, files in os.walk(folder):
        for name in (*files, *(name for name in folders if Path(at, name).is_symlink())):
            yield str(Path(at, name).relative_to(folder))


def _with_our_timeouts(file: Path) -> bytes:
    import yaml

    found = yaml.safe_load(read_small(file, MAX_CONFIG))
    if isinstance(found, dict):
        found |= {"responseTimeout": DAY, "startupTimeout": DAY, "clientTimeoutInMills": 0}
    return yaml.safe_dump(found).encode()


def _link_into_store(project: Project, file: str, folder: Path) -> None:
    project.primary_store.mkdir(parents=True, exist_ok=True)
    link = project.primary_store / file
    if link.is_symlink() and _is_link_to(link, str(folder)):
        return
    if link.exists() and not link.is_symlink():
        raise FileExistsError(17, f"{link} is in the way")
    link.unlink(missing_ok=True)
    link.symlink_to(folder)
