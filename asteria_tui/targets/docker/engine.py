"""Which Docker engine: found the way the `docker` command finds it, and in the places where it does not look.

Blocking, as the Docker SDK is: call it by `in_daemon_thread`. The SDK is imported when an engine is spoken to,
not before.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import msgspec

from asteria_tui.bounds import MIB, parse_json, read_small
from asteria_tui.errors import TargetError

if TYPE_CHECKING:
    from docker import DockerClient

Result = TypeVar("Result")

PROBE_SECONDS = 5
TIMEOUT_SECONDS = 60
LOCAL_HOSTS = {"localhost", "127.0.0.1", "::1"}


class Endpoint(msgspec.Struct, frozen=True):
    """Where an engine may be."""

    address: str
    """`unix:///…`, `tcp://…`, `ssh://…`."""
    named_by: str
    """What says so: `DOCKER_HOST`, `docker context NAME`, or the kind of engine whose usual place it is."""


def connect(environment: Mapping[str, str] | None = None) -> DockerClient:
    """A client of the first engine that answers.

    DOCKER_HOST, or else the current docker context, is taken at its word; without either, the usual sockets are
    tried.

    Raises:
        TargetError: none answers; `detail` has one line for each place that was tried, `hint` what to do.
    """
    environment = os.environ if environment is None else environment
    refusals: dict[Endpoint, str] = {}
    for endpoint in endpoints(environment):
        try:
            return _client(endpoint, environment)
        except OSError as error:  # requests' errors are OSErrors too
            refusals[endpoint] = error.strerror or str(error)
    raise TargetError(
        "no Docker engine answers",
        detail="\n".join(f"{place.named_by}, {place.address}: {refusal}" for place, refusal in refusals.items()),
        hint=_hint(refusals),
    )


@contextlib.contextmanager
def opened() -> Iterator[DockerClient]:
    """The engine of this machine; raises TargetError."""
    with contextlib.closing(connect()) as client:
        address = urlsplit(str(client.api.base_url))
        if address.hostname not in LOCAL_HOSTS and not address.scheme.endswith("unix"):
            raise TargetError(
                f"the Docker engine is on another machine ({address.hostname})",
                detail="its containers see neither this folder nor publish their ports on this machine's loopback",
                hint="run asteria-tui there, or name an engine of this machine by DOCKER_HOST or `docker context use`",
            )
        yield client


def _client(endpoint: Endpoint, environment: Mapping[str, str]) -> DockerClient:
    """Raises OSError. A socket is asked by hand first: that is quick, and its errors are plain."""
    path = endpoint.address.removeprefix("unix://")
    is_socket = path != endpoint.address
    if is_socket:
        _ping(path)
    import docker

    try:
        if is_socket:
            return docker.DockerClient(base_url=endpoint.address, timeout=TIMEOUT_SECONDS)
        # The SDK knows the certificates of DOCKER_CERT_PATH and of contexts.
        return docker.from_env(environment=dict(environment), timeout=TIMEOUT_SECONDS, use_ssh_client=True)
    except docker.errors.DockerException as error:
        raise OSError(str(error)) from error


def _ping(path: str) -> None:
    """Raises OSError unless an engine answers on this socket."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(PROBE_SECONDS)
        connection.connect(path)
        connection.sendall(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")
        status = connection.recv(64).split(b"\r\n")[0].decode(errors="replace")
    if " 200" not in status:
        raise OSError(f"answers {status!r}, which no engine does")


def _hint(refusals: Mapping[Endpoint, str]) -> str:
    forbidden = [place.address for place, refusal in refusals.items() if refusal == os.strerror(errno.EACCES)]
    if forbidden:
        return (
            f"you may not use {forbidden[0]}: `sudo usermod -aG docker $USER` and a new login let you, "
            "`dockerd-rootless-setuptool.sh install` and Podman do without"
        )
    if len(refusals) == 1:
        return "start that engine, or unset what names it; `docker context ls` lists the others"
    return "start Docker or Podman; DOCKER_HOST names an engine elsewhere; `--target local` needs none"


@contextlib.contextmanager
def talking(doing: str) -> Iterator[None]:
    """Turns what the SDK raises into a TargetError that says what was being done.

    Use it around calls whose failure has no meaning of its own; catch NotFound and its kin inside.
    """
    from docker.errors import APIError, DockerException
    from requests import RequestException
    from urllib3.exceptions import HTTPError

    try:
        yield
    except APIError as error:
        raise TargetError(f"{doing}: the Docker engine refused", detail=str(error.explanation or error)) from error
    except (DockerException, RequestException, HTTPError) as error:
        raise TargetError(
            f"{doing}: the Docker engine does not answer",
            detail=str(error),
            hint="is it still running? `docker info` shows it",
        ) from error


def endpoints(environment: Mapping[str, str]) -> list[Endpoint]:
    """Where to look, in order."""
    if host := environment.get("DOCKER_HOST"):
        return [Endpoint(host, "DOCKER_HOST")]
    if context := _current_context(environment):
        return [context]
    home = Path(environment.get("HOME") or Path.home())
    runtime = Path(environment.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}")
    places = {
        "Docker, rootless": runtime / "docker.sock",
        "Docker": Path("/var/run/docker.sock"),
        "Docker Desktop": home / ".docker/desktop/docker.sock",
        "Docker Desktop on macOS": home / ".docker/run/docker.sock",
        "Colima": home / ".colima/default/docker.sock",
        "OrbStack": home / ".orbstack/run/docker.sock",
        "Podman, rootless": runtime / "podman/podman.sock",
        "Podman": Path("/run/podman/podman.sock"),
    }
    return [Endpoint(f"unix://{path}", kind) for kind, path in places.items()]


def _current_context(environment: Mapping[str, str]) -> Endpoint | None:
    """The context that `docker context use` or DOCKER_CONTEXT chose; None for the default one.

    The docker command keeps each in `meta.json`, in a folder named by the SHA-256 of the context's name.
    """
    config = Path(environment.get("DOCKER_CONFIG") or Path(environment.get("HOME") or Path.home(), ".docker"))
    name = environment.get("DOCKER_CONTEXT") or _read_json(config / "config.json").get("currentContext") or "default"
    if name == "default":
        return None
    meta = config / "contexts" / "meta" / hashlib.sha256(str(name).encode()).hexdigest() / "meta.json"
    host = _read_json(meta).get("Endpoints", {}).get("docker", {}).get("Host")
    if not host:
        raise TargetError(
            f"the docker context {name!r} has no address",
            detail=f"looked in {meta}",
            hint="`docker context ls` lists the contexts, `docker context use default` leaves this one",
        )
    return Endpoint(str(host), f"docker context {name}")


def _read_json(file: Path) -> dict[str, Any]:
    try:
        content = parse_json(read_small(file, MIB))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


async def in_daemon_thread(call: Callable[[], Result]) -> Result:
    """What a blocking call gives. An engine that hangs holds up neither an interruption nor the end of the process."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Result] = loop.create_future()

    def settle(result: Result | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]  # None only where the call gives None

    def run() -> None:
        result, error = None, None
        try:
            result = call()
        except BaseException as raised:  # noqa: BLE001 handed on to the awaiting side, whatever it is
            error = raised
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, daemon=True).start()
    return await future
