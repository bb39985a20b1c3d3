"""How the container is run: image, hardening, mounts, ports and labels (docs/docker.md section 1), for whoever runs it.

One description, told to the engine's API (`api_arguments`) and to people (`command_line`); compose files are written
from it too.
"""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from asteria_tui.errors import TargetError
from asteria_tui.targets.server_config import Ports

HOME = PurePosixPath("/home/model-server")
RUN = HOME / "run"
"""The working directory and the one place that can be written: key file, temporary files, unpacked archives."""
CONFIG = HOME / "config"
LOGS = HOME / "logs"
STORE = HOME / "model_store"
OFFICIAL_STORE = HOME / "model-store"
LAUNCHER = HOME / "launch.py"
HEALTH_CHECK = HOME / "healthcheck.py"
PORTS = Ports(inference=8080, management=8081, metrics=8082, grpc_inference=7070, grpc_management=7071)
"""Inside; nothing else runs there."""
IMAGE_USER = 1000
PIDS_LIMIT = 512
RUN_BYTES = 512 * 2**20
STOP_SECONDS = 10
"""Until SIGKILL; Java takes about 2.6 (docs/docker.md section 1)."""
SECOND = 10**9
"""In the nanoseconds of the engine's API."""
HEALTH_TIMES = {"interval": 15, "timeout": 5, "start_period": 120}
"""Seconds, as in our Dockerfile."""


class Mount(msgspec.Struct, frozen=True, kw_only=True):
    """A file or directory of the host, inside the container."""

    source: Path
    target: PurePosixPath
    read_only: bool = True


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """What kind of image it is."""

    is_ours: bool = True
    store: PurePosixPath = STORE
    note: str = ""
    """What its user should know; empty for our own."""


OFFICIAL_LAYOUT = Layout(
    is_ours=False,
    store=OFFICIAL_STORE,
    note="is laid out like the official TorchServe image, whose own command switches token authorization off,"
    f" listens on every address and stays up when the server is dead; its store is {OFFICIAL_STORE}",
)


def layout_named(image: str) -> Layout:
    """Where no engine is asked, the official image's name says how it is laid out."""
    return OFFICIAL_LAYOUT if image.startswith("pytorch/torchserve") else Layout()


def layout_of(config: Mapping[str, Any], *, is_ours: bool) -> Layout:
    """From the `Config` that the engine tells of an image."""
    if is_ours:
        return Layout()
    words = [*(config.get("Entrypoint") or ()), *(config.get("Cmd") or ())]
    if any("dockerd-entrypoint.sh" in word for word in words):
        return OFFICIAL_LAYOUT
    return Layout(is_ours=False, note="was not built by asteria-tui")


class ContainerSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a container of ours is created with."""

    name: str
    image: str
    user: tuple[int, int]
    memory: str
    ports: Ports
    """On the host's loopback."""
    mounts: tuple[Mount, ...]
    archive_bytes: int = 0
    """Of what is served."""
    layout: Layout = Layout()
    java_options: tuple[str, ...] = ()
    labels: dict[str, str] = {}

    @property
    def environment(self) -> dict[str, str]:
        # A user without an entry in passwd has neither, and torch asks for both.
        return {"HOME": str(RUN), "USER": "model-server", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}

    @property
    def entrypoint(self) -> list[str] | None:
        """Another image's own one hides TorchServe behind a shell."""
        return None if self.layout.is_ours else ["python3", str(LAUNCHER)]

    @property
    def health_check(self) -> list[str]:
        python = "/home/venv/bin/python" if self.layout.is_ours else "python3"
        return ["CMD", python, str(HEALTH_CHECK)]

    @property
    def user_text(self) -> str:
        return f"{self.user[0]}:{self.user[1]}"

    @property
    def tmpfs(self) -> str:
        # `--mount type=tmpfs` knows no owner (docs/docker.md section 2).
        uid, gid = self.user
        # Each archive is unpacked there, and once more while a changed one takes its place.
        size = RUN_BYTES + 2 * self.archive_bytes
        return f"size={size},uid={uid},gid={gid},mode=0700,exec"

    @property
    def published(self) -> dict[int, int]:
        """Inside to outside."""
        outside = self.ports.items()
        return {inside: outside[name] for name, inside in PORTS.items().items()}

    @property
    def in_common(self) -> dict[str, Any]:
        """What the engine's API and a compose file say in the same words."""
        return {
            "image": self.image,
            "user": self.user_text,
            "working_dir": str(RUN),
            "environment": self.environment,
            "read_only": True,
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges"],
            "pids_limit": PIDS_LIMIT,
            "mem_limit": self.memory,
            "memswap_limit": self.memory,
        }

    def api_arguments(self) -> dict[str, Any]:
        """For `DockerClient.containers.create`."""
        from docker.types import LogConfig
        from docker.types import Mount as ApiMount

        return self.in_common | {
            "name": self.name,
            "entrypoint": self.entrypoint,
            "command": list(self.java_options) or None,
            "labels": self.labels,
            "tmpfs": {str(RUN): self.tmpfs},
            "mounts": [
                ApiMount(str(mount.target), str(mount.source), type="bind", read_only=mount.read_only)
                for mount in self.mounts
            ],
            "ports": {f"{inside}/tcp": ("127.0.0.1", outside) for inside, outside in self.published.items()},
            "healthcheck": {
                "test": self.health_check,
                **{name: seconds * SECOND for name, seconds in HEALTH_TIMES.items()},
            },
            # Nothing of the host's may fill up with what a crash loop prints.
            "log_config": LogConfig(type="json-file", config={"max-size": "32m", "max-file": "2"}),
        }

    def command_line(self) -> str:
        """The same as a `docker run`, to read and to copy."""
        words = ["docker", "run", "--detach", "--name", self.name, "--user", self.user_text, "--workdir", str(RUN)]
        words += ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
        words += ["--pids-limit", str(PIDS_LIMIT), "--memory", self.memory, "--memory-swap", self.memory]
        words += ["--tmpfs", f"{RUN}:{self.tmpfs}"]
        for name, value in self.environment.items():
            words += ["--env", f"{name}={value}"]
        for mount in self.mounts:
            words += ["--volume", f"{mount.source}:{mount.target}{':ro' if mount.read_only else ''}"]
        for inside, outside in self.published.items():
            words += ["--publish", f"127.0.0.1:{outside}:{inside}"]
        program, *arguments = self.entrypoint or [""]
        words += ["--entrypoint", program] if program else []
        return shlex.join([*words, self.image, *arguments, *self.java_options])


def unreadable(user: tuple[int, int], store: Path, archives: Sequence[str]) -> list[Path]:
    """What of the store this user can't read, by owner and mode; ACLs are left to the container itself."""
    wanted = [(store, stat.S_IROTH | stat.S_IXOTH), *((store / name, stat.S_IROTH) for name in archives)]
    return [path for path, bits in wanted if not _is_open(path.stat(), bits, user)]


def _is_open(found: os.stat_result, bits: int, user: tuple[int, int]) -> bool:
    if found.st_uid == user[0]:
        bits <<= 6
    elif found.st_gid == user[1]:
        bits <<= 3
    return found.st_mode & bits == bits


def check_readable(user: tuple[int, int], store: Path, archives: Sequence[str]) -> None:
    """Raises TargetError naming what the container's user could not read."""
    closed = unreadable(user, store, archives)
    if closed:
        paths = " ".join(shlex.quote(str(path)) for path in closed)
        raise TargetError(
            f"the container's user {user[0]} cannot read {closed[0]}",
            detail="the store is mounted into the container, with the owner and mode that it has here",
            hint=f"chmod o+rX {paths}",
        )
