"""Marks each test with what it needs, by the fixtures that it uses and the folder that it lies in.

`make check` runs in an environment without torch, and leaves the marked ones out. tests/conftest.py imports the hooks.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

MARK_OF_FIXTURE = {
    "shared": "torchserve",
    "docker_engine": "docker",
    "torch": "torch",
    "torchserve_package": "torch",
}
SLOW = ("faults", "cli/test_edge.py", "tui/test_terminal.py", "tui/test_borders.py")
"""Processes and terminals by the dozen, every border at every size: what a change elsewhere seldom breaks."""
TORCH_FOLDERS = [Path(__file__).parent / name for name in ("handler", "model")]


@pytest.hookimpl(tryfirst=True)  # before pytest deselects by mark
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for name in getattr(item, "fixturenames", ()):
            if name in MARK_OF_FIXTURE:
                item.add_marker(MARK_OF_FIXTURE[name])
        if any(item.path.is_relative_to(folder) for folder in TORCH_FOLDERS):
            item.add_marker("torch")
        if item.path.relative_to(Path(__file__).parent).as_posix().startswith(SLOW):
            item.add_marker("slow")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Their files import torch at the top: where `-m` leaves their tests out, they are not imported either."""
    if collection_path in TORCH_FOLDERS and re.search(r"\bnot torch\b", config.getoption("markexpr")):
        return True
    return None
