"""The user's settings are read strictly and never written; what the screen remembers comes back."""

from __future__ import annotations

import pytest

from asteria_tui.errors import ConfigError
from asteria_tui.tui.preferences import Remembered, load_remembered, load_settings, save_remembered


def test_no_file_is_no_settings(tmp_path):
    assert load_settings(tmp_path / "settings.toml").keys == {}


def test_settings_are_read_and_left_alone(tmp_path):
    file = tmp_path / "settings.toml"
    file.write_text('theme = "nord"  # mine\n[keys]\nup = "U,f5"\n')
    settings = load_settings(file)
    assert (settings.theme, settings.keys) == ("nord", {"up": "U,f5"})
    assert "# mine" in file.read_text()


@pytest.mark.parametrize(
    ("text", "said"), [("theem = 1", "theem"), ("[keys]\nupp = 'U'", "upp"), ("theme = ", "settings.toml")]
)
def test_a_mistake_is_named(tmp_path, text, said):
    file = tmp_path / "settings.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_settings(file)
    assert said in caught.value.title + caught.value.detail


def test_an_unknown_action_gets_the_nearest_spelling(tmp_path):
    file = tmp_path / "settings.toml"
    file.write_text("[keys]\nrestrat = 'X'")
    with pytest.raises(ConfigError) as caught:
        load_settings(file)
    assert "'restart'" in caught.value.hint


def test_what_is_remembered_comes_back(project):
    project.state_dir.mkdir()
    save_remembered(project, Remembered(theme="nord", wrap=True, sample=("sample", "second")))
    found = load_remembered(project)
    assert (found.theme, found.wrap, found.sample) == ("nord", True, ("sample", "second"))


def test_a_project_that_was_only_looked_at_stays_as_it_was(project):
    save_remembered(project, Remembered())
    assert not project.state_dir.exists()


def test_a_broken_memory_is_no_memory(project):
    project.state_dir.mkdir()
    (project.state_dir / "screen.json").write_text("{")
    assert load_remembered(project).theme == ""
