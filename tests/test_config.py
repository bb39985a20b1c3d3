"""Settings: order of sources, strictness."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asteria_tui.config import Settings, load, settings_from
from asteria_tui.errors import ConfigError


def test_flag_beats_environment_beats_file_beats_default(tmp_path, monkeypatch):
    (tmp_path / "asteria.toml").write_text("[server]\ninference_port = 1111\nmetrics_port = 2222\n")
    monkeypatch.setenv("ASTERIA_SERVER_METRICS_PORT", "3333")
    monkeypatch.setenv("ASTERIA_SERVER_TARGET", "docker")
    server = load(tmp_path, {"server.target": "local"}).settings.server
    assert (server.inference_port, server.metrics_port, server.management_port) == (1111, 3333, 8081)
    assert server.target == "local"
    assert load(tmp_path).settings.server.target == "docker"


def test_defaults_need_no_file_content():
    assert settings_from({}) == Settings()


@given(st.text(st.characters(categories=["L"]), min_size=1).filter(lambda key: key not in dir(Settings())))
def test_any_unknown_key_is_named(key):
    with pytest.raises(ConfigError, match="unknown key"):
        settings_from({key: 1})


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=8,
    )
)
def test_any_content_is_settings_or_a_config_error(value):
    for table in ("models", "stores", "server", "docker"):
        try:
            settings_from({table: value})
        except ConfigError as error:
            assert error.title
