"""Calls of torch-model-archiver in the scripts and texts of a project: they say best what belongs together."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from asteria_tui.archive.sources import understand_handler
from asteria_tui.config import VERSION, ModelSettings, is_possible
from asteria_tui.discovery.python_commands import command_lists, command_texts, parsed
from asteria_tui.discovery.script import Script, options, words
from asteria_tui.discovery.tree import Tree, base_name, folder, is_test

PROGRAM = re.compile(r"(?:torch-model-archiver(?:\.exe)?|model_archiver[./]model_packaging(?:\.py)?)(?=[\s\"',]|$)")
SCRIPTS = (".sh", ".bash", ".zsh", ".ps1", ".yml", ".yaml", ".mk")
DOCUMENTS = (".md", ".rst", ".txt")
_CHANGED_DIRECTORY = re.compile(r"(?:^|[\s;&])(?:cd|pushd|Set-Location)\s+([^\s;&|]+)")

# Flags of torch-model-archiver (docs/torchserve.md section 3) that name one file.
FILE_FLAGS = {
    "--serialized-file": "serialized_file",
    "--model-file": "model_file",
    "--requirements-file": "requirements_file",
    "--config-file": "config_file",
}
SHORT_FLAGS = {"-v": "--version", "-r": "--requirements-file", "-c": "--config-file"}


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One call, its paths as asteria.toml would write them."""

    name: str
    settings: ModelSettings
    export_path: str | None
    where: str
    """`scripts/package.sh:12`."""
    flags: int
    """How many it gives: a command may be put together piece by piece."""
    missing: tuple[str, ...]
    """Files that it names and that are not there."""

    @property
    def is_in_document(self) -> bool:
        return self.where.rpartition(":")[0].lower().endswith(DOCUMENTS)


def find_calls(tree: Tree) -> list[Call]:
    """One call a model: where there are several, the one whose files are there and that says most.

    Calls in documents with files that are not there are examples, unless there is nothing else.
    """
    found = [call for file in tree.files if _is_read(file) and not is_test(file) for call in _calls_of(tree, file)]
    usable = [call for call in found if not (call.is_in_document and call.missing)] or found
    best: dict[str, Call] = {}
    for call in sorted(usable, key=lambda call: (len(call.missing), call.is_in_document, -call.flags)):
        best.setdefault(call.name or call.where, call)
    return sorted(best.values(), key=usable.index)


def _is_read(file: str) -> bool:
    name = base_name(file).lower()
    return name.endswith((*SCRIPTS, *DOCUMENTS, ".py")) or name.startswith(("makefile", "gnumakefile", "dockerfile"))


def _calls_of(tree: Tree, file: str) -> Iterator[Call]:
    text = tree.text(file)
    if "model-archiver" not in text and "model_archiver" not in text:
        return
    commands = _python_commands(tree.python(file), file) if file.endswith(".py") else _script_commands(text, file)
    for line, tokens, directory in commands:
        bases = tuple(dict.fromkeys((*_directories(file, directory), folder(file), "")))
        call = _call(tree, options(tokens), bases, f"{file}:{line}")
        if call is not None:
            yield call


def _directories(file: str, directory: str) -> tuple[str, ...]:
    """Where a `cd` may have led, seen from the script and from the root."""
    return (f"{folder(file)}/{directory}".lstrip("/"), directory) if directory else ()


def _script_commands(text: str, file: str) -> Iterator[tuple[int, list[str], str]]:
    """Line, arguments and the directory changed to, of each call."""
    name = base_name(file).lower()
    script = Script(text, is_powershell=name.endswith(".ps1"), is_make="makefile" in name or name.endswith(".mk"))
    directory = ""
    for number, line in script.lines():
        if (change := _CHANGED_DIRECTORY.search(line)) is not None:
            directory = "" if "$" in change[1] else change[1].strip("\"'")
        for call in PROGRAM.finditer(line):
            rest = line[call.end() :]
            if file.lower().endswith(DOCUMENTS):
                rest = rest.partition("`")[0]
            is_list = rest[:1] in {'"', "'"} and rest[1:].lstrip().startswith(",")
            yield number, re.findall(r"[\"']([^\"']*)[\"']", rest[1:]) if is_list else words(rest), directory


def _python_commands(text: str, file: str) -> Iterator[tuple[int, list[str], str]]:
    module = parsed(text, file)
    if module is None:
        return
    for line, items in command_lists(module):
        for at, item in enumerate(items):
            if PROGRAM.search(item) and " " not in item.strip():
                yield line, items[at + 1 :], ""
    for line, command in command_texts(module):
        if PROGRAM.search(command):
            for number, tokens, directory in _script_commands(command, file):
                yield line + number - 1, tokens, directory


def _call(tree: Tree, given: dict[str, str], bases: tuple[str, ...], where: str) -> Call | None:
    """None for a call without a handler that can be used, such as one in a text about the tool."""
    flags = {SHORT_FLAGS.get(flag, flag): value for flag, value in given.items() if _is_usable(flag, value)}
    runtime = flags.get("--runtime", "python")
    if "--handler" not in flags or runtime not in {"python", "python3", "LSP"}:
        return None
    paths = _Paths(tree, bases)
    handler = _handler(paths, flags["--handler"], runtime)
    if handler is None:
        return None
    values: dict[str, object] = {"handler": handler, "runtime": runtime}
    if "--version" in flags:
        # The official tool takes any text; a slash could never be asked for again.
        version = flags["--version"].replace("/", "-")
        values["version"] = version if VERSION.fullmatch(version) else "1.0"
    for flag, key in FILE_FLAGS.items():
        if flag in flags:
            values[key] = paths.of(flags[flag])
    extra = [one.strip() for one in flags.get("--extra-files", "").split(",") if one.strip() and _is_usable("", one)]
    values["extra_files"] = tuple(dict.fromkeys(map(paths.of, extra)))
    export = flags.get("--export-path")
    return Call(
        name=flags.get("--model-name", ""),
        settings=msgspec.convert(values, ModelSettings),
        export_path=paths.directory(export) if export else None,
        where=where,
        flags=len(flags),
        missing=tuple(paths.missing),
    )


def _is_usable(flag: str, value: str) -> bool:
    """Whether asteria.toml, or the system, could take it."""
    return value.isprintable() and (flag == "--extra-files" or is_possible(Path(value)))


def _handler(paths: _Paths, given: str, runtime: str) -> str | None:
    handler = understand_handler(given, runtime)
    if handler.path is None:
        return given
    path = paths.existing(handler.path)
    if path is None:
        return None
    return f"{path}:{handler.function}" if handler.function else path


class _Paths:
    """Paths of one call; keeps note of those that are not there."""

    def __init__(self, tree: Tree, bases: tuple[str, ...]) -> None:
        self._tree = tree
        self._bases = bases
        self.missing: list[str] = []

    def existing(self, given: str) -> str | None:
        return self._tree.locate(given, self._bases)

    def of(self, given: str) -> str:
        """A file, or a pattern whose directory is there; as given where it is not."""
        plain, pattern = given, ""
        if glob.has_magic(given):
            parts = given.split("/")
            first = next(at for at, part in enumerate(parts) if glob.has_magic(part))
            plain, pattern = "/".join(parts[:first]) or ".", "/".join(parts[first:])
        path = self.existing(plain)
        if path is None:
            expected = given.removeprefix("./")
            self.missing.append(expected)
            return expected
        return f"{path}/{pattern}".removeprefix("./") if pattern else path

    def directory(self, given: str) -> str | None:
        """Of a store: one that is there, or one that a relative path would make; never the project itself."""
        path = self.existing(given) or (None if given.startswith(("/", "~")) else given.removeprefix("./").rstrip("/"))
        return None if path in {None, "", "."} else path
