"""From a project to a running container: name, ports, files, and why the engine refused.

Blocking, as the Docker SDK is.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from asteria_tui.config import Project
from asteria_tui.errors import ConfigError, ServerError, TargetError
from asteria_tui.logs.history import start_run
from asteria_tui.state_dir import make_dir, remove, write_file
from asteria_tui.targets.docker import image
from asteria_tui.targets.docker.spec import (
    CONFIG,
    HEALTH_CHECK,
    IMAGE_USER,
    LAUNCHER,
    LOGS,
    PORTS,
    ContainerSpec,
    Layout,
    Mount,
    check_readable,
    layout_of,
)
from asteria_tui.targets.ports import claim_ports
from asteria_tui.targets.record import ServerRecord, make_state_dir, new_record, server_dir
from asteria_tui.targets.server_config import (
    JAVA_OPTIONS,
    LOG_LAYOUT_FILE,
    PROPERTIES_FILE,
    LogDestination,
    Ports,
    ServedModel,
    log_layout,
    properties,
)

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

PROJECT_LABEL = "asteria.project"
"""The hash of the project's path."""
ARCHIVES_LABEL = "asteria.archives"
"""The hash of the archives that it was started with."""
RECORD_LABEL = "asteria.record"
"""The ServerRecord, for the day when `.asteria` is gone."""
FILES = "container"
"""Below `.asteria/server/`: what is mounted into the container beside store and logs."""


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """A container about to run."""

    spec: ContainerSpec
    record: ServerRecord
    shares_logs: bool


def mark_of(project: Project) -> str:
    return hashlib.sha256(os.fsencode(project.root)).hexdigest()[:16]


def of_project(client: DockerClient, mark: str) -> list[Container]:
    """Every container of that project, the newest first."""
    label = f"{PROJECT_LABEL}={mark}"
    return list(client.containers.list(all=True, filters={"label": label}, ignore_removed=True))


def labelled_record(labels: Mapping[str, str]) -> ServerRecord:
    """As it was when the container was started; raises ServerError where the label is none of ours."""
    try:
        return msgspec.json.decode(labels.get(RECORD_LABEL, ""), type=ServerRecord)
    except msgspec.MsgspecError as error:
        raise ServerError(
            "the container of this project does not tell how it was started",
            detail=f"its label {RECORD_LABEL} cannot be read: {error}",
            hint="`asteria-tui down` ends it, `asteria-tui up` starts a new one after that",
        ) from error


def check(client: DockerClient, project: Project, models: Sequence[ServedModel], own: Ports | None) -> None:
    """Raises TargetError where a container could not run: memory, mode of the store, port or name.

    `own` are the ports of the container that is to be replaced.
    """
    _check_memory(project.settings.docker.memory)
    check_readable(_container_user(client), project.primary_store, [model.file for model in models])
    claim_ports_on(client, project, own)
    _free_name(client, project)


def prepare(client: DockerClient, project: Project, models: Sequence[ServedModel], tag: str, fingerprint: str) -> Setup:
    """Writes what is mounted; raises TargetError where a port or the name was taken since `check`."""
    layout = _layout(client, tag)
    shares_logs = _shares_users(client)
    user = _container_user(client)
    archives = [model.file for model in models]
    ports = claim_ports_on(client, project)
    name = _free_name(client, project)
    make_state_dir(project)
    logs = start_run(project.state_dir)
    record = msgspec.structs.replace(new_record(project, ports, models, fingerprint), container=name, run=logs.id)
    mounts = _write_files(project, models, layout, user, logs.folder if shares_logs else None)
    listing = "".join(sorted(f"{model.name} {model.sha256}\n" for model in models))
    spec = ContainerSpec(
        name=name,
        image=tag,
        user=user,
        memory=project.settings.docker.memory,
        ports=ports,
        mounts=(Mount(source=project.primary_store.resolve(), target=layout.store), *mounts),
        archive_bytes=sum((project.primary_store / archive).stat().st_size for archive in archives),
        layout=layout,
        java_options=(*JAVA_OPTIONS, *project.settings.server.java_options),
        labels={
            PROJECT_LABEL: mark_of(project),
            ARCHIVES_LABEL: hashlib.sha256(listing.encode()).hexdigest(),
            RECORD_LABEL: msgspec.json.encode(record).decode(),
        },
    )
    return Setup(spec=spec, record=record, shares_logs=shares_logs)


def start(client: DockerClient, setup: Setup) -> Container:
    """Creates and starts it; raises TargetError."""
    from docker.errors import APIError

    try:
        container = client.containers.create(**setup.spec.api_arguments())
        container.start()
    except APIError as error:
        raise _refusal(str(error.explanation or error)) from error
    return container


# What the engine says, what it means, and what to do.
_REFUSALS = (
    (
        r"port is already allocated|address already in use",
        "a port was taken in the very moment of the start",
        "run it again: the owner is named then",
    ),
    (
        r"container name .* is already in use",
        "the container's name was taken in the very moment of the start",
        "run it again",
    ),
    (
        r"bind source path does not exist|mounts denied|not shared",
        "the Docker engine cannot see this folder",
        "share it with the engine's machine (Docker Desktop: Settings, Resources, File sharing), or use --target local",
    ),
    (
        r"[Mm]inimum memory limit|[Ii]nvalid.*memory",
        "the engine refuses the memory limit",
        'memory = "2g" under [docker] in asteria.toml',
    ),
    (r"no space left on device", "the engine's disk is full", "`docker system df` shows by what"),
    (
        r"[Ii]nvalid container name",
        "the container's name is not valid",
        "container under [docker] in asteria.toml names it",
    ),
)


def _refusal(reason: str) -> TargetError:
    for pattern, title, hint in _REFUSALS:
        if re.search(pattern, reason):
            return TargetError(title, detail=reason, hint=hint)
    return TargetError("the Docker engine refused to start the container", detail=reason)


def _layout(client: DockerClient, tag: str) -> Layout:
    found = client.images.get(tag)
    return layout_of(found.attrs.get("Config") or {}, is_ours=bool((found.labels or {}).get(image.RECIPE_LABEL)))


def _check_memory(memory: str) -> None:
    from docker.errors import DockerException
    from docker.utils import parse_bytes

    try:
        parse_bytes(memory)
    except DockerException as error:
        raise ConfigError(
            f"{memory!r} is not a valid amount of memory", hint='memory = "2g" under [docker] in asteria.toml'
        ) from error


def _shares_users(client: DockerClient) -> bool:
    """Whether a user id means the same inside and outside."""
    options: Sequence[str] = client.info().get("SecurityOptions") or ()
    return not any("rootless" in option or "userns" in option for option in options)


def _container_user(client: DockerClient) -> tuple[int, int]:
    return _user() if _shares_users(client) else (IMAGE_USER, IMAGE_USER)


def _user() -> tuple[int, int]:
    """Ours, so that what it writes is ours and what we may read it may; never root."""
    return (os.getuid(), os.getgid()) if os.getuid() != 0 else (IMAGE_USER, IMAGE_USER)


def claim_ports_on(client: DockerClient, project: Project, own: Ports | None = None) -> Ports:
    """Raises TargetError naming the container, or the program, that holds one; `own` are given back."""
    wanted = Ports.wanted(project.settings.server)
    names = {port: name for name, port in wanted.items().items() if port}
    taken = [
        f"port {published['PublicPort']} is taken by the container {container['Names'][0].lstrip('/')}"
        f" ({names[published['PublicPort']]}_port)"
        for container in client.api.containers()
        if (container.get("Labels") or {}).get(PROJECT_LABEL) != mark_of(project)
        for published in container.get("Ports") or ()
        if published.get("PublicPort") in names
    ]
    if taken:
        raise TargetError(
            "a port is taken" if len(taken) == 1 else "ports are taken",
            detail="\n".join(dict.fromkeys(taken)),
            hint="stop that container, or choose other ports under [server] in asteria.toml; 0 takes a free one",
        )
    return claim_ports(wanted, own)


def _free_name(client: DockerClient, project: Project) -> str:
    """The name of asteria.toml; another project's container under it leaves us a name beside it."""
    from docker.errors import NotFound

    wanted = project.settings.docker.container
    try:
        holder = client.containers.get(wanted)
    except NotFound:
        return wanted
    if PROJECT_LABEL in holder.labels:
        return f"{wanted}-{mark_of(project)[:8]}"
    raise TargetError(
        f"there is a container named {wanted}, and it is not ours",
        detail=f"{holder.status}, of {holder.attrs['Config']['Image']}; it was left as it is",
        hint='remove it yourself, or choose another name: container = "…" under [docker] in asteria.toml',
    )


def _write_files(
    project: Project, models: Sequence[ServedModel], layout: Layout, user: tuple[int, int], logs: Path | None
) -> list[Mount]:
    """config.properties and log layout, the log directory if it is shared, and for another's image our launcher."""
    inside, files = f"server/{FILES}", server_dir(project) / FILES
    remove(project.state_dir, inside)
    config = make_dir(project.state_dir, f"{inside}/config")
    text = properties(project.settings.server, PORTS, models, store=layout.store, bind="0.0.0.0")  # noqa: S104 published on loopback only
    records = log_layout(LOGS, LogDestination.FILE_AND_CONSOLE if logs else LogDestination.CONSOLE)
    write_file(project.state_dir, f"{inside}/config/{PROPERTIES_FILE}", text.encode())
    write_file(project.state_dir, f"{inside}/config/{LOG_LAYOUT_FILE}", records.encode())
    mounts = [Mount(source=config.resolve(), target=CONFIG)]
    if logs is not None:
        if os.getuid() == 0:
            os.chown(logs, *user)
        mounts.append(Mount(source=logs.resolve(), target=LOGS, read_only=False))
    for target in () if layout.is_ours else (LAUNCHER, HEALTH_CHECK):
        write_file(project.state_dir, f"{inside}/{target.name}", (image.IMAGE_FILES / target.name).read_bytes())
        mounts.append(Mount(source=(files / target.name).resolve(), target=target))
    # `.asteria` itself is private, so these may be open to the container's user whatever our umask is.
    for path in (files, *files.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return mounts


def record_of(project: Project, container: Container) -> ServerRecord | None:
    """Where a running container answers on this machine; None where it publishes not what TorchServe needs."""
    published = container.attrs["NetworkSettings"]["Ports"] or {}
    outside = {}
    for name, inside in PORTS.items().items():
        bindings = published.get(f"{inside}/tcp") or ()
        outside[name] = next((int(binding["HostPort"]) for binding in bindings), 0)
    if not outside["inference"] or not outside["management"]:
        return None
    record = new_record(project, Ports(**outside), [])
    return msgspec.structs.replace(record, container=container.name, started_at=0.0)
