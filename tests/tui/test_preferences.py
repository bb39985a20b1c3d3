"""The user's settings are read strictly and never written; what the screen remembers comes back."""

from __future__ import annotations

import pytest

from asteria_tui.errors import ConfigError
from asteria_tui.tui.preferences import UiState, load_settings, load_ui_state, save_ui_state


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


@pytest.mark.parametrize(
    ("keys", "said"),
    [('up = "s"', "'stop'"), ('up = "x"\nstop = "x"', "'stop'"), ('up = ""', "empty"), ('filter = "?"', "'help'")],
)
def test_a_key_stands_for_one_action(tmp_path, keys, said):
    file = tmp_path / "settings.toml"
    file.write_text(f"[keys]\n{keys}\n")
    with pytest.raises(ConfigError) as caught:
        load_settings(file)
    assert said in caught.value.title


def test_keys_may_change_places_and_be_written_as_they_are_shown(tmp_path):
    file = tmp_path / "settings.toml"
    file.write_text('[keys]\nup = "s"\nstop = "u, F1"\nhelp = "/"\nfilter = "?"\n')
    assert load_settings(file).keys == {"up": "s", "stop": "u,f1", "help": "slash", "filter": "question_mark"}


def test_what_is_remembered_comes_back(project):
    project.state_dir.mkdir()
    save_ui_state(project, UiState(theme="nord", wrap=True, sample=("sample", "second")))
    found = load_ui_state(project)
    assert (found.theme, found.wrap, found.sample) == ("nord", True, ("sample", "second"))


def test_a_project_that_was_only_looked_at_stays_as_it_was(project):
    save_ui_state(project, UiState())
    assert not project.state_dir.exists()


def test_a_broken_memory_is_no_memory(project):
    project.state_dir.mkdir()
    (project.state_dir / "screen.json").write_text("{")
    assert load_ui_state(project).theme == ""
