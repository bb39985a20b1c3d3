"""The files that the code in service was made of, and whether they are still the same."""

from __future__ import annotations

import hashlib
import os
import time
from typing import Iterable, Optional, Tuple

Signature = Optional[Tuple[int, int, int]]
"""Size, time of change in ns and inode; None for a file that is not there."""
YOUNG = 20_000_000
"""Nanoseconds after a change in which another one may leave the same signature, or the writer may not be done."""


def signature(path: str) -> Signature:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return (status.st_size, status.st_mtime_ns, status.st_ino)


def is_young(seen: Signature) -> bool:
    return seen is not None and abs(time.time_ns() - seen[1]) < YOUNG


class Files:
    """Python sources by their content, everything else (weights, vocabularies) by its signature."""

    def __init__(self) -> None:
        self.seen: dict[str, Signature] = {}
        self._digests: dict[str, str] = {}
        self._young: set[str] = set()

    def read(self, path: str) -> bytes:
        """The content of a source, remembered as what is in use; raises OSError."""
        # Before it is read: what is written meanwhile shows as a change later.
        self.seen[path] = signature(path)
        with open(path, "rb") as file:
            content = file.read()
        self._digests[path] = hashlib.sha256(content).hexdigest()
        self._remember_age(path)
        return content

    def add(self, paths: Iterable[str]) -> None:
        """Files to watch from now on, as they are now."""
        for path in paths:
            if path not in self.seen:
                self._look(path)

    def keep(self, paths: Iterable[str]) -> None:
        """Those only."""
        for path in self.seen.keys() - set(paths):
            del self.seen[path]
            self._digests.pop(path, None)
            self._young.discard(path)

    def changed(self) -> list[str]:
        """Those that are others than when they were looked at last, and as they are now from here on."""
        return [path for path in list(self.seen) if self._is_changed(path)]

    def _is_changed(self, path: str) -> bool:
        now = signature(path)
        if now == self.seen[path] and path not in self._young:
            return False
        before = (self.seen[path], self._digests.get(path))
        self._look(path)
        if before[1] is not None and path in self._digests:
            return self._digests[path] != before[1]
        return self.seen[path] != before[0]

    def _look(self, path: str) -> None:
        self.seen[path] = signature(path)
        if path.endswith(".py"):
            try:
                self.read(path)
            except OSError:
                self.seen[path] = None
                self._digests.pop(path, None)
        self._remember_age(path)

    def _remember_age(self, path: str) -> None:
        if is_young(self.seen[path]):
            self._young.add(path)
        else:
            self._young.discard(path)

    def hash(self, names: dict[str, str]) -> str:
        """Of all files, by the name that `names` has for a path, or else the path itself."""
        digest = hashlib.sha256()
        for name, path in sorted((names.get(path, path), path) for path in self.seen):
            seen = self.seen[path]
            content = self._digests.get(path) or (seen and f"{seen[0]}-{seen[1]}") or "missing"
            digest.update(f"{name}\0{content}\0".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()
