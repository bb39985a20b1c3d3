"""What goes into an archive.

The rules of torch-model-archiver, without its silence (docs/torchserve.md section 3).
"""

from __future__ import annotations

import difflib
import glob
import itertools
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from asteria_tui.archive.entry_point import find_entry_point, parse
from asteria_tui.archive.files import reading
from asteria_tui.bounds import KIB, MIB, read_small
from asteria_tui.config import ModelSettings, Project
from asteria_tui.errors import ArchiveError

MAX_SOURCE = 4 * MIB
"""Bytes of a Python file; its syntax tree takes fifty times as much."""
MAX_CONFIG = 128 * KIB
"""Bytes of a model-config.yaml; pyyaml reads some 50 kB a second."""
MAX_NEAR = 1000
"""Files that a missing one is compared with."""
MANIFEST_DIRECTORY = "MAR-INF"
MANIFEST_NAME = f"{MANIFEST_DIRECTORY}/MANIFEST.json"
DEV_LOADER = "asteria_loader"
"""The folder of what `dev` serves that holds its loader (`dev/loader/modules.py`), beside settings of that name."""
UNWANTED_DIRECTORIES = {"__MACOSX", "__pycache__"}

# Of torch-model-archiver 0.12.0 (`model_handlers` in model_packaging_utils.py) and, for LSP, its C++ backend.
BUILT_IN_HANDLERS = {
    "base_handler",
    "text_classifier",
    "image_classifier",
    "object_detector",
    "image_segmenter",
    "dali_image_classifier",
    "vllm_handler",
    "trt_llm_handler",
}
BUILT_IN_LSP_HANDLERS = {"BaseHandler", "TorchScriptHandler"}


class Handler(msgspec.Struct, frozen=True, kw_only=True):
    """`handler` of the settings, understood."""

    path: str | None
    """Of the file; None for one that is built into TorchServe."""
    function: str | None
    manifest: str
    """What the manifest says: the name without its directory."""


class Sources(msgspec.Struct, frozen=True, kw_only=True):
    """All that an archive depends on. The optional names are those of the members, without directory."""

    name: str
    version: str
    runtime: str
    handler: str
    entry_point: str
    """`class MyHandler`, `function handle`, `built-in text_classifier`."""
    serialized_file: str | None
    model_file: str | None
    requirements_file: str | None
    config_file: str | None
    members: tuple[tuple[str, Path], ...]
    """Member name and file, sorted by name; without the manifest."""


def collect(project: Project, name: str, model: ModelSettings, *, is_code_checked: bool = True) -> Sources:
    """Finds and checks everything that the settings name; reads the handler, imports nothing.

    `is_code_checked`: what does not compile, or has no entry point, is refused.

    Raises:
        ArchiveError: a file is missing, hidden, no regular file or does not compile; two land on one name; a
            pattern matches nothing; the handler holds no single entry point.
    """
    if model.handler is None:
        raise ArchiveError(f"{name} has no handler to package", hint=f"set `handler` in [models.{name}]")
    handler = understand_handler(model.handler, model.runtime)
    with reading(project.root):
        members = _members(project, model, handler)
        _check_config(project, model)
        if model.model_file and is_code_checked:
            path = project.path(model.model_file)
            parse(read_small(path, MAX_SOURCE), project.relative(path))
        entry_point = _entry_point(project, handler, model.runtime) if is_code_checked else ""
    return Sources(
        name=name,
        version=model.version,
        runtime=model.runtime,
        handler=handler.manifest,
        entry_point=entry_point,
        serialized_file=_base(model.serialized_file),
        model_file=_base(model.model_file),
        requirements_file=_base(model.requirements_file),
        config_file=_base(model.config_file),
        members=members,
    )


def understand_handler(given: str, runtime: str) -> Handler:
    """A built-in name, `file.py`, `file`, `file:function` or `file.py:function`."""
    is_python = runtime != "LSP"
    if given in (BUILT_IN_HANDLERS if is_python else BUILT_IN_LSP_HANDLERS):
        return Handler(path=None, function=None, manifest=given)
    file, _, function = given.partition(":")
    suffix = ".py" if is_python else ".dylib" if sys.platform == "darwin" else ".so"
    stem = file.removesuffix(suffix)
    path = stem + suffix
    if function:
        # The official tool takes `file:function` alone; the worker strips `.py` anyway.
        return Handler(path=path, function=function, manifest=f"{Path(stem).name}:{function}")
    return Handler(path=path, function=None, manifest=Path(file).name)


def _members(project: Project, model: ModelSettings, handler: Handler) -> tuple[tuple[str, Path], ...]:
    single = (handler.path, model.serialized_file, model.model_file, model.requirements_file, model.config_file)
    paths = [_existing(project, given) for given in single if given]
    found = [(path.name, path) for path in paths]
    for given in model.extra_files:
        found += _extra(project, given)
    members = _without_conflicts(project, found)
    for member, path in members:
        if not path.is_file():
            raise ArchiveError(f"{project.relative(path)} is not a regular file", detail=f"for the member {member}")
    return members


def _base(given: str | None) -> str | None:
    return Path(given).name if given else None


def _existing(project: Project, given: str) -> Path:
    path = project.path(given)
    if path.exists():
        return path
    near: list[str] = []
    if path.parent.is_dir():
        names = [file.name for file in itertools.islice(path.parent.iterdir(), MAX_NEAR)]
        near = difflib.get_close_matches(path.name, names, n=1)
    raise ArchiveError(
        f"{project.relative(path)} does not exist",
        hint=f"did you mean {project.relative(path.parent / near[0])}?" if near else "",
    )


def _extra(project: Project, given: str) -> Iterator[tuple[str, Path]]:
    """Files at the root under their own name; a directory's contents at the root with its sub-directories."""
    if glob.has_magic(given) and not project.path(given).exists():
        paths = expand(project, given)
        _refuse_hidden(project, [path for path in paths if path.is_file() and path.name.startswith(".")])
    else:
        paths = [_existing(project, given)]
    for path in paths:
        if path.is_dir():
            yield from _directory(project, path)
        else:
            yield path.name, path


def expand(project: Project, pattern: str) -> list[Path]:
    """What a pattern matches, relative to the project; `**` matches files at any depth.

    Raises:
        ArchiveError: it matches nothing.
    """
    is_deep = "**" in Path(pattern).parts
    # Path.glob would match hidden files with `*`, as the official tool does not.
    matches = glob.glob(str(Path(pattern).expanduser()), root_dir=project.root, recursive=True)  # noqa: PTH207 see above
    paths = [project.root / match for match in sorted(matches)]
    if is_deep:
        paths = [path for path in paths if not path.is_dir() and not UNWANTED_DIRECTORIES & set(path.parts)]
    if not paths:
        raise ArchiveError(f"the pattern {pattern!r} of extra_files matches nothing", detail=f"in {project.root}")
    return paths


def _directory(project: Project, top: Path) -> Iterator[tuple[str, Path]]:
    hidden: list[Path] = []
    chains = {top: {top.resolve()}}
    for at, directories, files in os.walk(top, followlinks=True, onerror=_cannot_list):
        here = Path(at)
        directories[:] = [name for name in directories if _is_wanted(name)]
        for name in directories:
            real = (here / name).resolve()
            if real in chains[here]:
                raise ArchiveError(f"{project.relative(here / name)} links back to a directory that holds it")
            chains[here / name] = {*chains[here], real}
        for name in files:
            path = here / name
            if name.startswith("."):
                hidden.append(path)
            yield path.relative_to(top).as_posix(), path
    _refuse_hidden(project, hidden)


def _is_wanted(directory: str) -> bool:
    return not directory.startswith(".") and directory not in UNWANTED_DIRECTORIES


def _cannot_list(error: OSError) -> None:
    raise ArchiveError(f"cannot read {error.filename}", detail=error.strerror or str(error))


def _refuse_hidden(project: Project, paths: list[Path]) -> None:
    if paths:
        names = ", ".join(project.relative(path) for path in sorted(paths))
        raise ArchiveError(
            f"extra_files would take hidden files along: {names}",
            detail="hidden files often hold secrets, and whoever has the archive can read them",
            hint="move them away, or name each in extra_files to take it on purpose",
        )


def _without_conflicts(project: Project, found: list[tuple[str, Path]]) -> tuple[tuple[str, Path], ...]:
    """Sorted; one file that was named twice counts once."""
    members: dict[str, Path] = {}
    for member, path in found:
        if member.partition("/")[0] == MANIFEST_DIRECTORY:
            raise ArchiveError(
                f"{project.relative(path)} would land in {MANIFEST_DIRECTORY}/, where the manifest lies",
                hint="rename that directory",
            )
        if is_of_dev(member):
            raise ArchiveError(
                f"{project.relative(path)} is of what `dev` serves, and would land in the archive",
                hint="extra_files names a folder of asteria-tui's own: name the sources themselves",
            )
        other = members.setdefault(member, path)
        if other != path and other.resolve() != path.resolve():
            raise ArchiveError(
                f"two files would land on the name {member} in the archive",
                detail=f"{project.relative(other)} and {project.relative(path)}",
                hint="rename one, or keep it in a sub-directory of a directory in extra_files",
            )
    for member, path in members.items():
        for parent in list(Path(member).parents)[:-1]:
            if (file := members.get(parent.as_posix())) is not None:
                raise ArchiveError(
                    f"{parent} would be a file and a directory in the archive",
                    detail=f"{project.relative(file)} and {project.relative(path)}",
                )
    return tuple(sorted(members.items()))


def is_of_dev(member: str) -> bool:
    """Whether a member belongs to the loader that runs sources instead of what was packaged."""
    return member.partition("/")[0].partition(".")[0] == DEV_LOADER


def _entry_point(project: Project, handler: Handler, runtime: str) -> str:
    if handler.path is None:
        return f"built-in {handler.manifest}"
    if runtime == "LSP":
        return f"library {handler.manifest}"
    path = project.path(handler.path)
    return find_entry_point(read_small(path, MAX_SOURCE), project.relative(path), handler.function)


def _check_config(project: Project, model: ModelSettings) -> None:
    """The server only logs that it ignores a config file that does not parse."""
    if not model.config_file or Path(model.config_file).suffix not in {".yaml", ".yml"}:
        return
    import yaml

    class Plain(yaml.SafeLoader):
        """Leaves merges (`<<`) as they are: thirty that double make a thousand million values."""

        def flatten_mapping(self, node: yaml.MappingNode) -> None:
            pass

    Plain.add_constructor("tag:yaml.org,2002:merge", lambda _, __: "<<")
    path = project.path(model.config_file)
    try:
        yaml.load(read_small(path, MAX_CONFIG), Plain)  # noqa: S506 a safe loader
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ArchiveError(f"{project.relative(path)} is not valid YAML", detail=str(error)) from error
