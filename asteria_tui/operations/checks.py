"""What can keep `up` from working, found out before anything is touched: one row and one function for each check.

`up` and `restart` run a row at the beginning of its stage, `up --dry-run` runs them all.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import ClassVar, NamedTuple

import msgspec

from asteria_tui.archive.sources import collect
from asteria_tui.archive.stores import unpacked_size
from asteria_tui.config import ModelSettings, Project, TargetName
from asteria_tui.errors import AsteriaError, ConfigError, ExitCode, TargetError
from asteria_tui.events import Checked, Stage, WarningRaised
from asteria_tui.operations.base import Context, Operation
from asteria_tui.targets.record import ServerRecord, load_record
from asteria_tui.targets.registry import open_target
from asteria_tui.targets.server_config import JAVA_OPTIONS
from asteria_tui.targets.target import LostServerError
from asteria_tui.wording import size

ROOM = 4 * 2**20
"""Bytes for the log, the configuration and the keys of a start, which take some 100 kB."""
JAVA_TIMEOUT = 20.0
NO_CLASS = "asteria.NoSuchClass"
# What TorchServe parses as a number, and ends at where it is none (docs/torchserve.md section 6, "Start failures").
NUMBERS = frozenset(
    {
        "default_response_timeout",
        "default_startup_timeout",
        "default_workers_per_model",
        "grpc_inference_port",
        "grpc_management_port",
        "initial_distribution_port",
        "initial_worker_port",
        "io_ratio",
        "job_queue_size",
        "max_request_size",
        "max_response_size",
        "metric_time_interval",
        "netty_client_threads",
        "number_of_gpu",
        "number_of_netty_threads",
        "unregister_model_timeout",
    }
)


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is about to be done, for the checks to look at."""

    context: Context
    models: dict[str, ModelSettings]
    running: ServerRecord | None = None
    """The server whose place a new one takes."""

    @property
    def project(self) -> Project:
        return self.context.project


class Check(NamedTuple):
    """A row."""

    name: str
    stage: Stage
    """Of `up`: what it would break."""
    run: Callable[[Plan], Awaitable[str]]
    """Says in a few words what was seen; raises AsteriaError."""
    target: TargetName | None = None
    """The only one that it is about."""


async def check_sources(plan: Plan) -> str:
    """Every file that the settings name is there, and what is Python compiles."""
    for name, settings in plan.models.items():
        if settings.archive is not None:
            await asyncio.to_thread(unpacked_size, ready_archive(plan.project, name, settings))
        else:
            await asyncio.to_thread(collect, plan.project, name, settings)
    return ", ".join(f"{name} {settings.version}" for name, settings in plan.models.items())


async def check_stores(plan: Plan) -> str:
    """A new archive is written beside the old one, in each store."""
    stores = [plan.project.primary_store, *map(plan.project.path, plan.project.settings.stores.mirrors)]
    for name, settings in plan.models.items():
        needed = await asyncio.to_thread(_unpacked, plan.project, name, settings)
        for store in stores:
            stored = store / f"{name}.mar"
            # An archive of much the same size may be the same, and then nothing is written.
            if not stored.is_file() or abs(stored.stat().st_size - needed) > ROOM:
                require_room(store, needed, f"the archive of {name}")
    return f"room in {len(stores)}"


async def check_runtime(plan: Plan) -> str:
    """Java and an interpreter that can run workers, or an engine."""
    await plan.context.target.preflight()
    return plan.project.settings.server.target


async def check_java_options(plan: Plan) -> str:
    """Java itself tells what it does not take, in a tenth of a second."""
    given = plan.project.settings.server.java_options
    return await asyncio.to_thread(_try_java, plan.project, given) if given else "none set"


async def check_properties(plan: Plan) -> str:
    properties = plan.project.settings.server.properties
    for name in sorted(NUMBERS & properties.keys()):
        try:
            int(properties[name])
        except ValueError:
            raise ConfigError(
                f"{name} must be an integer, not {properties[name]!r}",
                detail="TorchServe does not start with it",
                hint=f"change {name} under [server.properties] in asteria.toml",
            ) from None
    return f"{len(properties)} set" if properties else "none set"


async def check_ports(plan: Plan) -> str:
    own = plan.running.ports if plan.running else None
    ports = await plan.context.target.claim_ports(own)
    return ", ".join(map(str, ports.items().values()))


async def check_disk(plan: Plan) -> str:
    """The server's log and keys, and with a local one the unpacked archives, lie in `.asteria`."""
    needed = ROOM
    if plan.project.settings.server.target == "local":
        # What the running one has unpacked goes with it.
        unpacked = plan.running.models.keys() if plan.running else ()
        for name, settings in plan.models.items():
            if name not in unpacked:
                needed += await asyncio.to_thread(_unpacked, plan.project, name, settings)
    free = require_room(plan.project.state_dir, needed, "the server's log and the unpacked archives")
    return f"{size(free)} free"


CHECKS = (
    Check("sources", "package", check_sources),
    Check("stores", "package", check_stores),
    Check("runtime", "start", check_runtime),
    Check("java options", "start", check_java_options, "local"),
    Check("properties", "start", check_properties),
    Check("ports", "start", check_ports),
    Check("disk", "start", check_disk),
)


def checks_of(project: Project, *stages: Stage) -> tuple[Check, ...]:
    """The rows of those stages that are about the project's target."""
    target = project.settings.server.target
    return tuple(check for check in CHECKS if check.stage in stages and check.target in {None, target})


async def require(plan: Plan, stage: Stage) -> None:
    """Raises what the first of the stage's checks finds."""
    for check in checks_of(plan.project, stage):
        await check.run(plan)


class CheckUp(Operation, frozen=True, kw_only=True):
    """Every check of `up`, reported one by one; nothing is changed. The exit code is that of the first that fails."""

    name: ClassVar[str] = "up --dry-run"
    model: str | None = None

    async def run(self, context: Context) -> ExitCode:
        record = load_record(context.project)
        is_elsewhere = record is not None and record.target != context.project.settings.server.target
        target = open_target(context.project, record.target) if record and is_elsewhere else context.target
        try:
            running = await target.find()
        except LostServerError as error:
            running = None
            context.emit(WarningRaised(text=error.title, hint=error.hint))
        except AsteriaError:
            running = None  # no engine: the check of the runtime says so
        plan = Plan(context=context, models=context.models(self.model), running=running)
        failures: list[Checked] = []
        for check in checks_of(context.project, "package", "start"):
            checked = await _checked(check, plan)
            if any((checked.title, checked.detail) == (known.title, known.detail) for known in failures):
                continue  # what one has found keeps another from looking
            context.emit(checked)
            if checked.title:
                failures.append(checked)
        return ExitCode(failures[0].exit_code) if failures else ExitCode.DONE


async def _checked(check: Check, plan: Plan) -> Checked:
    try:
        return Checked(name=check.name, summary=await check.run(plan))
    except AsteriaError as error:
        return Checked(
            name=check.name, title=error.title, detail=error.detail, hint=error.hint, exit_code=error.exit_code
        )


def ready_archive(project: Project, name: str, settings: ModelSettings) -> Path:
    """The ready-made archive of a model; raises ConfigError where there is none."""
    file = project.path(settings.archive or "")
    if not file.is_file():
        raise ConfigError(f"no archive at {file}", hint=f"[models.{name}] archive names it")
    return file


def require_room(place: Path, needed: int, what: str) -> int:
    """The free bytes of the disk that `place` is on, or will be; raises TargetError where they are too few."""
    there = next(path for path in (place, *place.parents) if path.exists())
    found = os.statvfs(there)
    free = found.f_bavail * found.f_frsize
    if free < needed:
        raise TargetError(
            f"the disk of {place} is full",
            detail=f"{size(free)} are free, {what} may take {size(needed)}",
            hint=f"free some space there; `du -sh {place}` shows what is in it",
        )
    return free


def _unpacked(project: Project, name: str, settings: ModelSettings) -> int:
    """Bytes of an archive's members, as they are unpacked."""
    if settings.archive is not None:
        return unpacked_size(project.path(settings.archive))
    return sum(path.stat().st_size for _, path in collect(project, name, settings).members)


def _try_java(project: Project, options: tuple[str, ...]) -> str:
    from asteria_tui.targets.local.runtime import find_runtime

    java = find_runtime(project).java
    # It must get as far as to the class: -version, -jar and the like end it before, or start another.
    try:
        tried = subprocess.run(
            [java, *JAVA_OPTIONS, *options, NO_CLASS],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=JAVA_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise TargetError(f"{java} does not run", detail=str(error)) from error
    if NO_CLASS not in tried.stderr:
        raise TargetError(
            "Java refuses its options" if tried.returncode else "Java does not start a server with its options",
            detail="\n".join((tried.stderr + tried.stdout).strip().splitlines()[:3]),
            hint="java_options under [server] in asteria.toml",
        )
    return " ".join(options)
