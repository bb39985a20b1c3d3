"""Saves, as soon as they happen: inotify tells that something did, the stats of the files tell what."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from asteria_tui.dev.loader.files import Signature, signature

MAX_TEXT = 1 << 20
"""Bytes of a file whose text is compared line by line."""


class Files:
    """Some files, and how they were when they were looked at last."""

    def __init__(self) -> None:
        self._seen: dict[Path, Signature] = {}
        self._texts: dict[Path, list[str]] = {}
        self._folders: dict[Path, Signature] = {}

    @property
    def folders(self) -> frozenset[Path]:
        return frozenset(file.parent for file in self._seen)

    def watch(self, files: Iterable[Path]) -> None:
        """Those from now on; one that was not among them before is known as it is now."""
        self._watch_files(files)
        self.has_other_names()

    def has_other_names(self) -> bool:
        """Whether a file came or went in one of their folders since this was asked last."""
        now = {folder: signature(str(folder)) for folder in self.folders}
        before, self._folders = self._folders, now
        return now != before

    def _watch_files(self, files: Iterable[Path]) -> None:
        wanted = set(files)
        for gone in self._seen.keys() - wanted:
            del self._seen[gone]
            self._texts.pop(gone, None)
        for file in wanted - self._seen.keys():
            self._seen[file] = signature(str(file))
            self._texts[file] = _lines(file)

    def changed(self) -> tuple[Path, ...]:
        """Those that are others than they were at the last call."""
        found = []
        for file, before in self._seen.items():
            now = signature(str(file))
            if now != before:
                self._seen[file] = now
                found.append(file)
        return tuple(found)

    def first_line(self, file: Path) -> int | None:
        """The first line that differs from when this was asked last; None where none does, or it is no text."""
        before, after = self._texts.get(file, []), _lines(file)
        self._texts[file] = after
        if before == after:
            return None
        pairs = zip(before, after, strict=False)
        return next(
            (number for number, (one, other) in enumerate(pairs, 1) if one != other), min(len(before), len(after)) + 1
        )

    def saved_at(self, files: Iterable[Path]) -> float:
        """When the newest of them was written, in seconds since the epoch; 0.0 where none is there."""
        return max((seen[1] / 1e9 for file in files if (seen := self._seen.get(file))), default=0.0)


def _lines(file: Path) -> list[str]:
    """None of a file that is no text, or too long."""
    try:
        if file.stat().st_size > MAX_TEXT:
            return []
        return file.read_bytes().decode().splitlines()
    except (OSError, ValueError):
        return []
