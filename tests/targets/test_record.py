"""What a record on disk may say."""

from __future__ import annotations

import msgspec
import pytest

from asteria_tui.targets.record import ServerRecord

PORTS = {"inference": 1, "management": 2, "metrics": 3, "grpc_inference": 4, "grpc_management": 5}


@pytest.mark.parametrize("started_at", [-1e308, 9e15])
def test_a_time_that_no_server_was_started_at_makes_it_no_record(started_at):
    """`status` said that it was up for a number of three hundred digits, or that its keys were older than it."""
    record = {"target": "local", "started_at": 1.0, "ports": PORTS}
    assert msgspec.convert(record, ServerRecord).started_at == 1.0
    with pytest.raises(msgspec.ValidationError, match="started_at"):
        msgspec.convert(record | {"started_at": started_at}, ServerRecord)
