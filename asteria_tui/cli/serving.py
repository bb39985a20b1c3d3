"""up, restart, status: the running server."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path

import click

from asteria_tui.cli.options import Options
from asteria_tui.cli.parser import PATH, archiver_option, command, model_option
from asteria_tui.cli.render import Renderer, ago, print_text, print_value
from asteria_tui.cli.run import run
from asteria_tui.config import Archiver
from asteria_tui.inference.path import prediction_path
from asteria_tui.projects import archive_project
from asteria_tui.state import State
from asteria_tui.wording import size


@command
@click.argument("archive", type=PATH, required=False, help="A ready-made .mar to serve, with or without a project.")
@model_option
@archiver_option
@click.option("--dry-run", is_flag=True, help="Only check whether it could work; change nothing.")
def up(options: Options, archive: Path | None, model: str | None, archiver: Archiver, dry_run: bool) -> int:
    """Everything up to a first prediction; what is right already is left alone."""
    project = archive_project(options.project, archive, options.overrides) if archive else None
    if dry_run:
        from asteria_tui.operations.checks import CheckUp

        return run(options, CheckUp(model=model), project=project)
    from asteria_tui.operations.up import Up

    return run(
        options,
        Up(model=model, archiver=archiver),
        project=project,
        finish=lambda state, renderer: _say_where(state, renderer, options),
    )


@command
@model_option
def restart(options: Options, model: str | None) -> int:
    """Up, with a new server in any case."""
    from asteria_tui.operations.restart import Restart

    return run(options, Restart(model=model), finish=lambda state, renderer: _say_where(state, renderer, options))


@command
def status(options: Options) -> int:
    """What runs and is it well: exit status 0 when it is, 4 when not."""
    from asteria_tui.operations.status import Status

    def finish(state: State, renderer: Renderer) -> None:
        if options.json:
            print_value(state)
        else:
            _print_status(state, renderer)

    return run(options, Status(), only=(), finish=finish)


def _say_where(state: State, renderer: Renderer, options: Options) -> None:
    here = "" if options.project == Path() else f" -C {shlex.quote(str(options.project))}"
    for model in state.models:
        renderer.say(f"\n{model.name} answers at {state.server.inference}{prediction_path(model.name)}")
    program = _program()
    renderer.say(f"send more: {program} predict{here}   stop it: {program} down{here}")


def _program() -> str:
    """As it can be typed here: in a virtual environment that is not active, with its path."""
    called = sys.argv[0]
    if shutil.which("asteria-tui") or not os.access(called, os.X_OK):
        return "asteria-tui"
    return shlex.quote(os.path.relpath(called))


def _print_status(state: State, renderer: Renderer) -> None:
    server = state.server
    if server.state == "stopped":
        print_text("stopped" + (f": {server.reason}" if server.reason else ""))
        renderer.say("start it: asteria-tui up")
        return
    memory = f"  {size(server.memory_bytes)}" if server.memory_bytes else ""
    uptime = f"  up {ago(server.started_at)}" if server.started_at else ""
    reason = f": {server.reason}" if server.reason else ""
    which = f"container {server.container}" if server.container else f"pid {server.pid}"
    print_text(f"{server.state}{reason}  {server.target}  {server.inference}  {which}{uptime}{memory}")
    for model in state.models:
        which = f"{model.name} {model.version}{' (dev)' if model.is_dev else ''}"
        for worker in model.workers:
            cause = f"  {worker.cause.headline}" if worker.cause else ""
            print_text(f"{which}  W-{worker.id} {worker.status}  pid {worker.pid or '-'}{cause}")
        if not model.workers:
            print_text(f"{which}  no worker")
