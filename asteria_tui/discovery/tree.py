"""A bounded look at the files of a folder: names, and the beginning of texts."""

from __future__ import annotations

import os
from collections import defaultdict, deque
from pathlib import Path

MAX_FILES = 5000
MAX_FILES_OF_ONE_DIRECTORY = 1000
MAX_BYTES_OF_A_TEXT = 256 * 1024
UNWANTED_DIRECTORIES = {"__pycache__", "node_modules", "venv", "env", "site-packages", "__MACOSX"}


class Tree:
    """The files below `root`, nearest first; hidden directories and links to directories are not entered."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files: list[str] = []
        """Relative to the root, with `/`."""
        self.directories: list[str] = []
        self._by_name: dict[str, list[str]] = defaultdict(list)
        self._walk()

    def _walk(self) -> None:
        waiting = deque([""])
        while waiting and len(self.files) < MAX_FILES:
            here = waiting.popleft()
            directories, files = _listed(self.root / here)
            for name in directories:
                path = f"{here}{name}"
                self.directories.append(path)
                self._by_name[name].append(path)
                if not (self.root / path).is_symlink():
                    waiting.append(f"{path}/")
            for name in files[: min(MAX_FILES_OF_ONE_DIRECTORY, MAX_FILES - len(self.files))]:
                self.files.append(f"{here}{name}")
                self._by_name[name].append(f"{here}{name}")

    def text(self, file: str) -> str:
        """The beginning of a text file; empty for what cannot be read or is no text."""
        try:
            with (self.root / file).open("rb") as stream:
                content = stream.read(MAX_BYTES_OF_A_TEXT)
        except OSError:
            return ""
        if content.startswith((b"\xff\xfe", b"\xfe\xff")):  # PowerShell's `>` writes UTF-16
            return content.decode("utf-16", errors="replace")
        return "" if b"\0" in content else content.decode("utf-8-sig", errors="replace")

    def named(self, name: str) -> list[str]:
        """Files and directories of that base name, nearest first."""
        return self._by_name.get(name, [])

    def with_suffix(self, *suffixes: str) -> list[str]:
        return [file for file in self.files if file.lower().endswith(suffixes)]

    def locate(self, given: str, bases: tuple[str, ...]) -> str | None:
        """A file or directory that a script names, as asteria.toml names it.

        Tried below each of `bases`; last by its base name alone, where only one file has it: a script may speak of
        paths inside a container.
        """
        for base in bases:
            path = os.path.normpath(os.path.join(self.root, base, os.path.expanduser(given)))  # noqa: PTH111, PTH118 pathlib raises for `~nobody`
            if os.path.exists(path):  # noqa: PTH110 False where pathlib raises: a name too long, no permission
                return self._relative(path)
        named = self.named(base_name(given.rstrip("/")))
        return named[0] if len(named) == 1 else None

    def _relative(self, path: str) -> str:
        root = os.path.normpath(self.root)
        is_near = os.path.commonpath([root, path]) in {root, os.path.dirname(root)}  # noqa: PTH120 like the line above
        return Path(os.path.relpath(path, root)).as_posix() if is_near else path


def folder(file: str) -> str:
    """The folder of a file; empty for the root."""
    return file.rpartition("/")[0]


def base_name(file: str) -> str:
    return file.rpartition("/")[2]


def stem(file: str) -> str:
    return base_name(file).partition(".")[0]


def is_test(file: str) -> bool:
    """What tests say about models is made up."""
    return stem(file).startswith(("test_", "conftest")) or not {"test", "tests"}.isdisjoint(folder(file).split("/"))


def _listed(directory: Path) -> tuple[list[str], list[str]]:
    """Names of the directories and of the regular files in it, sorted; without those that TOML could not hold."""
    directories, files = [], []
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                if not entry.name.isprintable():
                    continue
                if entry.is_dir():
                    if not entry.name.startswith(".") and entry.name not in UNWANTED_DIRECTORIES:
                        directories.append(entry.name)
                elif entry.is_file():
                    files.append(entry.name)
    except OSError:
        return [], []
    return sorted(directories), sorted(files)
