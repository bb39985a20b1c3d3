"""Logs of servers that we did not start: the stock files, by the pattern parser, without a project."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import Folder

SAMPLES = Path(__file__).parents[1] / "logs/samples"


def test_causes_of_a_stock_log(tmp_path: Path):
    log = SAMPLES / "inference_console.txt"
    causes = [
        json.loads(line) for line in Folder(tmp_path).run("logs", str(log), "--tracebacks", "--json").out.splitlines()
    ]
    assert causes
    assert all(cause["phase"] == "inference" and cause["count"] >= 1 for cause in causes)


def test_lines_of_a_stock_log(tmp_path: Path):
    log = SAMPLES / "access_log.log"
    shown = Folder(tmp_path).run("logs", str(log), "-n", "2").out.splitlines()
    assert len(shown) == 2
    assert all("access" in line for line in shown)


@pytest.mark.parametrize("name", ["nowhere.log", "."])
def test_a_missing_log_is_said(tmp_path: Path, name: str):
    assert "no log at" in Folder(tmp_path).run("logs", name, code=2).err
