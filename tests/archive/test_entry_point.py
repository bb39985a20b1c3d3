from __future__ import annotations

import sys
import types

import pytest

from asteria_tui.archive.entry_point import find_entry_point
from asteria_tui.errors import ArchiveError

WITH_METHODS = "class {}:\n    def initialize(self, context): ...\n    def handle(self, data, context): ...\n"
ONE = WITH_METHODS.format("One")
TWO = WITH_METHODS.format("Two")


FOUND = [
    (ONE, None, "class One"),
    (f"from os import PathLike\n{ONE}", None, "class One"),
    ("def handle(data, context): ...", None, "function handle"),
    (f"{ONE}\n{TWO}\nhandle = One().handle", None, "function handle"),
    ("from functools import reduce as handle", None, "function handle"),
    ("def answer(data, context): ...", "answer", "function answer"),
    (f"try:\n    import abc\nexcept ImportError:\n    pass\n{ONE}", None, "class One"),
    (f"{ONE}\n{TWO}\ndel Two", None, "class One"),
    (f"{ONE}\n{ONE}", None, "class One"),
    (f"{ONE}\nOne.version = 2", None, "class One"),
]
REFUSED = [
    ("x = 1", "no class of its own and no function `handle`"),
    (f"{ONE}\n{TWO}", "defines 2 classes"),
    (f"{ONE}\nAlias = One", "defines 2 classes"),
    (f"from collections import namedtuple\nPoint = namedtuple('Point', 'x y')\n{ONE}", "defines 2 classes"),
    ("class One:\n    def initialize(self, context): ...", "has no handle"),
    ("class One: ...", "has no initialize and no handle"),
]


@pytest.mark.parametrize(("source", "function", "expected"), FOUND)
def test_the_entry_point_is_found(source, function, expected):
    assert find_entry_point(source.encode(), "handler.py", function) == expected


@pytest.mark.parametrize(("source", "text"), REFUSED)
def test_what_has_no_entry_point_is_refused(source, text):
    with pytest.raises(ArchiveError, match=text):
        find_entry_point(source.encode(), "handler.py")


@pytest.mark.parametrize(("source", "function", "expected"), FOUND)
def test_the_loader_finds_the_same(source, function, expected, loader_finds):
    assert loader_finds(source, function) == expected


@pytest.mark.parametrize(("source", "text"), REFUSED)
def test_the_loader_refuses_the_same(source, text, loader_finds):
    with pytest.raises((ValueError, AttributeError)):
        loader_finds(source, None)


@pytest.fixture
def loader_finds(torchserve_package):
    """TorchServe's own loader over the module, as `TsModelLoader.load` calls it."""
    from ts.model_loader import TsModelLoader

    def find(source, function):
        module = types.ModuleType("some_handler")
        sys.modules["some_handler"] = module
        try:
            exec(source, module.__dict__)  # noqa: S102 the source is this file's own
        finally:
            del sys.modules["some_handler"]
        name = function or "handle"
        if hasattr(module, name):
            return f"function {name}"
        handle, _ = TsModelLoader()._get_class_entry_point(module)
        return f"class {type(handle.__self__).__name__}"

    return find


@pytest.mark.parametrize(
    "source",
    [
        "from something import *",
        "import torch\nif torch.cuda.is_available():\n    class A(object): ...\nelse:\n    class B(object): ...",
    ],
)
def test_what_only_running_tells_is_believed(source):
    assert find_entry_point(source.encode(), "handler.py") == "unknown until it runs"


def test_classes_for_type_checkers_do_not_count():
    source = f"from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    class Hint: ...\n{ONE}"
    assert find_entry_point(source.encode(), "handler.py") == "class One"


def test_a_missing_function_is_named():
    with pytest.raises(ArchiveError, match=r"handler\.py has no function 'answr'"):
        find_entry_point(b"def answer(data, context): ...", "handler.py", "answr")


@pytest.mark.parametrize(
    ("source", "detail"),
    [
        (b"def f(:\n", "handler.py:1: invalid syntax: def f(:"),
        (b"x = 1\n  y = 2\n", "handler.py:2: unexpected indent: y = 2"),
        (b"x = '\xff'", "handler.py"),
        (b"x = '\0'", "null bytes"),
        (b"(" * 10_000, "too many nested parentheses"),
    ],
    ids=["parameters", "indent", "encoding", "null", "nested"],
)
def test_a_file_that_does_not_compile(source, detail):
    with pytest.raises(ArchiveError, match=r"handler\.py does not compile") as caught:
        find_entry_point(source, "handler.py")
    assert detail in caught.value.detail or detail in caught.value.title
