"""A bounded look at the files of a folder: names, and the beginning of texts."""

from __future__ import annotations

import os
from collections import defaultdict, deque
from pathlib import Path

from asteria_tui.bounds import KIB, MIB, open_regular

MAX_FILES = 5000
MAX_FILES_OF_ONE_DIRECTORY = 1000
MAX_ENTRIES_LISTED = 50_000
"""Of one directory; what lies beyond them is not even sorted."""
MAX_DIRECTORIES = 5000
MAX_BYTES_OF_A_TEXT = 256 * KIB
MAX_BYTES_OF_ALL_TEXTS = 256 * MIB
MAX_BYTES_PARSED = 16 * MIB
"""Of Python: a syntax tree takes about a second for each MiB."""
UNWANTED_DIRECTORIES = {"__pycache__", "node_modules", "venv", "env", "site-packages", "__MACOSX"}


class Tree:
    """The files below `root`, nearest first; hidden directories and links to directories are not entered."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files: list[str] = []
        """Relative to the root, with `/`."""
        self.directories: list[str] = []
        self.left_out: dict[str, str] = {}
        """Why something was not looked at, by file or folder."""
        self._by_name: dict[str, list[str]] = defaultdict(list)
        self._read = self._parsed = 0
        self._walk()

    def _walk(self) -> None:
        waiting = deque([""])
        while waiting:
            here = waiting.popleft()
            if len(self.files) >= MAX_FILES:
                self.left_out[here] = f"not looked at, nor what lies deeper: {MAX_FILES:,} files lie nearer"
                return
            directories, files = self._listed(here)
            if len(self.directories) + len(directories) > MAX_DIRECTORIES:
                self.left_out[here] = f"its folders are not looked at: {MAX_DIRECTORIES:,} lie nearer"
                directories = []
            for name in directories:
                path = f"{here}{name}"
                self.directories.append(path)
                self._by_name[name].append(path)
                if not (self.root / path).is_symlink():
                    waiting.append(f"{path}/")
            kept = files[: min(MAX_FILES_OF_ONE_DIRECTORY, MAX_FILES - len(self.files))]
            if len(kept) < len(files):
                self.left_out[here or "."] = f"only the first {len(kept):,} of its {len(files):,} files were looked at"
            for name in kept:
                self.files.append(f"{here}{name}")
                self._by_name[name].append(f"{here}{name}")

    def _listed(self, here: str) -> tuple[list[str], list[str]]:
        """Names of the directories and of the regular files in it, sorted; without those that TOML could not hold."""
        directories, files = [], []
        try:
            with os.scandir(self.root / here) as entries:
                for count, entry in enumerate(entries):
                    if count >= MAX_ENTRIES_LISTED:
                        self.left_out[here or "."] = f"only {MAX_ENTRIES_LISTED:,} of its entries were looked at"
                        break
                    kind = _kind(entry)
                    if kind == "directory":
                        directories.append(entry.name)
                    elif kind == "file":
                        files.append(entry.name)
        except OSError as error:
            self.left_out[here or "."] = f"cannot be read: {error.strerror}"
        return sorted(directories), sorted(files)

    def python(self, file: str) -> str:
        """The same of a file that is to be parsed; empty when that would take too long."""
        text = self.text(file)
        self._parsed += len(text)
        if self._parsed <= MAX_BYTES_PARSED:
            return text
        self.left_out[file] = f"not parsed, nor what comes after it: {MAX_BYTES_PARSED // MIB} MiB of Python were"
        return ""

    def text(self, file: str) -> str:
        """The beginning of a text file; empty for what cannot be read or is no text."""
        if self._read > MAX_BYTES_OF_ALL_TEXTS:
            self.left_out.setdefault(".", f"{MAX_BYTES_OF_ALL_TEXTS // MIB} MiB of text were read, the rest was not")
            return ""
        try:
            with open_regular(self.root / file) as stream:
                content = stream.read(MAX_BYTES_OF_A_TEXT)
        except OSError:
            return ""
        self._read += len(content)
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


def _kind(entry: os.DirEntry[str]) -> str:
    """`directory` and `file` for what is looked at; empty for all else, such as a link to itself."""
    if not entry.name.isprintable():
        return ""
    try:
        if entry.is_dir():
            return "" if entry.name.startswith(".") or entry.name in UNWANTED_DIRECTORIES else "directory"
        return "file" if entry.is_file() else ""
    except OSError:
        return ""
