"""image: the container image."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from asteria_tui.cli.options import Options
from asteria_tui.cli.run import run


def build(
    options: Options,
    wheelhouse: Annotated[
        Path | None, typer.Option(help="A directory of wheels: nothing is fetched then.", file_okay=False, exists=True)
    ] = None,
    base: Annotated[str | None, typer.Option(help="Instead of python:3.11-slim-bookworm.")] = None,
    torch_index: Annotated[
        str | None, typer.Option(metavar="URL", help="Where torch comes from, such as an index of CPU or CUDA builds.")
    ] = None,
) -> int:
    """Build the image, unless nothing of what it is made of changed."""
    from asteria_tui.operations.image import BuildImage

    return run(options, BuildImage(wheelhouse=wheelhouse, base=base, torch_index=torch_index))


VERBS = {"build": build}
