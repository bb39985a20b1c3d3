"""Command lines in Python sources: lists for `subprocess`, and texts for a shell; found by reading only."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from asteria_tui.archive.entry_point import parse
from asteria_tui.discovery.script import UNKNOWN
from asteria_tui.errors import ArchiveError

DEEPEST = 30
MAX_CHARACTERS = 8000
"""Of a text: no command line is longer, and `a = a + a` forty times would be."""


def command_lists(module: ast.Module) -> Iterator[tuple[int, list[str]]]:
    """Line and items of each list or tuple; an item that only running could tell is `UNKNOWN`."""
    texts = _Texts(module)
    for node in ast.walk(module):
        if isinstance(node, ast.List | ast.Tuple):
            yield node.lineno, [texts.of(item) for item in node.elts if not isinstance(item, ast.Starred)]


def command_texts(module: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and value of each string, f-strings and concatenations as far as they are known."""
    texts = _Texts(module)
    parts: set[int] = set()
    for node in ast.walk(module):  # from the outside in, so a part is known as one before it comes
        if id(node) in parts:
            continue
        if isinstance(node, ast.JoinedStr | ast.BinOp):
            parts |= {id(part) for part in ast.walk(node)}
            yield node.lineno, texts.of(node)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def parsed(source: str, file: str) -> ast.Module | None:
    """None for what does not compile."""
    try:
        return parse(source.encode(errors="replace"), file)
    except ArchiveError:
        return None


class _Texts:
    """Values of expressions that are texts, with the names that the module assigns."""

    def __init__(self, module: ast.Module) -> None:
        self._names: dict[str, str] = {}
        for node in ast.walk(module):
            match node:
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    self._names[name] = self.of(value)
                case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                    self._names[name] = self.of(value)
                case _:
                    pass

    def of(self, node: ast.expr, depth: int = 0) -> str:
        match node:
            case ast.Constant(value=str() | int() | float() as value):
                return str(value)
            case ast.Name(id=name):
                return self._names.get(name, UNKNOWN)
            case _:
                separator, parts = _parts(node)
                return self._joined(separator, parts, depth + 1) if parts and depth < DEEPEST else UNKNOWN

    def _joined(self, separator: str, parts: Sequence[ast.expr], depth: int) -> str:
        texts: list[str] = []
        length = 0
        for part in parts:
            texts.append(self.of(part, depth))
            length += len(texts[-1]) + len(separator)
            if length > MAX_CHARACTERS:
                return UNKNOWN
        return separator.join(texts)


def _parts(node: ast.expr) -> tuple[str, Sequence[ast.expr]]:
    """What stands between the parts of a text, and the parts; none where only running could tell."""
    separator, parts = "", list[ast.expr]()
    match node:
        case ast.JoinedStr(values=values):
            parts = values
        case ast.FormattedValue(value=value):
            parts = [value]
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            parts = [left, right]
        case ast.BinOp(left=left, op=ast.Div(), right=right):
            separator, parts = "/", [left, right]
        case ast.Call(
            func=ast.Attribute(value=ast.Constant(value=str() as comma), attr="join"),
            args=[ast.List(elts=items) | ast.Tuple(elts=items)],
        ):
            separator, parts = comma, items
        case ast.Call(func=ast.Name(id="str" | "Path") | ast.Attribute(attr="join" | "fspath"), args=args):
            separator, parts = "/", args
        case _:
            pass
    return separator, parts
