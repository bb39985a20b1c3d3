"""What makes `up` start a running server anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from asteria_tui.config import Project, settings_from
from asteria_tui.targets.registry import open_target


def fingerprint(folder: Path, target: str, **tables: dict[str, Any]) -> str:
    settings = settings_from({"server": {"target": target} | tables.pop("server", {})} | tables)
    return open_target(Project(root=folder, settings=settings)).fingerprint()


@pytest.mark.parametrize("target", ["local", "docker"])
@pytest.mark.parametrize("change", [{"server": {"metrics_port": 1}}, {"stores": {"primary": "elsewhere"}}])
def test_ports_and_store_need_a_restart_wherever_it_runs(tmp_path, target, change):
    assert fingerprint(tmp_path, target, **change) != fingerprint(tmp_path, target)


def test_only_a_container_needs_one_for_the_settings_of_the_container(tmp_path):
    changed = {"docker": {"memory": "3g"}}
    assert fingerprint(tmp_path, "docker", **changed) != fingerprint(tmp_path, "docker")
    assert fingerprint(tmp_path, "local", **changed) == fingerprint(tmp_path, "local")


def test_how_an_image_is_built_says_nothing_of_a_container_that_runs_it(tmp_path):
    built = {"docker": {"base": "debian", "wheelhouse": "wheels", "torch_index": "https://127.0.0.1"}}
    assert fingerprint(tmp_path, "docker", **built) == fingerprint(tmp_path, "docker")


def test_what_is_in_the_image_needs_a_restart(tmp_path):
    before = fingerprint(tmp_path, "docker")
    (tmp_path / "constraints.txt").write_text("numpy<3\n")
    assert fingerprint(tmp_path, "docker") != before
