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
        path = self.get_filename()
        source = self.modules.read(path)
        shown = self.modules.shown(path)
        code: CodeType = compile(source, shown, "exec", dont_inherit=True)
        # The text of the code in service, also when the file is another by now.
        text = source.decode("utf-8", "replace")
        linecache.cache[shown] = (len(source), None, text.splitlines(True), shown)
        return code


class Modules:
    """A finder in front of Python's own for files; what it found can be taken out of `sys.modules` as a whole."""

    def __init__(self, territory: Territory, read: Callable[[str], bytes]) -> None:
        self.territory = territory
        self._read = read
        self.loaded: list[str] = []
        """The files of the modules imported since `take_out`."""
        place = next(
            (i for i, finder in enumerate(sys.meta_path) if finder is importlib.machinery.PathFinder),
            len(sys.meta_path),
        )
        sys.meta_path.insert(place, self)

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> Any:
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is None or not spec.origin or not self.territory.owns(spec.origin):
            return spec
        if type(spec.loader) is importlib.machinery.SourceFileLoader:
            loader = SourceLoader(name, spec.origin)
            loader.modules = self
            spec.loader, spec.cached = loader, None
        return spec

    def read(self, path: str) -> bytes:
        self.loaded.append(path)
        return self._read(path)

    def shown(self, path: str) -> str:
        return self.territory.shown.get(path, path)

    def extensions(self) -> dict[str, str]:
        """The project's compiled modules by file: Python cannot load such a one again."""
        found = {}
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None)
            is_compiled = isinstance(
                getattr(getattr(module, "__spec__", None), "loader", None), importlib.machinery.ExtensionFileLoader
            )
            if is_compiled and file and self.territory.owns(file):
                found[file] = name
        return found

    def take_out(self) -> dict[str, ModuleType]:
        """The project's modules, which are imported anew from now on."""
        self.loaded = []
        taken = {name: module for name, module in list(sys.modules.items()) if self._is_own(module)}
        for name in taken:
            del sys.modules[name]
        return taken

    def put_back(self, taken: dict[str, ModuleType]) -> None:
        """Those of before, in place of whatever was imported since."""
        self.take_out()
        sys.modules.update(taken)

    def _is_own(self, module: ModuleType) -> bool:
        spec = getattr(module, "__spec__", None)
        if spec is None:
            return False
        if isinstance(spec.loader, SourceLoader):
            return True
        # A folder without __init__.py.
        is_namespace = spec.origin is None and spec.submodule_search_locations is not None
        return is_namespace and any(map(self.territory.holds, spec.submodule_search_locations))

    def remove(self) -> None:
        sys.meta_path.remove(self)
