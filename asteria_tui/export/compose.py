"""`export compose`: the same container for people who run Compose, v1 or v2.

Format 2.4 is the one that both read and that still has the memory and process limits outside of a swarm.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Any

from asteria_tui.archive.inspect import inspect
from asteria_tui.bounds import open_regular
from asteria_tui.config import Project
from asteria_tui.errors import ConfigError
from asteria_tui.files import write_atomically
from asteria_tui.targets.docker.image import IMAGE_FILES
from asteria_tui.targets.docker.spec import (
    CONFIG,
    HEALTH_CHECK,
    HEALTH_TIMES,
    IMAGE_USER,
    LAUNCHER,
    PORTS,
    RUN,
    ContainerSpec,
    Mount,
    layout_named,
)
from asteria_tui.targets.server_config import JAVA_OPTIONS, PROPERTIES_FILE, Ports, ServedModel, properties

COMPOSE_FILE = "compose.yaml"
HEADER = "# Written by `asteria-tui export compose`; it is written anew by the next one.\n"
NUMBER = re.compile(r"0o[0-7]+$|[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$")
"""What a number is (YAML 1.2, section 10.3.2)."""


def export(project: Project, directory: Path) -> list[Path]:
    """Writes the compose file and what it mounts beside the store; returns the files.

    Raises:
        ConfigError: an archive is not packaged yet, or `directory` holds a compose file of somebody else.
    """
    file = directory / COMPOSE_FILE
    if file.exists() and not _is_ours(file):
        raise ConfigError(f"{file} is not ours, so it is not replaced", hint="-o DIR writes somewhere else")
    models = [_served(project, name) for name in project.settings.models]
    spec = make_spec(project, models)
    config = directory / "config" / PROPERTIES_FILE
    text = properties(project.settings.server, PORTS, models, store=spec.layout.store, bind="0.0.0.0")  # noqa: S104 published on loopback only
    copied = [] if spec.layout.is_ours else [directory / path.name for path in (LAUNCHER, HEALTH_CHECK)]
    try:
        config.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(config, text.encode(), mode=0o666)
        for target in copied:
            shutil.copyfile(IMAGE_FILES / target.name, target)
        text = HEADER + to_yaml(compose(spec, directory))
        write_atomically(file, text.encode(), mode=0o666)
    except OSError as error:
        raise ConfigError(f"cannot write to {directory}", detail=error.strerror or str(error)) from error
    return [file, config, *copied]


def _is_ours(file: Path) -> bool:
    try:
        with open_regular(file) as opened:
            return opened.read(len(HEADER)) == HEADER.encode()
    except OSError:
        return False


def make_spec(project: Project, models: list[ServedModel]) -> ContainerSpec:
    """The container; its mounts but the store are relative to the compose file."""
    settings = project.settings
    layout = layout_named(settings.docker.image)
    mounts = [
        Mount(source=project.primary_store, target=layout.store),
        Mount(source=Path("config"), target=CONFIG),
    ]
    if not layout.is_ours:
        mounts += [Mount(source=Path(target.name), target=target) for target in (LAUNCHER, HEALTH_CHECK)]
    wanted = Ports.wanted(settings.server).items()
    return ContainerSpec(
        name=settings.docker.container,
        image=settings.docker.image,
        user=(IMAGE_USER, IMAGE_USER),
        memory=settings.docker.memory,
        # A port of 0 is chosen at each start; a compose file has to name one.
        ports=Ports(**{name: port or PORTS.items()[name] for name, port in wanted.items()}),
        mounts=tuple(mounts),
        archive_bytes=sum((project.primary_store / model.file).stat().st_size for model in models),
        layout=layout,
        java_options=(*JAVA_OPTIONS, *settings.server.java_options),
    )


def compose(spec: ContainerSpec, directory: Path) -> dict[str, Any]:
    """What the file says, as plain values; paths relative to `directory`."""
    service = spec.in_common | {
        "container_name": spec.name,
        "command": list(spec.java_options),
        "tmpfs": [f"{RUN}:{spec.tmpfs}"],
        "volumes": [
            f"{_relative(mount.source, directory)}:{mount.target}{':ro' if mount.read_only else ''}"
            for mount in spec.mounts
        ],
        "ports": [f"127.0.0.1:{outside}:{inside}" for inside, outside in spec.published.items()],
        "healthcheck": {
            "test": spec.health_check,
            **{name: f"{seconds}s" for name, seconds in HEALTH_TIMES.items()},
        },
        "restart": "unless-stopped",
    }
    if spec.entrypoint:
        service["entrypoint"] = spec.entrypoint
    return {"version": "2.4", "services": {"torchserve": service}}


def _relative(source: Path, directory: Path) -> str:
    if not source.is_absolute():
        return f"./{source}"
    path = os.path.relpath(source.resolve(), directory.resolve())
    return path if path.startswith(".") else f"./{path}"


def _served(project: Project, name: str) -> ServedModel:
    file = project.primary_store / f"{name}.mar"
    if not file.is_file():
        raise ConfigError(f"no archive at {project.relative(file)}", hint="`asteria-tui package` builds it")
    report = inspect(file)
    return ServedModel(
        name=name,
        version=report.version or "1.0",
        file=file.name,
        sha256=report.sha256,
        settings=project.settings.models[name],
    )


def to_yaml(value: dict[str, Any]) -> str:
    import yaml

    class Dumper(yaml.SafeDumper):
        """Quotes what is a number in YAML 1.2 alone, which Compose v2 reads."""

    def string(dumper: Dumper, text: str) -> yaml.Node:
        style = '"' if "\x85" in text else None  # a line break that PyYAML would write as it is, and fold to a blank
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style)

    Dumper.add_representer(str, string)
    Dumper.add_implicit_resolver("tag:yaml.org,2002:float", NUMBER, first=None)
    return yaml.dump(value, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=1000)
