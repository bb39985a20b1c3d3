"""Folders of saved payloads. `up` sends the first file of one, so that file decides whether a folder is one."""

from __future__ import annotations

from fnmatch import fnmatch

from asteria_tui.discovery.tree import Tree, base_name, folder, stem

FOLDER_NAMES = (
    "samples",
    "sample",
    "payloads",
    "sample_data",
    "sample_inputs",
    "test_data",
    "testdata",
    "examples",
)
PAYLOADS = (".json", ".txt", ".csv", ".jpg", ".jpeg", ".png", ".wav", ".npy")
LOOSE = ("sample*.json", "input*.json", "request*.json", "payload*.json")
NO_PAYLOADS = (".md", ".py")


def find_samples(tree: Tree) -> dict[str, str]:
    """The reason by folder, the most telling names first."""
    first: dict[str, str] = {}
    for file in sorted(tree.files):
        if not base_name(file).startswith(".") and not file.endswith(NO_PAYLOADS):
            first.setdefault(folder(file), base_name(file))
    named = [
        home
        for name in FOLDER_NAMES
        for home in first
        if name in home.lower().split("/") and first[home].lower().endswith(PAYLOADS)
    ]
    loose = [home for home, name in first.items() if any(fnmatch(name, pattern) for pattern in LOOSE)]
    found = {home: f"holds payloads such as {first[home]}" for home in named}
    for home in loose:
        found.setdefault(home or ".", f"{first[home]} is its first file")
    return found


def samples_of(name: str, sources: list[str], samples: dict[str, str], *, is_only_model: bool) -> str | None:
    """The folder of samples for one model: of the only model the first; of several one that is clearly its own."""
    if is_only_model:
        return next(iter(samples), None)
    homes = {folder(source) for source in sources if folder(source)}
    for home in samples:
        parts = home.split("/")
        if name in parts or stem(name) in parts or any(home == one or home.startswith(f"{one}/") for one in homes):
            return home
    return None
