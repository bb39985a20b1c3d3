"""`debug`: the project's handler on payloads in one process without a server, under a debugger or a profiler."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from asteria_tui.config import Project
from asteria_tui.dev import archive, loader
from asteria_tui.errors import ArchiveError, ConfigError
from asteria_tui.inference.payload import Payload
from asteria_tui.state_dir import write_file
from asteria_tui.targets.local.runtime import find_python
from asteria_tui.targets.record import make_state_dir
from asteria_tui.targets.server_config import environment

PLACE = "debug"
"""Of what the last one of each model was given, below the state of the project."""
RUNNER = Path(loader.__file__).parent.parent / "runner.py"
"""Not imported: it is for the workers' interpreter."""
Mode = Literal["run", "break", "post_mortem", "profile", "trace_shapes"]
Breakpoint = tuple[Path, int]


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be executed, on the user's own terminal."""

    arguments: tuple[str, ...]
    environment: dict[str, str]


def debug_command(
    project: Project,
    name: str,
    payloads: Sequence[Payload],
    *,
    mode: Mode = "run",
    breakpoints: Sequence[Breakpoint] = (),
    inherited: Mapping[str, str] = os.environ,
) -> Command:
    """Several payloads are one batch.

    Raises:
        ConfigError, ArchiveError, TargetError: what is asked for is not there, or can't be run.
    """
    settings = project.settings.models[name]
    python, site_packages = find_python(project)
    make_state_dir(project)
    folder = archive.lay_out(project, f"{PLACE}/{name}/model", name, settings)
    task = {
        "folder": str(folder),
        "loader": loader.PACKAGE,
        "model": name,
        "mode": mode,
        "batch_size": settings.batch_size,
        "envelope": project.settings.server.properties.get("service_envelope", ""),
        "breakpoints": [(str(file), line) for file, line in breakpoints],
        "payloads": [
            {
                "file": str(_written(project, f"{PLACE}/{name}/payload-{number}", payload.content)),
                "content_type": payload.content_type or "",
            }
            for number, payload in enumerate(payloads)
        ],
    }
    task_file = _written(project, f"{PLACE}/{name}/task.json", msgspec.json.encode(task))
    seen = environment(inherited, temporary=inherited.get("TMPDIR", ""), logs="", mark="")
    # The loader listens where it has a private folder; nobody talks to this one.
    seen |= {
        "TEMP": "",
        "PYTHONPATH": os.pathsep.join(filter(None, (str(site_packages), seen.get("PYTHONPATH")))),
    }
    return Command(arguments=(str(python), str(RUNNER), str(task_file)), environment=seen)


def breakpoint_at(project: Project, given: str) -> Breakpoint:
    """`handler.py:41`, from where the user stands or from the project; raises ConfigError."""
    name, _, line = given.rpartition(":")
    if not name or not line.isdecimal() or int(line) < 1:
        raise ConfigError(f"{given!r} is no place in a file", hint="FILE:LINE, such as handler.py:41")
    for file in (Path(name).absolute(), project.path(name)):
        if file.is_file():
            return file, int(line)
    raise ConfigError(f"there is no file {name}", hint="FILE:LINE, from here or from the project's folder")


def _written(project: Project, place: str, content: bytes) -> Path:
    try:
        write_file(project.state_dir, place, content)
    except OSError as error:
        raise ArchiveError("cannot write what debug needs", detail=error.strerror or str(error)) from error
    return project.state_dir / place
