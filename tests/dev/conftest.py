"""The loader as a plain module, for the tests of it."""

from __future__ import annotations

import gc

import pytest

from tests.dev.loading import Loaded


@pytest.fixture
def made(tmp_path, monkeypatch):
    monkeypatch.setenv("TEMP", "")
    loaded = Loaded(tmp_path)
    yield loaded
    loaded.close()
    gc.unfreeze()
