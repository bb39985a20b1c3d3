"""Names and versions as parts of a path."""

from __future__ import annotations

import pytest

from asteria_tui.inference.path import prediction_path


@pytest.mark.parametrize(
    ("model", "version", "path"),
    [
        ("m", None, "/predictions/m"),
        ("m", "1.0", "/predictions/m/1.0"),
        ("a/b c", "é", "/predictions/a%2Fb%20c/%C3%A9"),
        ("tokenizer", None, "/predictions/%74okenizer"),
    ],
)
def test_prediction_path(model, version, path):
    assert prediction_path(model, version) == path
