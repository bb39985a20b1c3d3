"""What config.properties, model-config.yaml and compose files say about the server and the models' workers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from asteria_tui.bounds import KIB, parse_json
from asteria_tui.config import ServerSettings
from asteria_tui.discovery.tree import Tree, base_name, folder

# config.properties key -> [server] key.
ADDRESSES = {
    "inference_address": "inference_port",
    "management_address": "management_port",
    "metrics_address": "metrics_port",
}
GRPC_PORTS = {
    "grpc_inference_port": "grpc_inference_port",
    "grpc_management_port": "grpc_management_port",
}
# Lines worth keeping: what a user tunes. Never addresses, tokens or snapshots, which are ours to set.
KEPT_PROPERTIES = {
    "default_response_timeout",
    "default_startup_timeout",
    "install_py_dep_per_model",
    "job_queue_size",
    "limit_max_image_pixels",
    "max_request_size",
    "max_response_size",
    "netty_client_threads",
    "number_of_gpu",
    "number_of_netty_threads",
    "prefer_direct_buffer",
}
# The same names in the `models` property and in model-config.yaml (docs/torchserve.md section 3).
WORKER_KEYS = {
    "minWorkers": "workers",
    "batchSize": "batch_size",
    "maxBatchDelay": "max_batch_delay",
    "responseTimeout": "response_timeout",
    "startupTimeout": "startup_timeout",
}
CONTAINER_PORTS = {
    "8080": "inference_port",
    "8081": "management_port",
    "8082": "metrics_port",
    "7070": "grpc_inference_port",
    "7071": "grpc_management_port",
}
HIGHEST_PORT = 65535
MAX_PROPERTY = 1000
MAX_YAML = 64 * KIB
"""Of a file; pyyaml reads some 50 kB a second."""
MAX_SERVICES = 100
"""Of a compose file, and ports and mounts of each: a YAML file can name one long list many times."""
HIGHEST_COUNT = 2**31 - 1
HIGHEST_MINUTES = 1e9

_COMPOSE = re.compile(r"(?:docker-)?compose[\w.-]*\.ya?ml$")
_HOST = r"(?:[\d.]+:|localhost:)?"
_PORT = re.compile(rf"{_HOST}(?:\$\{{\w+:?-)?(\d{{1,5}})\}}?:(\d{{1,5}})(?:/tcp)?")
_MOUNT = re.compile(r"([^:$]+):[^:]*/model[-_]?store/?(?::[\w,]+)?")


class ServerFacts(msgspec.Struct, kw_only=True):
    """What the files say so far; the first one that speaks of a thing is believed."""

    values: dict[str, Any] = {}
    """By key of `[server]`."""
    properties: dict[str, str] = {}
    stores: dict[str, str] = {}
    """Where it was read, by directory."""
    models: dict[str, dict[str, int]] = {}
    """By name: keys of `[models.NAME]`."""
    why: dict[str, str] = {}
    """Where it was read, by dotted key of asteria.toml."""

    def say(self, key: str, value: Any, why: str) -> None:
        if key not in self.values:
            self.values[key] = value
            self.why[f"server.{key}"] = why


def read_server_files(tree: Tree) -> ServerFacts:
    """Compose files first: the port on the host is the one that people know."""
    facts = ServerFacts()
    properties = [file for file in tree.files if base_name(file) == "config.properties"]
    said = parse_properties(tree.text(properties[0])) if properties else {}
    for file in tree.files:
        if _COMPOSE.fullmatch(base_name(file)):
            _read_compose(tree, file, said, facts)
    if properties:
        _read_properties(tree, properties[0], said, facts)
    _part_ports(facts)
    return facts


def _part_ports(facts: ServerFacts) -> None:
    """TorchServe may have two addresses on one port, asteria.toml may not: what is named later takes a free one."""
    fields = [field for field in msgspec.structs.fields(ServerSettings) if field.name.endswith("_port")]
    ports = facts.values | {field.name: field.default for field in fields if field.name not in facts.values}
    taken: dict[int, str] = {}
    for key, port in ports.items():
        if key.endswith("_port") and taken.setdefault(port, key) != key:
            facts.values[key] = 0
            facts.why[f"server.{key}"] = f"{taken[port]} has {port}"


def parse_properties(text: str) -> dict[str, str]:
    """As java.util.Properties reads them, apart from escapes of single characters; the last one counts."""
    joined = re.sub(r"\\\r?\n\s*", "", text)
    pairs = (re.split(r"[=:]", line, maxsplit=1) for line in joined.splitlines())
    return {
        pair[0].strip(): pair[1].strip()
        for pair in pairs
        if len(pair) > 1 and not pair[0].lstrip().startswith(("#", "!"))
    }


def _read_properties(tree: Tree, file: str, said: dict[str, str], facts: ServerFacts) -> None:
    for name, key in (ADDRESSES | GRPC_PORTS).items():
        if (port := _port(said.get(name, ""))) is not None:
            facts.say(key, port, f"{name} in {file}")
    if (
        re.fullmatch(r"\d+(\.\d+)?", minutes := said.get("token_expiration_min", ""))
        and 0 < float(minutes) <= HIGHEST_MINUTES
    ):
        facts.say("token_expiration_minutes", float(minutes), f"token_expiration_min in {file}")
    for name in sorted(KEPT_PROPERTIES & said.keys()):
        if len(said[name]) <= MAX_PROPERTY:
            facts.properties[name] = said[name]
            facts.why[f"server.properties.{name}"] = file
    store = tree.locate(said.get("model_store", ""), (folder(file), "")) if said.get("model_store") else None
    if store is not None:
        facts.stores.setdefault(store, f"model_store in {file}")
    for name, values in _loaded_models(said.get("models", "")).items():
        facts.models[name] = values
        facts.why |= {f"models.{name}.{key}": f"models in {file}" for key in values}


def _port(address: str) -> int | None:
    port = re.search(r"(?:^|:)(\d{1,5})/?$", address.strip())
    return int(port[1]) if port and 0 < int(port[1]) <= HIGHEST_PORT else None


def _loaded_models(text: str) -> dict[str, dict[str, int]]:
    """`{"name": {"1.0": {"minWorkers": 1, …}}}`; of several versions the default one, else the last."""
    try:
        models = parse_json(text.encode())
    except ValueError:
        return {}
    found: dict[str, dict[str, int]] = {}
    for name, versions in models.items() if isinstance(models, dict) else ():
        entries = (
            [entry for entry in versions.values() if isinstance(entry, dict)] if isinstance(versions, dict) else []
        )
        entries.sort(key=lambda entry: entry.get("defaultVersion") is True)
        if entries:
            found[name] = worker_values(entries[-1])
    return found


def worker_values(given: dict[str, Any]) -> dict[str, int]:
    """Keys of `[models.NAME]` from TorchServe's own names; what is no positive whole number is left out."""
    return {
        key: given[name]
        for name, key in WORKER_KEYS.items()
        if type(given.get(name)) is int and 0 < given[name] <= HIGHEST_COUNT
    }


def read_model_config(text: str) -> dict[str, int]:
    """The numbers at the top of a model-config.yaml."""
    found = {name: value for name, value in _mapping(text).items() if isinstance(value, str)}
    return worker_values({name: int(value) for name, value in found.items() if re.fullmatch(r"[0-9]{1,9}", value)})


def _mapping(text: str) -> dict[str, Any]:
    """A YAML file, its values as they are written: YAML takes `8080:22` for a number. Empty if it is no mapping."""
    import yaml

    if len(text) > MAX_YAML:
        return {}
    try:
        found = yaml.load(text, yaml.BaseLoader)  # noqa: S506 which makes nothing but texts, lists and mappings
    except (yaml.YAMLError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _read_compose(tree: Tree, file: str, said: dict[str, str], facts: ServerFacts) -> None:
    """Published ports and the mounted store; compose files that do not speak of TorchServe are passed by."""
    text = tree.text(file)
    if "torchserve" not in text.lower():
        return
    roles = dict(CONTAINER_PORTS)
    for name, key in (ADDRESSES | GRPC_PORTS).items():
        if (port := _port(said.get(name, ""))) is not None:
            roles[str(port)] = key
    for service in _services(text):
        for host, inside in _pairs(service.get("ports"), "published", _PORT):
            if inside in roles and 0 < int(host) <= HIGHEST_PORT:
                facts.say(roles[inside], int(host), f"port {host} of {file}")
        for (directory,) in _pairs(service.get("volumes"), "source", _MOUNT):
            store = tree.locate(directory, (folder(file),))
            if store not in {None, "."}:
                facts.stores.setdefault(str(store), f"mounted by {file}")


def _services(text: str) -> list[dict[str, Any]]:
    document = _mapping(text)
    services = document.get("services", document)  # the first format had no name for them
    found = list(services.values())[:MAX_SERVICES] if isinstance(services, dict) else []
    return [service for service in found if isinstance(service, dict)]


def _pairs(entries: object, outside: str, pattern: re.Pattern[str]) -> Iterator[tuple[str, ...]]:
    """What the pattern finds in `outside:inside`, which an entry is, in the short syntax or in the long one."""
    for entry in entries[:MAX_SERVICES] if isinstance(entries, list) else ():
        parts = [entry.get(outside), entry.get("target")] if isinstance(entry, dict) else [entry]
        # Never the text of a list: one that holds another ten times, and so on, has no end.
        texts = [part for part in parts if isinstance(part, str)]
        if len(texts) == len(parts) and (found := pattern.fullmatch(":".join(texts))):
            yield found.groups()
