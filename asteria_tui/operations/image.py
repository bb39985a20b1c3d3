"""`image build`: the container image, with its steps as they run."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import ClassVar

from asteria_tui.events import Lane, StageProgressed, WarningRaised
from asteria_tui.operations.base import Context, Operation, stage
from asteria_tui.targets.docker import build
from asteria_tui.targets.docker.image import BuildProgress, BuiltImage

CPU_HINT = "`--torch-index URL` names an index with CPU builds, `--wheelhouse DIR` takes local wheels"


class BuildImage(Operation, frozen=True, kw_only=True):
    """Builds `[docker] image` unless nothing changed."""

    name: ClassVar[str] = "image build"
    lane: ClassVar[Lane] = "workflow"
    wheelhouse: Path | None = None
    base: str | None = None
    torch_index: str | None = None

    async def run(self, context: Context) -> None:
        await build_image(context, wheelhouse=self.wheelhouse, base=self.base, torch_index=self.torch_index)


async def build_image(
    context: Context, *, wheelhouse: Path | None = None, base: str | None = None, torch_index: str | None = None
) -> BuiltImage:
    """Raises ConfigError, TargetError."""
    docker = context.project.settings.docker
    chosen = (wheelhouse, torch_index, docker.wheelhouse, docker.torch_index)
    brings_cuda = not any(chosen) and platform.machine() == "x86_64"

    def progress(step: BuildProgress) -> None:
        nonlocal brings_cuda
        if brings_cuda:
            brings_cuda = False
            context.emit(
                WarningRaised(text="the public torch wheel for x86-64 brings gigabytes of CUDA", hint=CPU_HINT)
            )
        context.emit(StageProgressed(stage="image", text=step.text, done=step.done, total=step.total, unit=step.unit))

    async with stage(context.emit, "image") as report:
        built = await build.build_image(
            context.project, progress, wheelhouse=wheelhouse, base=base, torch_index=torch_index
        )
        report.unchanged = built.skipped
        report.summary = built.tag
        return built
