"""What lies in a folder, put together: models, stores and server, each value with the reason for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from asteria_tui.config import ModelSettings, ServerSettings, Settings, StoreSettings
from asteria_tui.discovery.archiver_calls import Call, find_calls
from asteria_tui.discovery.curl_calls import find_uploads
from asteria_tui.discovery.samples import find_samples, samples_of
from asteria_tui.discovery.server_files import ServerFacts, read_model_config, read_server_files
from asteria_tui.discovery.sources import find_models, model_name, unique_name, valid_name
from asteria_tui.discovery.tree import Tree, base_name, folder
from asteria_tui.errors import ConfigError
from asteria_tui.wording import escaped

MAX_LEFT_OUT = 20
MAX_SHOWN = 1000
"""Characters of a value."""
STORE_NAMES = {"model_store", "model-store", "modelstore"}
CONFIG_NAMES = {f"model{dash}config.{suffix}" for dash in "-_" for suffix in ("yaml", "yml")}


class Guess(msgspec.Struct, frozen=True, kw_only=True):
    """One value and where it comes from."""

    what: str
    """`models.resnet.handler`, or `left out` for what could have been a value."""
    value: str
    why: str
    """`torch-model-archiver call in scripts/package.sh:12`."""


class Discovery(msgspec.Struct, frozen=True, kw_only=True):
    """What was found."""

    settings: Settings
    guesses: tuple[Guess, ...]


class _Draft(msgspec.Struct, kw_only=True):
    """The settings as they grow."""

    models: dict[str, ModelSettings] = {}
    why: dict[str, str] = {}
    """The reason by dotted key of asteria.toml."""
    left_out: dict[str, str] = {}

    def add(self, name: str, settings: ModelSettings, why: dict[str, str] | str) -> None:
        self.models[name] = settings
        for field in msgspec.structs.fields(settings):
            is_plain = getattr(settings, field.name) == field.default
            reason = why.get(field.name) if isinstance(why, dict) else None if is_plain else why
            if reason:
                self.why[f"models.{name}.{field.name}"] = reason

    def change(self, name: str, values: dict[str, Any], why: str) -> None:
        self.add(name, msgspec.structs.replace(self.models[name], **values), dict.fromkeys(values, why))


def discover(root: Path) -> Discovery:
    """Models, stores and server of the folder.

    Archiver calls are believed first; without any, handlers and weights are paired; without these, ready archives
    are taken.

    Raises:
        ConfigError: there is no such folder, or nothing in it that could be served.
    """
    if not root.is_dir():
        raise ConfigError(f"no folder {root}", hint="-C DIR names the folder of the project")
    tree = Tree(root.resolve())
    facts = read_server_files(tree)
    calls = find_calls(tree)
    draft = _Draft()
    if calls:
        _take_calls(tree, calls, draft)
    else:
        _take_sources(tree, facts, draft)
    if not draft.models:
        _take_archives(tree, draft)
    draft.left_out |= {file: reason for file, reason in tree.left_out.items() if file not in draft.left_out}
    if not draft.models:
        raise _nothing_found(tree, draft)
    _add_worker_values(tree, facts, draft)
    _add_samples(tree, draft)
    _add_content_types(tree, draft)
    stores = _stores(tree, calls, facts, draft)
    server = ServerSettings(**facts.values, properties=facts.properties)
    models = {name: _servable(model) for name, model in draft.models.items()}
    settings = Settings(models=models, stores=stores, server=server)
    return Discovery(settings=settings, guesses=tuple(_guesses(settings, facts.why | draft.why, draft.left_out)))


def _servable(model: ModelSettings) -> ModelSettings:
    """With values that asteria.toml accepts: a config.properties may say `minWorkers: 0`."""
    return msgspec.structs.replace(
        model,
        workers=max(1, model.workers),
        batch_size=max(1, model.batch_size),
        max_batch_delay=max(0, model.max_batch_delay),
        response_timeout=max(1, model.response_timeout),
        startup_timeout=max(1, model.startup_timeout),
    )


def _take_calls(tree: Tree, calls: list[Call], draft: _Draft) -> None:
    for call in calls:
        settings = call.settings
        name = (
            valid_name(call.name) if call.name else model_name(tree, settings.handler or "", settings.serialized_file)
        )
        name = unique_name(name, draft.models)
        reason = f"torch-model-archiver call in {call.where}"
        draft.add(name, settings, reason)
        for key in ("serialized_file", "model_file", "requirements_file", "config_file", "extra_files"):
            values = getattr(settings, key) or ()
            if set(call.missing) & set((values,) if isinstance(values, str) else values):
                draft.why[f"models.{name}.{key}"] = f"{reason}; not there yet"


def _take_sources(tree: Tree, facts: ServerFacts, draft: _Draft) -> None:
    found, draft.left_out = find_models(tree)
    for model in found:
        name = unique_name(model.name, draft.models)
        draft.add(name, model.settings, model.reasons)
        homes = dict.fromkeys(folder(file) for file in _files_of(model.settings))
        config = _nearest(tree, CONFIG_NAMES, homes)
        if config is not None:
            draft.change(name, {"config_file": config}, "it lies there")
        requirements = _nearest(tree, {"requirements.txt"}, homes)
        if requirements is not None and facts.properties.get("install_py_dep_per_model") == "true":
            draft.change(name, {"requirements_file": requirements}, "config.properties has install_py_dep_per_model")


def _take_archives(tree: Tree, draft: _Draft) -> None:
    """Equal names in several stores are one archive."""
    for file in tree.with_suffix(".mar"):
        name = valid_name(base_name(file).rpartition(".")[0])
        if name not in draft.models:
            draft.add(name, ModelSettings(archive=file), "a ready archive, and no handler to package")


def _nothing_found(tree: Tree, draft: _Draft) -> ConfigError:
    seen = f"looked at {len(tree.files)} files"
    left_out = "".join(f"; {file}: {reason}" for file, reason in draft.left_out.items())
    return ConfigError(
        f"nothing in {tree.root} that TorchServe could serve",
        detail=f"{seen}{left_out}",
        hint="it takes a handler (a .py file with one class that has initialize and handle, or a function"
        " handle(data, context)), a script that calls torch-model-archiver, or a ready .mar file",
    )


def _nearest(tree: Tree, names: set[str], homes: dict[str, None]) -> str | None:
    """A file of one of the names in one of the homes, else in the root."""
    found = {folder(file): file for file in reversed(tree.files) if base_name(file) in names}
    return next((found[home] for home in (*homes, "") if home in found), None)


def _files_of(settings: ModelSettings) -> list[str]:
    files = (settings.handler, settings.serialized_file, settings.model_file, settings.archive)
    return [file for file in files if file]


def _add_worker_values(tree: Tree, facts: ServerFacts, draft: _Draft) -> None:
    """What config.properties says beats what the packaged model-config.yaml says, as in TorchServe."""
    for name, settings in draft.models.items():
        if settings.config_file and (values := read_model_config(tree.text(settings.config_file))):
            draft.change(name, values, settings.config_file)
        if values := facts.models.get(name, {}):
            draft.change(name, values, facts.why[f"models.{name}.{next(iter(values))}"])


def _add_samples(tree: Tree, draft: _Draft) -> None:
    samples = find_samples(tree)
    is_only_model = len(draft.models) == 1
    for name, settings in draft.models.items():
        home = samples_of(name, _files_of(settings), samples, is_only_model=is_only_model)
        if home is not None:
            draft.change(name, {"samples": home}, samples[home])


def _add_content_types(tree: Tree, draft: _Draft) -> None:
    for name, file in find_uploads(tree).items():
        if name in draft.models:
            draft.change(name, {"content_type": ""}, f"curl -T in {file} sends no content type")


def _stores(tree: Tree, calls: list[Call], facts: ServerFacts, draft: _Draft) -> StoreSettings:
    """Where the scripts put archives, then where the server looks, then folders by name; the first is primary."""
    found = {call.export_path: f"--export-path in {call.where}" for call in reversed(calls) if call.export_path}
    found |= {store: why for store, why in facts.stores.items() if store not in found}
    for directory in tree.directories:
        if base_name(directory).lower() in STORE_NAMES:
            found.setdefault(directory, "a folder of that name is there")
    if not found:
        return StoreSettings()
    primary, *mirrors = found
    draft.why["stores.primary"] = found[primary]
    draft.why["stores.mirrors"] = "; ".join(dict.fromkeys(found[mirror] for mirror in mirrors))
    return StoreSettings(primary=primary, mirrors=tuple(mirrors))


def _guesses(settings: Settings, why: dict[str, str], left_out: dict[str, str]) -> Iterator[Guess]:
    """Every value that has a reason, in the order of asteria.toml."""
    tables: dict[str, msgspec.Struct] = {f"models.{name}": model for name, model in settings.models.items()}
    tables |= {"stores": settings.stores, "server": settings.server}
    for table, struct in tables.items():
        for field in msgspec.structs.fields(struct):
            value = getattr(struct, field.name)
            reason = why.get(f"{table}.{field.name}")
            if isinstance(value, dict):
                for key, one in value.items():
                    reason = why[f"{table}.{field.name}.{key}"]
                    yield Guess(what=f"{table}.{field.name}.{key}", value=escaped(one), why=reason)
            elif reason and value not in (None, ()):
                text = ", ".join(value) if isinstance(value, tuple) else f"{value}"
                yield Guess(
                    what=f"{table}.{field.name}", value=escaped(text, MAX_SHOWN), why=escaped(reason, MAX_SHOWN)
                )
    for file, reason in list(left_out.items())[:MAX_LEFT_OUT]:
        yield Guess(what="left out", value=file, why=reason)
    if len(left_out) > MAX_LEFT_OUT:
        yield Guess(what="left out", value=f"{len(left_out) - MAX_LEFT_OUT:,} more", why="of the same kinds")
