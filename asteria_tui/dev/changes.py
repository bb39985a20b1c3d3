"""Saves, as soon as they happen: inotify tells that something did, the stats of the files tell what."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable
from pathlib import Path

from asteria_tui.dev.loader.files import Signature, signature

MAX_TEXT = 1 << 20
"""Bytes of a file whose text is compared line by line."""
TEXTS = frozenset({".py", ".toml", ".yaml", ".yml"})
MAX_LOOKS = 500
"""Files that are looked at each time that one looks; of more, only those that the system names."""
LOOK_AT_ALL_EVERY = 10.0
"""Seconds."""


class Files:
    """Some files, and how they were when they were looked at last."""

    def __init__(self) -> None:
        self._seen: dict[Path, Signature] = {}
        self._texts: dict[Path, list[str]] = {}
        self._folders: dict[Path, Signature] = {}
        self._looked_at = self._named_at = 0.0

    @property
    def folders(self) -> frozenset[Path]:
        return frozenset(file.parent for file in self._seen)

    def watch(self, files: Iterable[Path]) -> None:
        """Those from now on; one that was not among them before is known as it is now."""
        self._watch_files(files)
        self.has_other_names()

    def has_other_names(self) -> bool:
        """Whether a file came or went in one of their folders since this was asked last."""
        folders = self.folders
        if len(folders) > MAX_LOOKS and time.monotonic() - self._named_at < LOOK_AT_ALL_EVERY:
            return False
        self._named_at = time.monotonic()
        now = {folder: signature(str(folder)) for folder in folders}
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

    def changed(self, touched: Collection[Path] | None = None) -> tuple[Path, ...]:
        """Those that are others than they were at the last call; `touched` are those that may be, where it is known."""
        is_due = time.monotonic() - self._looked_at >= LOOK_AT_ALL_EVERY
        if touched is None or is_due or len(self._seen) <= MAX_LOOKS:
            self._looked_at = time.monotonic()
            touched = list(self._seen)
        found = []
        for file in touched:
            if file in self._seen and (now := signature(str(file))) != self._seen[file]:
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
        if file.suffix not in TEXTS or file.stat().st_size > MAX_TEXT:
            return []
        return file.read_bytes().decode().splitlines()
    except (OSError, ValueError):
        return []
