"""The registry of targets, and the places outside of it that must agree with it."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from asteria_tui.config import Project, TargetName, settings_from
from asteria_tui.targets.registry import TARGETS, open_target
from asteria_tui.targets.target import HasStore


def project_in(folder: Path, target: str = "local") -> Project:
    return Project(root=folder, settings=settings_from({"server": {"target": target}}))


def test_every_name_that_settings_and_flags_take_has_a_row():
    assert list(TARGETS) == list(get_args(TargetName))


def test_the_screen_can_choose_each_by_its_first_letter():
    assert len({name[0] for name in TARGETS}) == len(TARGETS)


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_is_opened_by_its_name_or_by_the_settings(tmp_path, name):
    by_settings = open_target(project_in(tmp_path, name))
    by_name = open_target(project_in(tmp_path), TARGETS[name].name)
    assert type(by_settings) is type(by_name)
    assert by_settings.project.root == tmp_path


def test_only_a_container_has_a_store_of_its_own(tmp_path):
    assert isinstance(open_target(project_in(tmp_path, "docker")), HasStore)
    assert not isinstance(open_target(project_in(tmp_path, "local")), HasStore)
