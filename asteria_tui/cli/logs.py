"""logs: what the server says, or the causes of what went wrong."""

from __future__ import annotations

import asyncio
import contextlib
import re
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import get_args

import click
import msgspec

from asteria_tui.archive.source_map import source_map
from asteria_tui.cli.options import Options
from asteria_tui.cli.parser import PATH, command
from asteria_tui.cli.render import Renderer, print_value
from asteria_tui.cli.run import cancel_on_signals
from asteria_tui.cli.style import Style
from asteria_tui.config import Project, Settings
from asteria_tui.errors import ConfigError, ExitCode, ServerError
from asteria_tui.events import Cause, LogRecord, Source, WarningRaised, encode
from asteria_tui.inference.answers import recall
from asteria_tui.logs.cause import folded
from asteria_tui.logs.filter import EVERYTHING, Filter
from asteria_tui.logs.history import Log, logs_in, run_of
from asteria_tui.logs.parts import Lost
from asteria_tui.logs.read import Batch, causes, records
from asteria_tui.logs.request import trace_request
from asteria_tui.projects import open_project, resolved
from asteria_tui.wording import clock, duration, lines_lost

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
COLOURS = {"WARN": "33", "ERROR": "31", "FATAL": "31", "DEBUG": "2"}
DEFAULT_LINES = 50
NO_CAUSE = "no cause in this log: nothing failed, or a handler has closed or redirected what its traceback goes to"


@command
@click.argument(
    "file", type=PATH, nargs=-1, help="Logs of any TorchServe, such as ts_log.log, instead of our server's."
)
@click.option("-f", "--follow", is_flag=True, help="Go on with what is written.")
@click.option("-n", "--lines", type=click.IntRange(min=0), help="The last N records; 50.")
@click.option("--since", help="Not older than 90s, 5m, 2h or 1d.")
@click.option("--level", default="", help="This one and worse: debug, info, warn, error.")
@click.option("--worker", help="Such as W-9000.")
@click.option("--model", "-m", help="Of one model's workers.")
@click.option("--source", default="", help="server, worker, access, metrics, console; several by comma.")
@click.option("--grep", default="", help="Records that match this regular expression.")
@click.option("--not", "not_", default="", help="Records that do not match this one.")
@click.option("--tracebacks", is_flag=True, help="The causes, each once, newest last.")
@click.option("--request", default="", help="What one request left: its x-request-id.")
@click.option("--run", default=0, help="An earlier run: -1 is the one before the last.")
def logs(
    options: Options,
    file: tuple[Path, ...],
    follow: bool,
    lines: int | None,
    since: str | None,
    level: str,
    worker: str | None,
    model: str | None,
    source: str,
    grep: str,
    not_: str,
    tracebacks: bool,
    request: str,
    run: int,
) -> int:
    """What the server says, or the causes of what went wrong."""
    project = _project(options, is_needed=not file)
    files = _foreign(file) if file else _of_run(project, run)
    if not follow and not any(log.path.exists() for log in files):
        raise _no_log(project)
    wanted = Filter(
        level=level,
        worker=worker,
        model=model,
        sources=_sources(source) or EVERYTHING.sources,
        grep=grep,
        not_=not_,
        since=_since(since),
    )
    if tracebacks:
        _refuse_beside_tracebacks({"-f": follow, "-n": lines is not None, "--level": level, "--source": source})
        return _print_causes(causes(files, source_map(project), wanted), options)
    if request:
        return asyncio.run(_print_request(project, files, request, options))
    last = lines if lines is not None or since is not None else DEFAULT_LINES
    known = [(name, settings.version) for name, settings in project.settings.models.items()]
    batches = records(files, wanted, last=last, is_following=follow, known=known, on_lost=_loss_reporter(options))
    return asyncio.run(_print_all(batches, _printer(options)))


def _no_log(project: Project) -> ServerError:
    if project.logs_dir.is_symlink() or project.logs_dir.with_name("state.json").exists():
        return ServerError(
            "the logs of the last server are gone",
            detail=f"somebody removed {project.relative(project.logs_dir)}, or the folder that it leads to",
            hint="`asteria-tui restart` starts a server with new ones",
        )
    return ServerError("no server of this project has run yet", hint="`asteria-tui up` starts one")


def _project(options: Options, *, is_needed: bool) -> Project:
    """The logs of a foreign server need none; where there is one, it leads frames back to its sources."""
    try:
        return open_project(options.project, options.overrides)
    except ConfigError:
        if is_needed:
            raise
        return Project(root=resolved(options.project), settings=Settings())


def _refuse_beside_tracebacks(given: dict[str, object]) -> None:
    for flag in (flag for flag, value in given.items() if value):
        raise ConfigError(
            f"--tracebacks does not go with {flag}",
            detail="it reads the whole log, and shows each cause once",
            hint="--since, --worker, --model, --grep and --not narrow it",
        )


def _foreign(given: Sequence[Path]) -> list[Log]:
    for path in given:
        if not path.is_file():
            raise ConfigError(f"no log at {path}")
    return [Log(path) for path in given]


def _of_run(project: Project, run: int) -> list[Log]:
    return logs_in(project.logs_dir) if run == 0 else run_of(project.history_dir, run).logs


async def _print_request(project: Project, files: list[Log], request_id: str, options: Options) -> int:
    """What one request left: its access line, its worker's lines, its metrics, its traceback."""
    traced = await trace_request(files, request_id, recall(project.state_dir), source_map(project))
    _printer(options)(traced.records)
    if traced.cause is not None:
        _print_causes([traced.cause], options)
    return ExitCode.DONE


def _sources(given: str) -> frozenset[Source]:
    names = [name.strip() for name in given.split(",") if name.strip()]
    for name in names:
        if name not in get_args(Source):
            raise ConfigError(f"no source named {name!r}", hint=f"one of {', '.join(get_args(Source))}")
    return frozenset(msgspec.convert(names, list[Source]))


def _since(given: str | None) -> float | None:
    """Seconds since the epoch of `5m` ago."""
    if given is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", given)
    if found is None:
        raise ConfigError(f"{given!r} is not a span of time", hint="such as 90s, 5m, 2h or 1d")
    return time.time() - float(found[1]) * UNITS[found[2]]


async def _print_all(batches: AsyncIterator[Batch], show: Callable[[Batch], None]) -> int:
    printing = asyncio.ensure_future(_print_batches(batches, show))
    cancel_on_signals(printing)
    with contextlib.suppress(asyncio.CancelledError):
        await printing
        return ExitCode.DONE
    return ExitCode.INTERRUPTED


async def _print_batches(batches: AsyncIterator[Batch], show: Callable[[Batch], None]) -> None:
    async for batch in batches:
        show(batch)


def _printer(options: Options) -> Callable[[Batch], None]:
    style = Style(sys.stdout)

    def show(batch: Batch) -> None:
        if options.json:
            lines = [encode(record).decode() for record in batch]
        else:
            lines = [line(record, style) for record in batch]
        sys.stdout.write("".join(f"{text}\n" for text in lines))
        sys.stdout.flush()

    return show


def _loss_reporter(options: Options) -> Callable[[Lost], None]:
    renderer = Renderer(options)

    def report(lost: Lost) -> None:
        renderer.show(
            WarningRaised(
                text=lines_lost(lost.lines, is_exact=lost.is_exact),
                hint="the log is written faster than it is read: with a filter there is less to print",
            )
        )

    return report


def line(record: LogRecord, style: Style) -> str:
    """A record for people: `12:04:31.204 INFO  W-9000 worker  Torch worker started.`."""
    at = clock(record.time)
    level = style(f"{record.level:<5}", COLOURS.get(record.level, "0"))
    return f"{style.dim(at)} {level} {record.worker or '':<6} {record.source:<7} {record.text}"


def _print_causes(found: list[Cause], options: Options) -> int:
    style = Style(sys.stdout)
    for cause in found:
        if options.json:
            print_value(cause)
            continue
        retry = f", retry in {duration(cause.retry_in)}" if cause.retry_in else ""
        where = ", ".join(filter(None, (cause.model, cause.worker, cause.phase)))
        print_value(
            f"{clock(cause.last_at)} {cause.count:>4}×  {style.bad(cause.headline)}  {style.dim(where + retry)}"
        )
        if options.verbose and cause.traceback:
            print_value(folded(cause.traceback))
    if not found and not options.json and not options.quiet:
        print(NO_CAUSE, file=sys.stderr)  # noqa: T201 narration
    return ExitCode.DONE
