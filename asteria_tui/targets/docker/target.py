"""TorchServe in a container on this machine's Docker engine: built, hardened, labelled, found again by its labels.

The logs go to the host through a mount of the directory of its run: a record is readable the moment it is written, by
the same code as everywhere, with no process of ours in between. Where the engine maps user ids the container's user
could not write there; then the console carries the records and is copied into the same file while one of us looks.

The SDK blocks, so it is called in threads alone. Each call opens the engine anew (some milliseconds): an engine that
was restarted, or another DOCKER_HOST, is simply the one that answers.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import msgspec

from asteria_tui.config import Project
from asteria_tui.errors import ServerError, TargetError
from asteria_tui.events import CommandRan, Emit, ServerChanged, StageProgressed, WarningRaised
from asteria_tui.logs.history import CONSOLE_FILE, RECORDS_FILE, name_in_run
from asteria_tui.process import uninterrupted
from asteria_tui.state_dir import remove
from asteria_tui.targets.console import console_tail, until_started
from asteria_tui.targets.docker import console, run, store
from asteria_tui.targets.docker.build import provide_image
from asteria_tui.targets.docker.engine import in_daemon_thread, opened, talking
from asteria_tui.targets.docker.image import BuildProgress, make_context
from asteria_tui.targets.docker.run import PROJECT_LABEL, Setup
from asteria_tui.targets.docker.spec import LOGS, STOP_SECONDS
from asteria_tui.targets.record import (
    ServerRecord,
    fingerprint,
    forget_record,
    load_record,
    save_record,
    server_dir,
)
from asteria_tui.targets.server_config import Ports, ServedModel
from asteria_tui.targets.target import ContainerStore, End, Vitals

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

Result = TypeVar("Result")

READ_KEYS = ["sh", "-c", "stat -c %Y key_file.json && cat key_file.json"]
# On a tmpfs it is visible to `exec` only, not to `docker cp` (docs/docker.md section 2).
KILLED = 128 + 9
TERMINATED = 128 + 15


class DockerTarget:
    """Blocking parts have the same name with an underscore before it."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.directory = server_dir(project)
        self.mark = run.mark_of(project)
        self._end: End | None = None
        self._console = ""
        """What the container prints, by its name in the state folder."""
        self._write_console_to(load_record(project), CONSOLE_FILE)
        self._follower: threading.Thread | None = None

    async def preflight(self) -> None:
        await self._in_thread(lambda _: None)

    async def claim_ports(self, own: Ports | None) -> Ports:
        return await self._in_thread(lambda client: run.claim_ports_on(client, self.project, own))

    async def find(self) -> ServerRecord | None:
        return await self._in_thread(self._find)

    async def prepare(self, models: Sequence[ServedModel], own: Ports | None, emit: Emit) -> None:
        await self._prepared(models, own, emit)

    async def start(self, models: Sequence[ServedModel], emit: Emit) -> ServerRecord:
        running = await self.find()
        image = await self._prepared(models, running.ports if running else None, emit)
        await self.stop(emit)
        emit(ServerChanged(state="starting", target="docker"))
        try:
            # Cut short, the thread would go on and start a container that nobody ends.
            setup = await self._to_its_end(lambda client: self._start(client, models, image))
            emit(CommandRan(command=setup.spec.command_line()))
            if setup.spec.layout.note:
                emit(
                    WarningRaised(text=f"{image} {setup.spec.layout.note}; asteria-tui starts TorchServe itself in it")
                )
            await until_started(self._console_file, self._how_it_ended, emit)
            record = msgspec.structs.replace(setup.record, was_open=True)
            save_record(self.project, record)
        except BaseException:
            # Also when interrupted: whoever started it and can't hand it over ends it. Java hears no SIGTERM yet.
            await self._to_its_end(lambda client: self._stop(client, emit, patience=0))
            emit(ServerChanged(state="stopped", target="docker"))
            raise
        return record

    async def stop(self, emit: Emit) -> bool:
        """Ends and removes the container, and what of ours on the host went with it; nobody else's is touched."""
        return await self._to_its_end(lambda client: self._stop(client, emit))

    async def read_key_file(self) -> tuple[bytes, float] | None:
        return await self._in_thread(self._read_key_file)

    async def vitals(self, record: ServerRecord) -> Vitals | None:  # noqa: ARG002 its labels are what it is found by
        return await self._in_thread(self._vitals)

    async def container_store(self) -> ContainerStore | None:
        return await self._in_thread(self._container_store)

    async def put_archive(self, file: Path) -> ServerRecord | None:
        return await self._to_its_end(lambda client: self._put_archive(client, file))

    def describe_end(self) -> str:
        return "\n".join(filter(None, (self._end.reason if self._end else "", console_tail(self._console_file))))

    def ended(self) -> End | None:
        return self._end

    def fingerprint(self) -> str:
        """With what the image is made of: a changed requirements file is applied by a restart too."""
        # How an image is built says nothing of a container that runs it already.
        docker = msgspec.structs.replace(self.project.settings.docker, base=None, wheelhouse=None, torch_index=None)
        both = f"{fingerprint(self.project, docker)}{make_context(self.project).recipe_hash}"
        return hashlib.sha256(both.encode()).hexdigest()[:16]

    def _with_engine(self, call: Callable[[DockerClient], Result]) -> Result:
        with opened() as client, talking("the container"):
            return call(client)

    async def _in_thread(self, call: Callable[[DockerClient], Result]) -> Result:
        return await in_daemon_thread(lambda: self._with_engine(call))

    async def _to_its_end(self, call: Callable[[DockerClient], Result]) -> Result:
        """What must not be left half done: interruptions wait for its end."""
        return await uninterrupted(self._in_thread(call))

    # -- starting -----------------------------------------------------------------------------------------------

    async def _prepared(self, models: Sequence[ServedModel], own: Ports | None, emit: Emit) -> str:
        """The name of the image, when everything that a container needs is there."""
        image = await self._make_image(emit)
        await self._in_thread(lambda client: run.check(client, self.project, models, own))
        return image

    async def _make_image(self, emit: Emit) -> str:
        """The name of an image that is there."""

        def progress(step: BuildProgress) -> None:
            emit(StageProgressed(stage="start", text=step.text, done=step.done, total=step.total, unit=step.unit))

        return await provide_image(self.project, progress)

    def _start(self, client: DockerClient, models: Sequence[ServedModel], image: str) -> Setup:
        setup = run.prepare(client, self.project, models, image, self.fingerprint())
        self._write_console_to(setup.record, CONSOLE_FILE if setup.shares_logs else RECORDS_FILE)
        container = run.start(client, setup)
        save_record(self.project, setup.record)
        self._follow(container)
        return setup

    def _follow(self, container: Container) -> None:
        if self._follower is None or not self._follower.is_alive():
            self._follower = console.follow(str(container.id), self.project.state_dir, self._console)

    @property
    def _console_file(self) -> Path:
        return self.project.state_dir / self._console

    def _write_console_to(self, record: ServerRecord | None, name: str) -> None:
        """Into the folder of the run itself; through the link that leads there nothing is written."""
        is_known = record is not None and record.target == "docker" and record.run
        self._console = name_in_run(record.run, name) if record is not None and is_known else f"server/logs/{name}"

    def _how_it_ended(self) -> str:
        """For who waits for the start: the console's end is the container's."""
        if self._follower is not None and self._follower.is_alive():
            return ""
        with contextlib.suppress(TargetError):
            if self._with_engine(self._find) is not None:
                return ""
        return self._end.reason if self._end else "the engine is gone"

    # -- looking ------------------------------------------------------------------------------------------------

    def _own(self, client: DockerClient) -> Container | None:
        """By label: names change hands, and ids are forgotten with `.asteria`."""
        return next(iter(run.of_project(client, self.mark)), None)

    def _find(self, client: DockerClient) -> ServerRecord | None:
        container = self._own(client)
        record = load_record(self.project)
        self._end = None
        if container is None:
            if record is not None and record.container:
                self._end = End(reason=f"the container {record.container} was removed from outside")
            return None
        shares_logs = any(mount["Destination"] == str(LOGS) for mount in container.attrs["Mounts"])
        self._write_console_to(record, CONSOLE_FILE if shares_logs else RECORDS_FILE)
        if not container.attrs["State"]["Running"]:
            self._end = self._end_of(client, container)
            console.copy(container, self.project.state_dir, self._console)
            return None
        if not shares_logs:
            console.copy(container, self.project.state_dir, self._console)
            self._follow(container)
        if record is None or record.target != "docker":
            found, record = record, run.labelled_record(container.labels)
            if found is None:  # the state directory was removed; else it is that of a local server that ran since
                save_record(self.project, record)
        return msgspec.structs.replace(record, container=container.name)

    def _end_of(self, client: DockerClient, container: Container) -> End:
        state = container.attrs["State"]
        code = int(state["ExitCode"])
        out_of_memory = bool(state["OOMKilled"]) or (
            code == KILLED and _out_of_memory_at(client, container) is not None
        )
        if out_of_memory:
            how = f"was killed: its memory limit ({self.project.settings.docker.memory}) was reached"
        elif state["Status"] == "created":
            how = f"did not start: {state['Error']}"
        else:
            how = {KILLED: "was killed", TERMINATED: "was stopped from outside"}.get(code, "ended by itself")
        reason = f"the container {container.name} {how} (exit status {code})"
        return End(reason=reason, exit_code=code, out_of_memory=out_of_memory)

    def _read_key_file(self, client: DockerClient) -> tuple[bytes, float] | None:
        from docker.errors import APIError

        container = self._serving(client)
        if container is None:
            return None
        if container.attrs["State"]["Paused"]:
            raise ServerError(
                f"the container {container.name} is paused", hint=f"`docker unpause {container.name}` lets it go on"
            )
        try:
            code, output = container.exec_run(READ_KEYS)  # in its working directory, as TorchServe does
        except APIError:
            return None  # it has just ended
        if code != 0:
            return None
        written_at, content = cast(bytes, output).split(b"\n", 1)
        return content, float(written_at)

    def _vitals(self, client: DockerClient) -> Vitals | None:
        container = self._own(client)
        if container is None or not container.attrs["State"]["Running"]:
            return None
        stats = client.api.stats(str(container.id), stream=False, one_shot=True)
        memory = stats["memory_stats"]
        details = memory.get("stats", {})
        # As `docker stats` counts: without the page cache that could go at once (cgroup v2, v1).
        idle = (
            details.get("inactive_file", 0) if "total_inactive_file" not in details else details["total_inactive_file"]
        )
        used = max(0, memory.get("usage", 0) - idle)
        return Vitals(
            memory_bytes=used,
            cpu_seconds=stats["cpu_stats"]["cpu_usage"]["total_usage"] / 1e9,
            available_bytes=memory["limit"] - used if "limit" in memory else None,
            restarts=container.attrs["RestartCount"],
            out_of_memory_at=_out_of_memory_at(client, container),
        )

    # -- the store inside ---------------------------------------------------------------------------------------

    def _serving(self, client: DockerClient) -> Container | None:
        """Ours, or the one that somebody started by hand under the name of asteria.toml."""
        from docker.errors import NotFound

        own = self._own(client)
        if own is not None:
            return own
        with contextlib.suppress(NotFound):
            named = client.containers.get(self.project.settings.docker.container)
            if PROJECT_LABEL not in named.labels and named.attrs["State"]["Running"]:
                return named
        return None

    def _container_store(self, client: DockerClient) -> ContainerStore | None:
        container = self._serving(client)
        if container is None or not container.attrs["State"]["Running"]:
            return None
        return store.look(container)

    def _put_archive(self, client: DockerClient, file: Path) -> ServerRecord | None:
        container, inside = self._serving(client), self._container_store(client)
        if container is None or inside is None:
            return None
        if not inside.is_mount:
            store.put(container, inside.directory, file)
        return run.record_of(self.project, container)

    # -- stopping -----------------------------------------------------------------------------------------------

    def _stop(self, client: DockerClient, emit: Emit, patience: int = STOP_SECONDS) -> bool:
        from docker.errors import NotFound

        was_running = False
        for container in run.of_project(client, self.mark):
            with contextlib.suppress(NotFound):  # somebody else was faster
                if container.attrs["State"]["Running"]:
                    was_running = True
                    emit(ServerChanged(state="stopping", target="docker", container=str(container.name)))
                    container.stop(timeout=patience)
                console.copy(container, self.project.state_dir, self._console)
                container.remove(v=True, force=True)
        with contextlib.suppress(OSError):
            remove(self.project.state_dir, f"server/{run.FILES}")
        record = load_record(self.project)
        if record is not None and record.target == "docker":
            forget_record(self.project)
        return was_running


def _out_of_memory_at(client: DockerClient, container: Container) -> float | None:
    """When the kernel last killed a process of it for its memory limit; the engine keeps some hundred events."""
    asked = {"container": container.id, "event": "oom"}
    # To the fraction of a second, which the API knows and the SDK's types do not.
    until: Any = f"{time.time():.6f}"
    found = client.events(since=0, until=until, filters=asked, decode=True)
    with contextlib.closing(found):
        times = [event["timeNano"] / 1e9 for event in found]
    return max(times, default=None)
