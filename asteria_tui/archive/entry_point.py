"""What TorchServe will call in a handler file, found without importing it.

The rule of `ts/model_loader.py` (docs/torchserve.md section 3): the function named after the colon, or `handle`,
where the module has one; else the one class that the module itself defines.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterable, Iterator

from asteria_tui.errors import ArchiveError

# Called at the top of a module these give it a class of its own, which the loader counts too.
CLASS_FACTORIES = {"namedtuple", "NamedTuple", "TypedDict", "make_dataclass"}
METHODS = ("initialize", "handle")


def find_entry_point(source: bytes, file: str, function: str | None = None) -> str:
    """`class MyHandler` or `function handle`; `function` is what the settings name after the colon.

    Where only running the module can tell (a star import, a class in one branch of an `if`), it is believed.

    Raises:
        ArchiveError: the file does not compile or holds no single entry point.
    """
    module = parse(source, file)
    names = _Names(module.body)
    wanted = function or "handle"
    if wanted in names.bound:
        return f"function {wanted}"
    if function and not names.has_star_import:
        raise ArchiveError(
            f"{file} has no function {function!r}",
            detail=f"the handler is given as file:function; the file defines {_listed(names.bound)}",
        )
    classes = names.classes
    if len(names.certain_classes) > 1:
        raise ArchiveError(
            f"{file} defines {len(names.certain_classes)} classes, TorchServe takes exactly one",
            detail=f"the classes are {_listed(names.certain_classes)}",
            hint="move the others to a file in extra_files, or add a function `handle(data, context)`",
        )
    if len(classes) == 1:
        name, node = next(iter(classes.items()))
        _check_methods(file, name, node)
        return f"class {name}"
    if not classes and not names.has_star_import:
        raise ArchiveError(
            f"{file} holds no handler: no class of its own and no function `handle`",
            hint="define one class with initialize and handle, or a function `handle(data, context)`",
        )
    return "unknown until it runs"


def parse(source: bytes, file: str) -> ast.Module:
    """The syntax tree; raises ArchiveError with `file:line` and the text of the line."""
    try:
        with warnings.catch_warnings():
            # An invalid escape sequence in a user's file is none of our warnings.
            warnings.simplefilter("ignore")
            return ast.parse(source, filename=file)
    except SyntaxError as error:
        text = f": {error.text.strip()}" if error.text else ""
        raise ArchiveError(f"{file} does not compile", detail=f"{file}:{error.lineno}: {error.msg}{text}") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise ArchiveError(f"{file} does not compile", detail=str(error) or type(error).__name__) from None


class _Names:
    """The names that a module binds at its top, as far as its text tells."""

    def __init__(self, body: Iterable[ast.stmt]) -> None:
        self.bound: set[str] = set()
        self.certain_classes: set[str] = set()
        self.classes: dict[str, ast.ClassDef | None] = {}
        self.has_star_import = False
        for statement, is_certain in _statements(body):
            self._add(statement, is_certain)

    def _add(self, statement: ast.stmt, is_certain: bool) -> None:
        match statement:
            case ast.ClassDef(name=name):
                self._add_class(name, statement, is_certain)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                self._forget(name)
                self.bound.add(name)
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                self.has_star_import |= any(alias.name == "*" for alias in aliases)
                self.bound |= {alias.asname or alias.name.partition(".")[0] for alias in aliases}
            case ast.Assign(targets=targets, value=value):
                self._assign(targets, value, is_certain)
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                self._assign([target], value, is_certain)
            case ast.Delete(targets=targets):
                for name in _names(targets):
                    self._forget(name)
            case _:
                pass

    def _assign(self, targets: Iterable[ast.expr], value: ast.expr, is_certain: bool) -> None:
        # `Handler = MyHandler` makes the loader count MyHandler twice.
        is_alias = isinstance(value, ast.Name) and value.id in self.classes
        called = value.func if isinstance(value, ast.Call) else None
        factory = getattr(called, "attr", None) or getattr(called, "id", None)
        for name in _names(targets):
            self._forget(name)
            self.bound.add(name)
            if is_alias or factory in CLASS_FACTORIES:
                self._add_class(name, None, is_certain)

    def _add_class(self, name: str, node: ast.ClassDef | None, is_certain: bool) -> None:
        self.bound.add(name)
        self.classes[name] = node
        if is_certain:
            self.certain_classes.add(name)

    def _forget(self, name: str) -> None:
        self.bound.discard(name)
        self.certain_classes.discard(name)
        self.classes.pop(name, None)


def _names(targets: Iterable[ast.expr]) -> Iterator[str]:
    for target in targets:
        match target:
            case ast.Name(id=name):
                yield name
            case ast.Tuple(elts=elements) | ast.List(elts=elements):
                yield from _names(elements)
            case _:
                pass


def _statements(body: Iterable[ast.stmt], is_certain: bool = True) -> Iterator[tuple[ast.stmt, bool]]:
    """Every statement that runs at import, and whether it surely does."""
    for statement in body:
        yield statement, is_certain
        match statement:
            case ast.If(test=ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING")):
                yield from _statements(statement.orelse, is_certain)
            case ast.With(body=inner):
                yield from _statements(inner, is_certain)
            case ast.If() | ast.For() | ast.While() | ast.Try():
                for field in ("body", "orelse", "finalbody"):
                    yield from _statements(getattr(statement, field, []), is_certain=False)
                for handler in getattr(statement, "handlers", []):
                    yield from _statements(handler.body, is_certain=False)
            case _:
                pass


def _check_methods(file: str, name: str, node: ast.ClassDef | None) -> None:
    """A class without bases must bring both methods itself."""
    if node is None or node.bases or node.keywords or node.decorator_list:
        return
    has = _Names(node.body).bound
    missing = [method for method in METHODS if method not in has]
    if missing:
        raise ArchiveError(
            f"class {name} in {file} has no {' and no '.join(missing)}",
            hint="derive it from ts.torch_handler.base_handler.BaseHandler, or add the method",
        )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"
