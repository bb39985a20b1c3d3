"""What keeps a server from starting, found out before anything is touched."""

from __future__ import annotations

import os
import socket

import pytest

from asteria_tui.errors import ConfigError, ExitCode, TargetError
from asteria_tui.events import Checked, WarningRaised
from asteria_tui.operations import checks
from asteria_tui.operations.checks import CHECKS, CheckUp, require_room
from asteria_tui.operations.up import Up
from asteria_tui.process import ProcessId, listening_ports
from asteria_tui.targets.ports import claim_ports
from asteria_tui.targets.record import load_record
from asteria_tui.targets.server_config import Ports
from asteria_tui.targets.target import LostServerError
from tests.operations.conftest import ECHO


def files(rig) -> dict[str, int]:
    return {str(file): file.stat().st_mtime_ns for file in rig.root.rglob("*")}


async def test_a_dry_run_reports_each_check_and_changes_nothing(rig):
    before = files(rig)
    assert await rig.run(CheckUp()) == ExitCode.DONE
    assert [event.name for event in rig.all(Checked)] == [check.name for check in CHECKS]
    assert (files(rig), rig.target.calls) == (before, ["preflight"])


async def test_its_exit_code_is_that_of_the_first_that_fails(rig):
    rig.write("handler.py", "def handle(")
    rig.target.fails["preflight"] = TargetError("no Java", hint="install one")
    assert await rig.run(CheckUp()) == ExitCode.FAILED
    failed = {event.name: event.title for event in rig.all(Checked) if event.title}
    assert failed == {
        "sources": "handler.py does not compile",
        "runtime": "no Java",
    }


@pytest.mark.parametrize("name", ["job_queue_size", "max_request_size"])
async def test_a_property_that_torchserve_would_end_at(rig, name):
    rig.settings(ECHO + f'[server.properties]\n{name} = "1e6"\n')
    failure = await rig.fail(Up(), ConfigError, f"{name} must be an integer, not '1e6'")
    assert "[server.properties]" in failure.hint
    assert "start" not in rig.target.calls


async def test_the_ports_of_the_server_whose_place_is_taken_are_free(rig):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        port = held.getsockname()[1]
        wanted = Ports(inference=port, management=0, metrics=0, grpc_inference=0, grpc_management=0)
        with pytest.raises(TargetError, match="a port is taken"):
            claim_ports(wanted)
        assert claim_ports(wanted, own=wanted).inference == port


async def test_a_lost_server_is_said_and_the_checks_go_on(rig, monkeypatch):
    async def lost():
        raise LostServerError(42, rig.project.state_dir)

    monkeypatch.setattr(rig.target, "find", lost)
    assert await rig.run(CheckUp()) == ExitCode.DONE
    assert "pid 42" in rig.one(WarningRaised).text
    assert len(rig.all(Checked)) == len(checks.checks_of(rig.project, "package", "start"))


async def test_the_ports_of_a_lost_server_are_free_for_its_successor():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        lost = listening_ports(ProcessId.of(os.getpid()))
        assert port in lost
        wanted = Ports(inference=port, management=0, metrics=0, grpc_inference=0, grpc_management=0)
        with pytest.raises(TargetError):
            claim_ports(wanted)
        assert claim_ports(wanted, lost=lost).inference == port


async def test_a_full_disk_is_named_before_anything_is_unloaded(rig, monkeypatch):
    await rig.up()
    before = load_record(rig.project)
    rig.write("handler.py", "def handle(data, context):\n    return [1]\n")

    def full(place, needed, what):
        raise TargetError(f"the disk of {place} is full")

    monkeypatch.setattr("asteria_tui.operations.replace.require_room", full)
    await rig.fail(Up(), TargetError, r"the disk of .*\.asteria is full")
    assert not any(call.startswith(("POST", "DELETE")) for call in rig.server.calls)
    assert load_record(rig.project) == before


def test_a_place_that_is_not_there_yet_is_on_the_disk_of_its_parent(tmp_path):
    assert require_room(tmp_path / "a/b/c", 1, "it") > 0
    with pytest.raises(TargetError) as caught:
        require_room(tmp_path / "a/b/c", 2**60, "it")
    assert caught.value.title == f"the disk of {tmp_path}/a/b/c is full"
    assert "it may take" in caught.value.detail


def test_a_check_needs_one_row(rig, monkeypatch):
    """As CONTRIBUTING.md has it."""
    row = checks.Check("mine", "start", checks.check_runtime, "docker")
    monkeypatch.setattr(checks, "CHECKS", (*CHECKS, row))
    assert row not in checks.checks_of(rig.project, "start")
    rig.settings(ECHO + '[server]\ntarget = "docker"\n')
    assert row in checks.checks_of(rig.project, "start")
