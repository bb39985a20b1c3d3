"""What no command may load. Who may import whom is checked by `make check` (import contracts in pyproject.toml)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import COMMAND, ROOT, Folder

HEAVY = {"textual", "torch", "docker", "httpx", "ts"}


def test_the_import_contracts_hold():
    from importlinter.cli import lint_imports

    assert lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True) == 0


def loaded_by(folder: Folder, *arguments: str) -> set[str]:
    """The modules that a command had imported when it ended."""
    ended = subprocess.run(
        [sys.executable, "-X", "importtime", *COMMAND[1:], *arguments],
        cwd=folder.path,
        env=folder.env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return {line.rpartition("|")[2].strip() for line in ended.stderr.splitlines() if line.startswith("import time:")}


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("up", "--help"), ("status",)])
def test_no_heavy_import_where_nothing_heavy_is_done(tmp_path: Path, arguments: tuple[str, ...]):
    folder = Folder(tmp_path)
    folder.write("asteria.toml", '[models.m]\nhandler = "handler.py"\n')
    assert not HEAVY & loaded_by(folder, *arguments)


@pytest.mark.parametrize("module", ["asteria_tui.session", "asteria_tui.cli.main"])
def test_the_core_loads_no_terminal_and_nothing_loads_torch(tmp_path: Path, module: str):
    code = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], env=Folder(tmp_path).env, capture_output=True, text=True, check=True
    ).stdout.split()
    assert not HEAVY & set(loaded)
    if module == "asteria_tui.session":
        assert not {"rich", "click"} & set(loaded)


def test_nothing_in_the_tool_knows_the_bundled_model():
    words = ("anomaly", "embedding", "384")
    found = [
        f"{file.relative_to(ROOT)}: {word}"
        for file in (ROOT / "asteria_tui").rglob("*.py")
        for word in words
        if word in file.read_text().lower()
    ]
    assert found == []
