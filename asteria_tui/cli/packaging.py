"""init, package, inspect: from sources to archives."""

from __future__ import annotations

from pathlib import Path

import click

from asteria_tui.cli.options import Options
from asteria_tui.cli.parser import PATH, archiver_option, command, model_option
from asteria_tui.cli.render import Renderer, print_value
from asteria_tui.cli.run import run
from asteria_tui.config import Archiver
from asteria_tui.errors import ExitCode
from asteria_tui.projects import initialize, open_project, propose
from asteria_tui.state import State


@command
def init(options: Options) -> int:
    """Write asteria.toml from what lies in the folder."""
    proposal = propose(options.project)
    file, guesses = initialize(proposal), proposal.discovery.guesses
    renderer = Renderer(options)
    if options.json:
        print_value({"file": str(file), "guesses": [{"what": g.what, "value": g.value, "why": g.why} for g in guesses]})
        return ExitCode.DONE
    for guess in guesses:
        renderer.say(f" {guess.what} = {guess.value}  {renderer.style.dim(guess.why)}")
    print_value(str(file))
    renderer.say("look it over, then: asteria-tui up")
    return ExitCode.DONE


@command
@model_option
@archiver_option
def package(options: Options, model: str | None, archiver: Archiver) -> int:
    """Build the archives into the primary store and every mirror."""
    from asteria_tui.operations.package import Package

    def finish(state: State, _: Renderer) -> None:
        if not options.json:
            for archive in state.archives.values():
                print_value(archive.path)

    return run(options, Package(model=model, archiver=archiver), finish=finish)


@command
@click.argument("archive", type=PATH, required=False, help="A .mar; without it the first model's in the store.")
@model_option
def inspect(options: Options, archive: Path | None, model: str | None) -> int:
    """Look into an archive: members, manifest, entry point, SHA-256, pickle scan."""
    from asteria_tui.cli.archive_report import show

    if archive is None:
        project = open_project(options.project, options.overrides)
        archive = project.primary_store / f"{project.model(model)[0]}.mar"
    return show(archive, options)
