"""Documents that list what the code defines."""

from __future__ import annotations

import msgspec

from asteria_tui.config import ModelSettings, Settings
from asteria_tui.errors import ExitCode
from asteria_tui.targets.registry import TARGETS
from tests.conftest import ROOT


def test_every_setting_is_documented():
    text = (ROOT / "docs/configuration.md").read_text()
    tables = [field.type for field in msgspec.structs.fields(Settings) if field.name != "models"]
    missing = [
        field.name
        for table in (ModelSettings, *tables)
        for field in msgspec.structs.fields(table)
        if f"`{field.name}`" not in text
    ]
    assert missing == []


def test_every_target_is_documented():
    text = (ROOT / "docs/configuration.md").read_text()
    [row] = [line for line in text.splitlines() if line.startswith("| `target` |")]
    assert [name for name in TARGETS if f"`{name}`" not in row] == []


def test_every_exit_status_is_in_the_readme():
    text = (ROOT / "README.md").read_text()
    assert all(f"{code.value} " in text for code in ExitCode)
