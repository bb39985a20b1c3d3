"""What the tests of discovery share."""

from collections.abc import Callable
from pathlib import Path

import pytest

from asteria_tui.discovery import Discovery


@pytest.fixture(scope="session")
def make() -> Callable[[Path, dict[str, str | bytes]], Path]:
    """Fills a folder with files and returns it."""

    def fill(root: Path, files: dict[str, str | bytes]) -> Path:
        for name, content in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return root

    return fill


@pytest.fixture(scope="session")
def why() -> Callable[[Discovery, str], str]:
    """The reason that a discovery gives for a key of asteria.toml."""
    return lambda discovery, what: next(guess.why for guess in discovery.guesses if guess.what == what)
