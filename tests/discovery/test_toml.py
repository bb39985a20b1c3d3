"""The asteria.toml of a discovery."""

import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asteria_tui.config import (
    MODEL_NAME,
    VERSION,
    ModelSettings,
    ServerSettings,
    Settings,
    StoreSettings,
    load,
    settings_from,
)
from asteria_tui.discovery import Discovery, discover, to_toml, write
from asteria_tui.errors import ConfigError

HANDLER = "def handle(data, context): ..."


def test_written_file_is_read_back(make, tmp_path):
    make(tmp_path, {"handler/cat_handler.py": HANDLER, "cat.pt": b"x", "samples/a.json": "{}"})
    found = discover(tmp_path)
    path = write(tmp_path, found)
    assert path == tmp_path / "asteria.toml"
    assert load(tmp_path).settings == found.settings
    text = path.read_text()
    assert 'samples = "samples"  # saved payloads; the first one is what `up` sends' in text
    assert "[docker]" not in text
    assert sorted(file.name for file in tmp_path.iterdir()) == ["asteria.toml", "cat.pt", "handler", "samples"]


def test_an_existing_file_is_kept(make, tmp_path):
    make(tmp_path, {"cat_handler.py": HANDLER})
    found = discover(tmp_path)
    (tmp_path / "asteria.toml").write_text("mine")
    with pytest.raises(ConfigError) as raised:
        write(tmp_path, found)
    assert "remove it" in raised.value.hint
    assert (tmp_path / "asteria.toml").read_text() == "mine"


def test_a_folder_that_cannot_be_written(make, tmp_path):
    make(tmp_path, {"cat_handler.py": HANDLER})
    found = discover(tmp_path)
    with pytest.raises(ConfigError, match="cannot write"):
        write(tmp_path / "cat_handler.py", found)


texts = st.text(min_size=1, max_size=20)
optional = st.none() | texts
several = st.lists(texts, max_size=3).map(tuple)
counts = st.integers(1, 2**31 - 1)
MODELS = st.builds(
    ModelSettings,
    version=st.from_regex(VERSION, fullmatch=True),
    handler=texts,
    serialized_file=optional,
    model_file=optional,
    extra_files=several,
    requirements_file=optional,
    config_file=optional,
    runtime=st.sampled_from(["python", "python3", "LSP"]),
    archive=optional,
    samples=optional,
    workers=counts,
    batch_size=counts,
    max_batch_delay=counts,
    response_timeout=counts,
    startup_timeout=counts,
)
SETTINGS = st.builds(
    Settings,
    models=st.dictionaries(st.from_regex(MODEL_NAME, fullmatch=True), MODELS, min_size=1, max_size=3),
    stores=st.builds(StoreSettings, primary=texts, mirrors=several),
    server=st.builds(
        ServerSettings,
        target=st.sampled_from(["local", "docker"]),
        inference_port=st.integers(0, 7000),
        token_expiration_minutes=st.floats(0.1, 1e9),
        properties=st.dictionaries(texts, texts, max_size=3),
    ),
)


@settings(deadline=None)
@given(SETTINGS)
def test_any_settings_survive_the_file(found):
    again = settings_from(tomllib.loads(to_toml(Discovery(settings=found, guesses=()))))
    assert again == found


def test_values_that_only_torchserve_accepts_are_mended(make, tmp_path):
    call = "torch-model-archiver --model-name cat --version 1/2 --handler cat_handler.py"
    properties = 'models={"cat": {"1/2": {"minWorkers": 0, "maxWorkers": 0, "batchSize": 0}}}'
    make(tmp_path, {"cat_handler.py": HANDLER, "package.sh": call, "config.properties": properties})
    written = load(write(tmp_path, discover(tmp_path)).parent).settings.models["cat"]
    assert (written.version, written.workers, written.batch_size) == ("1-2", 1, 1)
