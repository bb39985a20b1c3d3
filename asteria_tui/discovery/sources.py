"""Models of a project without archiver calls: handlers, weights, networks, and what belongs together."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator

import msgspec

from asteria_tui.archive.entry_point import find_entry_point
from asteria_tui.archive.sources import BUILT_IN_HANDLERS
from asteria_tui.config import MODEL_NAME, ModelSettings
from asteria_tui.discovery.python_commands import parsed
from asteria_tui.discovery.tree import Tree, base_name, folder, is_test, stem
from asteria_tui.errors import ArchiveError

WEIGHTS = (".pt", ".pth", ".safetensors", ".onnx", ".bin")
"""In the order in which they are preferred: .bin is also the name of much else."""
DATA = (".json", ".txt", ".yaml", ".yml", ".csv", ".pkl", ".model", ".vocab")
MAX_NAME = 100
MAX_PAIRED = 200
"""Handlers, and weights: each is compared with each."""
STEPS = {"initialize", "preprocess", "inference", "postprocess"}
# Parsing is slow, so only files that could be a handler or a network are parsed.
OF_INTEREST = re.compile(r"Handler\b|\bdef handle\b|\bModule\b")
# Words that tell nothing about which model a file belongs to.
GENERAL_WORDS = {
    *(
        "model",
        "models",
        "handler",
        "handlers",
        "weights",
        "net",
        "network",
        "best",
        "final",
        "last",
        "checkpoint",
    ),
    *("ckpt", "state", "dict", "pytorch", "torch", "custom", "my", "src", "app", "serve", "serving", "torchserve"),
    *("inference", "service", "store", "main", "index", "python", "artifacts", "code", "lib"),
}


class Module(msgspec.Struct, frozen=True, kw_only=True):
    """What matters of one Python file."""

    file: str
    is_handler: bool
    is_network: bool
    """It defines exactly one class, and that derives from `nn.Module`: TorchServe takes no other model file."""
    imports: frozenset[str]
    texts: frozenset[str]
    """The string constants."""


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """One model, and why its parts are believed to belong together, by key."""

    name: str
    settings: ModelSettings
    reasons: dict[str, str]


def find_models(tree: Tree) -> tuple[list[Found], dict[str, str]]:
    """Models, and handlers that were left out, each with the reason."""
    modules = [
        module
        for file in tree.with_suffix(".py")
        if not is_test(file) and OF_INTEREST.search(tree.text(file)) and (module := _read(tree, file)) is not None
    ]
    used = {name for module in modules if module.is_handler for name in module.imports}
    handlers = [module for module in modules if module.is_handler and stem(module.file) not in used]
    weights = sorted(tree.with_suffix(*WEIGHTS), key=lambda file: WEIGHTS.index(f".{file.lower().rpartition('.')[2]}"))
    left_out: dict[str, str] = {}
    for files in (handlers, weights):
        for one in files[MAX_PAIRED:]:
            left_out[getattr(one, "file", str(one))] = f"{MAX_PAIRED} of its kind lie nearer"
    handlers, weights = handlers[:MAX_PAIRED], weights[:MAX_PAIRED]
    pairs = _paired(handlers, weights)
    found: list[Found] = []
    for handler in handlers:
        own, reason = pairs.get(handler.file, (None, "no weights found"))
        if own is None and pairs:
            left_out[handler.file] = "another handler fits the weights better"
            continue
        found.append(_model(tree, handler, own, reason, modules))
    return found, left_out


def _read(tree: Tree, file: str) -> Module | None:
    """None for what does not compile."""
    text = tree.python(file)
    module = parsed(text, file)
    if module is None:
        return None
    classes = [node for node in module.body if isinstance(node, ast.ClassDef)]
    return Module(
        file=file,
        is_handler=_is_handler(module, classes) and _is_accepted(text, file),
        is_network=len(classes) == 1 and any(_base(base) == "Module" for base in classes[0].bases),
        imports=frozenset(_imports(module)),
        texts=frozenset(
            node.value for node in ast.walk(module) if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ),
    )


def _is_handler(module: ast.Module, classes: list[ast.ClassDef]) -> bool:
    functions = [node for node in module.body if isinstance(node, ast.FunctionDef) and node.name == "handle"]
    if any(len(function.args.args) == len(("data", "context")) for function in functions):
        return True
    speaks_of_torchserve = any(name.partition(".")[0] == "ts" for name in _imports(module))
    for one in classes:
        methods = {node.name for node in one.body if isinstance(node, ast.FunctionDef)}
        is_derived = any(_base(base).endswith("Handler") for base in one.bases)
        # Programs of other kinds derive from `logging.Handler` or `BaseHTTPRequestHandler`.
        if {"initialize", "handle"} <= methods or (is_derived and (speaks_of_torchserve or STEPS & methods)):
            return True
    return False


def _is_accepted(text: str, file: str) -> bool:
    try:
        find_entry_point(text.encode(errors="replace"), file)
    except ArchiveError:
        return False
    return True


def _base(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _imports(module: ast.Module) -> Iterator[str]:
    """Modules that lie flat beside the handler: only such are importable from an archive."""
    for node in ast.walk(module):
        match node:
            case ast.Import(names=aliases):
                yield from (alias.name for alias in aliases)
            case ast.ImportFrom(module=str() as name):
                yield name
            case _:
                pass


def _paired(handlers: list[Module], weights: list[str]) -> dict[str, tuple[str, str]]:
    """Weights and the reason by handler, best pairs first; each of the weights serves one handler."""
    if len(handlers) == 1 and len(weights) == 1:
        return {handlers[0].file: (weights[0], "the only weights, and the only handler")}
    scored = [
        (*_closeness(handler, file), -rank, handler.file, file)
        for handler in handlers
        for rank, file in enumerate(weights)
    ]
    pairs: dict[str, tuple[str, str]] = {}
    taken: set[str] = set()
    for _, reason, _, handler_file, file in sorted(scored, key=lambda one: (one[0], one[2]), reverse=True):
        if handler_file not in pairs and file not in taken:
            pairs[handler_file] = (file, f"{reason}; {len(weights)} weights and {len(handlers)} handlers lie here")
            taken.add(file)
    return pairs


def _closeness(handler: Module, file: str) -> tuple[int, str]:
    if base_name(file) in handler.texts:
        return 100, f"{handler.file} names it"
    common = _telling_words(handler.file) & _telling_words(file)
    if common:
        return 10 * len(common), f"{' '.join(sorted(common))} is in both names"
    if folder(handler.file) == folder(file):
        return 5, "in the same folder"
    return 0, "no better match"


def _telling_words(path: str) -> set[str]:
    words = re.findall(r"[a-z]+|\d+", path.rpartition(".")[0].lower())
    return set(words) - GENERAL_WORDS


def _model(tree: Tree, handler: Module, weights: str | None, why_weights: str, modules: list[Module]) -> Found:
    needed = _needed(tree, handler)
    network = _network(handler, weights, needed, modules)
    helpers = [module.file for module in needed if network is None or module.file != network.file]
    reasons = {
        "handler": "it defines a class or function that TorchServe takes as a handler",
        "serialized_file": why_weights,
        "model_file": "its one class derives from nn.Module",
        "extra_files": "the handler imports or names them",
    }
    settings = ModelSettings(
        handler=handler.file,
        serialized_file=weights,
        model_file=network.file if network else None,
        extra_files=(*helpers, *_data_files(tree, [handler, *needed], weights)),
    )
    return Found(name=model_name(tree, handler.file, weights), settings=settings, reasons=reasons)


def _needed(tree: Tree, handler: Module) -> list[Module]:
    """Modules of the project that the handler imports, and those that these import; of one name the nearest."""
    needed = {handler.file: handler}
    waiting = [handler]
    while waiting:
        for name in sorted(waiting.pop().imports):
            files = sorted(tree.named(f"{name}.py"), key=lambda file: folder(file) != folder(handler.file))
            if files and files[0] not in needed and (module := _read(tree, files[0])) is not None:
                needed[module.file] = module
                waiting.append(module)
    return list(needed.values())[1:]


def _network(handler: Module, weights: str | None, needed: list[Module], modules: list[Module]) -> Module | None:
    """The network that the handler imports; else one beside the weights or the handler, or the only one."""
    imported = [module for module in needed if module.is_network]
    networks = [module for module in modules if module.is_network and not module.is_handler]
    near = [
        module for module in networks if folder(module.file) in {folder(weights or handler.file), folder(handler.file)}
    ]
    for choice in (imported, near, networks):
        if len(choice) == 1:
            return choice[0]
    return imported[0] if imported else None


def _data_files(tree: Tree, sources: list[Module], weights: str | None) -> list[str]:
    """Data that the sources name, and the class names that TorchServe's vision handlers look for."""
    named = set().union(*(module.texts for module in sources)) | {"index_to_name.json"}
    homes = {"", *(folder(module.file) for module in sources), folder(weights or "")}
    found = {
        base_name(file): file
        for file in reversed(tree.with_suffix(*DATA))
        if folder(file) in homes and base_name(file) in named
    }
    return sorted(found.values())


def model_name(tree: Tree, handler: str, weights: str | None) -> str:
    """The first of handler, weights, their folders and the project whose name says something."""
    if handler in BUILT_IN_HANDLERS:
        handler = ""
    candidates = (stem(handler), stem(weights or ""), base_name(folder(handler)), base_name(folder(weights or "")))
    for candidate in (*candidates, tree.root.name):
        name = re.sub(r"^(handler|handle)_|_?(handler|service)$", "", candidate, flags=re.IGNORECASE)
        if _telling_words(f"{name}.x"):
            return valid_name(name)
    return valid_name(tree.root.name)


def valid_name(name: str) -> str:
    """The nearest name that TorchServe accepts."""
    valid = re.sub(r"[^A-Za-z0-9_\-.]+", "-", name[:MAX_NAME]).lstrip("-_.").rstrip("-.")
    return valid if MODEL_NAME.fullmatch(valid) else "model"


def unique_name(name: str, taken: Iterable[str]) -> str:
    """The name, or the name with a number where it is taken."""
    names = set(taken)
    if name not in names:
        return name
    return next(f"{name}-{number}" for number in range(2, len(names) + 3) if f"{name}-{number}" not in names)
