"""The image of a project, made off the event loop: when we are interrupted, the engine's work on it ends too."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from asteria_tui.config import Project
from asteria_tui.targets.docker import image
from asteria_tui.targets.docker.engine import in_daemon_thread, opened, talking
from asteria_tui.targets.docker.image import BuildProgress, BuiltImage

if TYPE_CHECKING:
    from docker import DockerClient

Result = TypeVar("Result")
Progress = Callable[[BuildProgress], None]


async def build_image(
    project: Project,
    progress: Progress,
    *,
    wheelhouse: Path | None = None,
    base: str | None = None,
    torch_index: str | None = None,
) -> BuiltImage:
    """Builds `[docker] image` unless nothing changed; raises ConfigError, TargetError."""

    def build(client: DockerClient, report: Progress) -> BuiltImage:
        return image.build(client, project, wheelhouse=wheelhouse, base=base, torch_index=torch_index, progress=report)

    return await _with_engine(build, progress)


async def provide_image(project: Project, progress: Progress) -> str:
    """The name of the image to run: somebody else's as it is, pulled where it has to be; ours built when needed."""
    tag = project.settings.docker.image

    def provide(client: DockerClient, report: Progress) -> None:
        found = image.find(client, tag)
        if found is None and "/" in tag:
            image.pull(client, tag, report)
        elif found is None or found.is_ours:
            image.build(client, project, progress=report)

    await _with_engine(provide, progress)
    return tag


async def _with_engine(work: Callable[[DockerClient, Progress], Result], progress: Progress) -> Result:
    is_over = threading.Event()

    def report(step: BuildProgress) -> None:
        if is_over.is_set():
            raise asyncio.CancelledError
        progress(step)

    def call() -> Result:
        with opened() as client, talking("the image"):
            return work(client, report)

    try:
        return await in_daemon_thread(call)
    finally:
        is_over.set()
