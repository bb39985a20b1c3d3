"""image: the container image."""

from __future__ import annotations

from pathlib import Path

import click

from asteria_tui.cli.options import Options
from asteria_tui.cli.parser import PossiblePath, command
from asteria_tui.cli.run import run


@command
@click.option(
    "--wheelhouse",
    type=PossiblePath(path_type=Path, file_okay=False, exists=True),
    help="A directory of wheels: nothing is fetched then.",
)
@click.option("--base", help="Instead of python:3.11-slim-bookworm.")
@click.option("--torch-index", metavar="URL", help="Where torch comes from, such as an index of CPU or CUDA builds.")
def build(options: Options, wheelhouse: Path | None, base: str | None, torch_index: str | None) -> int:
    """Build the image, unless nothing of what it is made of changed."""
    from asteria_tui.operations.image import BuildImage

    return run(options, BuildImage(wheelhouse=wheelhouse, base=base, torch_index=torch_index))


VERBS = {"build": build}
