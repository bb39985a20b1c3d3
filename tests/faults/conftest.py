"""A stand-in for Java, ended with the test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.faults.stand_in import StandIn


@pytest.fixture
async def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[StandIn]:
    made = StandIn(tmp_path / "java", monkeypatch)
    yield made
    await made.close()
