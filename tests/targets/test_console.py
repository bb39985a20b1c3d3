"""Waiting for a start: what ends it."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from asteria_tui.errors import TargetError
from asteria_tui.targets import console
from asteria_tui.targets.console import until_started

BIND = "java.io.IOException: Failed to bind to address: http://127.0.0.1:8080\n\tat org.pytorch.serve.ModelServer"


async def test_a_fatal_line_ends_it_though_java_lives_on(tmp_path, monkeypatch):
    """It took two minutes."""
    monkeypatch.setattr(console, "HOPELESS_TIMEOUT", 0.05)
    (tmp_path / "console.log").write_text(f"Torchserve version: 0.12.0\n{BIND}\n")
    with pytest.raises(TargetError, match="failed while it started, and does not end") as caught:
        await until_started(tmp_path / "console.log", lambda: "", lambda event: None)
    assert caught.value.detail == BIND.partition("\n")[0]


async def test_its_own_end_says_more(tmp_path):
    (tmp_path / "console.log").write_text(f"{BIND}\n")
    with pytest.raises(TargetError, match="ended while it started"):
        await until_started(tmp_path / "console.log", lambda: "exit status 1", lambda event: None)


async def test_a_console_names_the_file_of_its_own_run(tmp_path):
    run = tmp_path / "history/run"
    run.mkdir(parents=True)
    (tmp_path / "logs").symlink_to(run)
    with pytest.raises(TargetError) as caught:
        await until_started(tmp_path / "logs/console.log", lambda: "exit status 1", lambda event: None)
    assert str(run / "console.log") in caught.value.hint


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("mounting is not allowed here")
    try:
        with contextlib.suppress(OSError), (tmp_path / "console.log").open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        yield tmp_path
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


async def test_a_full_disk_ends_it(full_disk: Path):
    """Nothing can be written to the console then, so it says nothing."""
    with pytest.raises(TargetError, match="is full") as caught:
        await until_started(full_disk / "console.log", lambda: "", lambda event: None)
    assert str(full_disk) in caught.value.title
