"""Where TorchServe runs: the seam between the workflow and a process tree or a container."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asteria_tui.config import Project
from asteria_tui.errors import TargetError

if TYPE_CHECKING:
    from asteria_tui.targets.target import Target


def open_target(project: Project) -> Target:
    """The target that the project's settings choose; each is loaded only when used."""
    name = project.settings.server.target
    if name == "local":
        from asteria_tui.targets.local import LocalTarget

        return LocalTarget(project)
    raise TargetError(f"the target {name!r} is not there yet", hint="--target local runs TorchServe on this machine")
