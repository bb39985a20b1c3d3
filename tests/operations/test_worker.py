"""Ending one worker's process."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import psutil
import pytest

from asteria_tui.config import Project, Settings
from asteria_tui.errors import ServerError, TargetError
from asteria_tui.operations.worker import EndWorker
from asteria_tui.process import ProcessId
from asteria_tui.targets.local.target import LocalTarget
from asteria_tui.targets.record import ServerRecord
from tests.operations.test_monitor import RECORD


async def test_a_target_that_cannot_says_what_else_helps(rig):
    await rig.up()
    error = await rig.fail(EndWorker(worker="9000", pid=1), TargetError, "cannot be ended by itself")
    assert "scale" in error.hint


async def test_a_worker_that_is_gone(rig, monkeypatch):
    await rig.up()

    async def end_worker(record, pid):
        return False

    monkeypatch.setattr(rig.target, "end_worker", end_worker, raising=False)
    await rig.fail(EndWorker(worker="9000", pid=1), ServerError, "gone already")


@pytest.fixture
def tree():
    """A process with one child, which sleeps."""
    code = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE)\n"
        "print(child.pid, flush=True)\n"
        "child.wait()\n"
        "input()\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        yield parent, int(parent.stdout.readline())
        parent.kill()


async def test_the_local_target_kills_a_process_of_its_server_only(tree, tmp_path):
    parent, child = tree
    target = LocalTarget(Project(root=tmp_path, settings=Settings()))
    record = ServerRecord(target="local", started_at=1.0, ports=RECORD.ports, process=ProcessId.of(parent.pid))
    assert not await target.end_worker(record, parent.pid)
    worker = psutil.Process(child)
    assert await target.end_worker(record, child)
    await asyncio.to_thread(psutil.wait_procs, [worker], 30)
    assert not await target.end_worker(record, child)
    assert parent.poll() is None
