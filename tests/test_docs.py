"""Documents that list what the code defines."""

from __future__ import annotations

import msgspec

from asteria_tui.config import DockerSettings, ModelSettings, ServerSettings, StoreSettings
from asteria_tui.errors import ExitCode
from tests.conftest import ROOT


def test_every_setting_is_documented():
    text = (ROOT / "docs/configuration.md").read_text()
    missing = [
        field.name
        for table in (ModelSettings, StoreSettings, ServerSettings, DockerSettings)
        for field in msgspec.structs.fields(table)
        if f"`{field.name}`" not in text
    ]
    assert missing == []


def test_every_exit_status_is_in_the_readme():
    text = (ROOT / "README.md").read_text()
    assert all(f"{code.value} " in text for code in ExitCode)
