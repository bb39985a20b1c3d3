"""The project's handler: which class or function it is by TorchServe's rules (`ts/model_loader.py`), made ready."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any


class Handler:
    """One that is made of the sources as they are now; `instance` is None for a function."""

    def __init__(self, call: Callable[[Any, Any], Any], instance: Any = None) -> None:
        self.call = call
        self.instance = instance

    def initialize(self, context: Any) -> None:
        if self.instance is None:
            self.call(None, context)
        else:
            self.instance.initialize(context)

    def adopt(self, previous: Handler | None) -> bool:
        """Whether it took over what the one before had loaded, because it has a method for that."""
        take = getattr(self.instance, "adopt", None)
        if take is None or previous is None or previous.instance is None:
            return False
        take(previous.instance)
        return True


def import_handler(given: str, is_built_in: bool) -> Handler:
    """By the manifest: `file.py`, `file:function`, or a name of TorchServe's own; raises what that does."""
    file, _, function = given.partition(":")
    name = (file[:-3] if file.endswith(".py") else file).split("/")[-1]
    module = importlib.import_module("ts.torch_handler." + name if is_built_in else name)
    found = getattr(module, function or "handle", None)
    if found is not None:
        return Handler(found)
    classes = classes_of(module)
    if len(classes) != 1:
        listed = ", ".join(sorted(one.__name__ for one in classes)) or "none"
        raise ValueError(f"{file} has to have exactly one class, or a function `handle`; it has {listed}")
    instance = classes[0]()
    if not hasattr(instance, "handle"):
        raise ValueError(f"the class {classes[0].__name__} in {file} has no method `handle`")
    return Handler(instance.handle, instance)


def classes_of(module: ModuleType) -> list[Any]:
    """As `list_classes_from_module` of `ts/utils/util.py` counts them: an alias twice."""
    return [found for _, found in inspect.getmembers(module, inspect.isclass) if found.__module__ == module.__name__]
