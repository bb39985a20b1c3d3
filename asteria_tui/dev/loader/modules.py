"""The project's modules: found by Python's own rules, always compiled from source, and taken out and put back whole."""

from __future__ import annotations

import importlib.machinery
import linecache
import os
import sys
from collections.abc import Callable, Sequence
from types import CodeType, ModuleType
from typing import Any

PACKAGE = "asteria_loader"
"""The name that a link in the model's folder gives to this package."""
INSTALLED = ("site-packages", "dist-packages")


class Territory:
    """Which files are the project's own: those of the model's folder, and of the project but for what is installed."""

    def __init__(self, folder: str, roots: Sequence[str], shown: dict[str, str]) -> None:
        self.folder = folder.rstrip(os.sep) + os.sep
        self.shown = shown
        """The file that each member of the model's folder is a link to."""
        self._roots = tuple(root.rstrip(os.sep) + os.sep for root in roots)
        self._prefixes = tuple({prefix + os.sep for prefix in (sys.prefix, sys.base_prefix)})

    def owns(self, path: str) -> bool:
        if path.startswith(self.folder):
            # Not this package, nor what TorchServe installs there.
            return path in self.shown
        for root in self._roots:
            if path.startswith(root):
                parts = path[len(root) :].split(os.sep)
                is_installed = any(part.startswith(".") or part in INSTALLED for part in parts)
                return not is_installed and not any(
                    path.startswith(prefix) and not root.startswith(prefix) for prefix in self._prefixes
                )
        return path in self.shown.values()

    def holds(self, folder: str) -> bool:
        """Whether some of them lie in that folder."""
        inside = folder.rstrip(os.sep) + os.sep
        return self.owns(inside) or any(path.startswith(inside) for path in self.shown)


class SourceLoader(importlib.machinery.SourceFileLoader):
    """Compiles what is in the file, never a `.pyc`; frames carry the name that the user knows the file by."""

    modules: Modules

    def get_code(self, fullname: str) -> CodeType:  # noqa: ARG002 of the interface
        return self.modules.code(self.get_filename())


class Modules:
    """A finder in front of Python's own for files; what it found can be taken out of `sys.modules` as a whole."""

    def __init__(self, territory: Territory, read: Callable[[str], bytes]) -> None:
        self.territory = territory
        self._read = read
        self.loaded: list[str] = []
        """The files of the modules imported since `take_out`."""
        self.compiled: dict[str, str] = {}
        """The project's modules that no Python wrote, by file: such a one can't be loaded again."""
        self._names: set[str] = set()
        self._codes: dict[str, tuple[bytes, CodeType]] = {}
        self._lines: dict[str, Any] = {}
        """The texts that tracebacks quoted, of the files that were compiled since `take_out`."""
        place = next(
            (i for i, finder in enumerate(sys.meta_path) if finder is importlib.machinery.PathFinder),
            len(sys.meta_path),
        )
        sys.meta_path.insert(place, self)

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> Any:
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is None:
            return None
        if spec.origin is None:
            # A folder without __init__.py.
            if any(map(self.territory.holds, spec.submodule_search_locations or ())):
                self._names.add(name)
        elif self.territory.owns(spec.origin):
            if isinstance(spec.loader, importlib.machinery.ExtensionFileLoader):
                self.compiled[spec.origin] = name
            elif type(spec.loader) is importlib.machinery.SourceFileLoader:
                self._names.add(name)
                loader = SourceLoader(name, spec.origin)
                loader.modules = self
                spec.loader, spec.cached = loader, None
        return spec

    def code(self, path: str) -> CodeType:
        """Of the file as it is now; raises OSError, and what compiling raises."""
        source = self._read(path)
        self.loaded.append(path)
        known = self._codes.get(path)
        shown = self.territory.shown.get(path, path)
        if known is None or known[0] != source:
            known = (source, compile(source, shown, "exec", dont_inherit=True))
            self._codes[path] = known
        # The text of the code in service, also when the file is another by now.
        self._lines.setdefault(shown, linecache.cache.get(shown))
        linecache.cache[shown] = (len(source), None, source.decode("utf-8", "replace").splitlines(True), shown)
        return known[1]

    def take_out(self) -> dict[str, ModuleType]:
        """The project's modules, which are imported anew from now on."""
        self.loaded = []
        self._lines = {}
        return {name: sys.modules.pop(name) for name in self._names if name in sys.modules}

    def put_back(self, taken: dict[str, ModuleType]) -> None:
        """Those of before, in place of whatever was imported since."""
        linecache.cache.update((shown, lines) for shown, lines in self._lines.items() if lines is not None)
        self.take_out()
        sys.modules.update(taken)

    def remove(self) -> None:
        sys.meta_path.remove(self)
