from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from asteria_tui.archive.sources import Sources, collect
from asteria_tui.config import ModelSettings, Project, Settings

HANDLER = """
from ts.torch_handler.base_handler import BaseHandler

class EchoHandler(BaseHandler):
    pass
"""


class Workshop:
    """A project folder to put files in."""

    def __init__(self, root: Path) -> None:
        self.project = Project(root=root, settings=Settings())
        self.root = root

    def write(self, name: str, content: str | bytes = "") -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def collect(self, **settings: object) -> Sources:
        return collect(self.project, "echo", self.model(**settings))

    def model(self, **settings: object) -> ModelSettings:
        return ModelSettings(**{"handler": "handler.py", **settings})


@pytest.fixture
def new_workshop(tmp_path: Path) -> Callable[[], Workshop]:
    numbers = itertools.count()

    def new() -> Workshop:
        root = tmp_path / f"project-{next(numbers)}"
        workshop = Workshop(root)
        workshop.write("handler.py", HANDLER)
        return workshop

    return new


@pytest.fixture
def workshop(new_workshop: Callable[[], Workshop]) -> Workshop:
    return new_workshop()
