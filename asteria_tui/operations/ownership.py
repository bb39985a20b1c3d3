"""`dev` owns the server while it runs; who takes the server over ends it, and removes what it served."""

from __future__ import annotations

import os

from asteria_tui.dev import archive, lease
from asteria_tui.events import WarningRaised
from asteria_tui.operations.base import Context
from asteria_tui.targets.record import ServerRecord


def end_dev(context: Context) -> None:
    """Under the lock of the project: whoever runs `dev` finds its lease gone, and leaves the server alone."""
    held = lease.current(context.project)
    if held is not None:
        whose = "" if held.owner.pid == os.getpid() else f" (pid {held.owner.pid})"
        context.emit(WarningRaised(text=f"dev{whose} had the server, and ends"))
    lease.end(context.project)


def forget_dev(context: Context, record: ServerRecord | None) -> None:
    """Removes the folders of links that no model is served from any more."""
    served = {name for name, loaded in record.models.items() if loaded.is_dev} if record is not None else set()
    try:
        for name in archive.names(context.project) - served:
            archive.forget(context.project, name)
    except OSError as error:
        context.emit(WarningRaised(text=f"what dev left could not be removed: {error.strerror or error}"))
