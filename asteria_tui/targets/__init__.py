"""Where TorchServe runs: the seam between the workflow and a process tree or a container."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asteria_tui.config import Project, TargetName

if TYPE_CHECKING:
    from asteria_tui.targets.target import Target


def open_target(project: Project, name: TargetName | None = None) -> Target:
    """The target of that name, or the one that the project's settings choose; each is loaded only when used."""
    if (name or project.settings.server.target) == "docker":
        from asteria_tui.targets.docker.target import DockerTarget

        return DockerTarget(project)
    from asteria_tui.targets.local.target import LocalTarget

    return LocalTarget(project)
