"""What every command takes: `-C/--project`, `--target`, `--json`, `-q`, `-v`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:  # its import costs as much as the whole of --help
    from asteria_tui.config import TargetName


def default_project() -> Path:
    return Path(os.environ.get("ASTERIA_PROJECT") or ".")


class Options(NamedTuple):
    project: Path = Path()
    target: TargetName | None = None
    json: bool = False
    quiet: bool = False
    verbose: bool = False

    @property
    def overrides(self) -> dict[str, Any]:
        """The flags that are settings too."""
        return {"server.target": self.target}
