"""Handlers, weights and networks without a script that says what belongs together."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asteria_tui.config import MODEL_NAME, ModelSettings, StoreSettings
from asteria_tui.discovery import discover
from asteria_tui.discovery.sources import unique_name, valid_name
from asteria_tui.errors import ConfigError, ExitCode

HANDLER = """
from ts.torch_handler.base_handler import BaseHandler

class MyHandler(BaseHandler):
    def preprocess(self, data):
        return data
"""
NETWORK = """
from torch import nn

class Net(nn.Module):
    pass
"""


def test_handler_weights_and_network_without_a_script(make, why, tmp_path):
    make(
        tmp_path,
        {
            "serving/sentiment_handler.py": HANDLER.replace(
                "class", "import tokens\nfrom net import Net\nLABELS = 'labels.json'\nclass"
            ),
            "serving/tokens.py": "import deeper",
            "serving/deeper.py": "",
            "serving/net.py": NETWORK,
            "serving/labels.json": "{}",
            "serving/index_to_name.json": "{}",
            "serving/unrelated.json": "{}",
            "serving/model-config.yaml": "minWorkers: 3\n",
            "weights/model.pt": b"x",
            "tests/test_handler.py": HANDLER,
            "web.py": "class Web(BaseHTTPRequestHandler):\n    def do_GET(self): ...\n",
            "venv/lib/other_handler.py": HANDLER,
            ".cache/hidden_handler.py": HANDLER,
            "requirements.txt": "torch",
        },
    )
    found = discover(tmp_path)
    assert found.settings.models == {
        "sentiment": ModelSettings(
            handler="serving/sentiment_handler.py",
            serialized_file="weights/model.pt",
            model_file="serving/net.py",
            extra_files=(
                "serving/tokens.py",
                "serving/deeper.py",
                "serving/index_to_name.json",
                "serving/labels.json",
            ),
            config_file="serving/model-config.yaml",
            workers=3,
        )
    }
    assert why(found, "models.sentiment.serialized_file") == "the only weights, and the only handler"


def test_an_empty_helper_is_still_packed(make, tmp_path):
    make(tmp_path, {"cat.py": HANDLER.replace("class", "import constants\nclass"), "constants.py": ""})
    assert discover(tmp_path).settings.models["cat"].extra_files == ("constants.py",)


def test_several_handlers_and_weights_are_paired_by_name(make, why, tmp_path):
    make(
        tmp_path,
        {
            "handlers/cat_handler.py": HANDLER,
            "handlers/dog_handler.py": HANDLER,
            "handlers/bird_handler.py": HANDLER.replace("class", "WEIGHTS = 'final.pth'\nclass"),
            "handlers/spare_handler.py": HANDLER,
            "weights/dog.pt": b"x",
            "weights/cat_best.pt": b"x",
            "weights/final.pth": b"x",
        },
    )
    found = discover(tmp_path)
    assert {name: model.serialized_file for name, model in found.settings.models.items()} == {
        "bird": "weights/final.pth",
        "cat": "weights/cat_best.pt",
        "dog": "weights/dog.pt",
    }
    assert why(found, "models.cat.serialized_file").startswith("cat is in both names; 3 weights and 4 handlers")
    assert [guess.value for guess in found.guesses if guess.what == "left out"] == ["handlers/spare_handler.py"]


def test_a_handler_with_two_classes_is_none(make, tmp_path):
    make(tmp_path, {"handler.py": HANDLER + "\nclass Other: ...\n"})
    with pytest.raises(ConfigError):
        discover(tmp_path)


def test_ready_archives_are_served_as_they_are(make, tmp_path):
    make(tmp_path, {"model_store/cat.mar": b"PK", "model-store/cat.mar": b"PK", "model-store/dog 2.mar": b"PK"})
    found = discover(tmp_path).settings
    assert found.models == {
        "cat": ModelSettings(archive="model-store/cat.mar"),
        "dog-2": ModelSettings(archive="model-store/dog 2.mar"),
    }
    assert found.stores == StoreSettings(primary="model-store", mirrors=("model_store",))


def test_nothing_to_serve(make, tmp_path):
    make(tmp_path, {"README.md": "hello", "data.bin": b"\0" * 100})
    with pytest.raises(ConfigError) as raised:
        discover(tmp_path)
    assert raised.value.exit_code == ExitCode.USAGE
    assert "handler" in raised.value.hint
    with pytest.raises(ConfigError, match="no folder"):
        discover(tmp_path / "gone")


@settings(deadline=None)
@given(st.text())
def test_any_name_becomes_a_valid_one(text):
    assert MODEL_NAME.fullmatch(valid_name(text))


def test_names_are_numbered_where_taken():
    assert unique_name("cat", []) == "cat"
    assert unique_name("cat", ["cat", "cat-2"]) == "cat-3"
