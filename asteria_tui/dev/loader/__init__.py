"""The handler of a dev archive: runs the project's own handler from its sources, and swaps it when they change.

TorchServe imports this package in a worker, from a link in the model's folder, and calls `handle`. So everything here
runs on the standard library alone, on every Python from 3.8 on, and knows nothing of the rest of asteria-tui. Nothing
here may raise an ImportError: TorchServe would look for a handler of its own instead (docs/torchserve.md section 3).
"""

from __future__ import annotations

import os
from typing import Any

from .hold import OURS_HEADER
from .link import VERSION
from .modules import PACKAGE
from .stack import STACK_SIGNAL
from .worker import SETTINGS_FILE, SOCKET, SOURCES_HEADER, Worker

__all__ = [
    "OURS_HEADER",
    "PACKAGE",
    "SETTINGS_FILE",
    "SOCKET",
    "SOURCES_HEADER",
    "STACK_SIGNAL",
    "VERSION",
    "Worker",
    "handle",
]

_worker: Worker | None = None


def handle(data: Any, context: Any) -> Any:
    """What TorchServe calls: once without data to load, then for each batch."""
    global _worker  # noqa: PLW0603 TorchServe keeps nothing but this function
    if _worker is None:
        # Not resolved: the folder of the model is where the link to this package lies.
        _worker = Worker(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    return _worker.handle(data, context)
