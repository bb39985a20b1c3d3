"""A README that sends with `curl -T`: payloads of that model go without a content type."""

from __future__ import annotations

import tomllib

import pytest

from asteria_tui.config import settings_from
from asteria_tui.discovery import discover, to_toml

HANDLER = "def handle(data, context): ..."


@pytest.mark.parametrize(
    ("text", "content_type"),
    [
        ("```\ncurl http://127.0.0.1:8080/predictions/cat -T kitten.jpg\n```\n", ""),
        ("curl -X POST \\\n  http://127.0.0.1:8080/predictions/cat \\\n  --upload-file kitten.jpg\n", ""),
        ("curl http://127.0.0.1:8080/predictions/dog -T kitten.jpg\n", None),
        ("curl http://127.0.0.1:8080/predictions/cat -d @kitten.json\n", None),
        ("curl -H 'Content-Type: image/jpeg' http://127.0.0.1:8080/predictions/cat -T kitten.jpg\n", None),
    ],
)
def test_how_a_readme_sends(make, why, tmp_path, text, content_type):
    make(
        tmp_path,
        {
            "cat.py": HANDLER,
            "README.md": f"torch-model-archiver --model-name cat --version 1.0 --handler cat.py\n{text}",
        },
    )
    found = discover(tmp_path)
    assert found.settings.models["cat"].content_type == content_type
    if content_type == "":
        assert why(found, "models.cat.content_type") == "curl -T in README.md sends no content type"
    assert settings_from(tomllib.loads(to_toml(found))).models == found.settings.models
