"""export: what asteria-tui does, as files for other tools."""

from __future__ import annotations

from pathlib import Path

import click

from asteria_tui.cli.options import Options
from asteria_tui.cli.parser import PATH, command
from asteria_tui.cli.render import Renderer, print_value
from asteria_tui.errors import ExitCode
from asteria_tui.projects import export_compose, open_project


@command
@click.option("-o", "--output", "directory", type=PATH, help="Where to; without it `compose/` in the project.")
def compose(options: Options, directory: Path | None) -> int:
    """Write a compose file (v1 and v2) that serves the archives of the primary store."""
    project = open_project(options.project, options.overrides)
    chosen = directory or project.root / "compose"
    for file in export_compose(project, chosen):
        print_value(str(file))
    Renderer(options).say(f"run it: docker compose -f {chosen / 'compose.yaml'} up")
    return ExitCode.DONE


VERBS = {"compose": compose}
