"""Takes the README's pictures: the real screen on the bundled project and a real TorchServe.

`python docs/make_screenshots.py` works on a copy of the project and writes docs/screenshots/*.svg. The copy lies at a
fixed place and its server on the default ports, so that two pictures differ only in what the screen shows otherwise.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from textual.pilot import Pilot

from asteria_tui.operations.down import Down
from asteria_tui.projects import open_project
from asteria_tui.session import Session
from asteria_tui.tui.app import AsteriaApp

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PARTS = ("asteria.toml", "handler", "model", "model_store")
PROJECT = Path(tempfile.gettempdir()) / "anomaly"
BROKEN = "        self.threshold = {}['threshold']\n"
FONT_FROM_OUTSIDE = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)
"""Textual names the address of a font; a picture of ours loads nothing."""
MAX_SECONDS = 180.0
"""Seconds that one step may take."""


async def main() -> None:
    (HERE / "screenshots").mkdir(exist_ok=True)
    PROJECT.mkdir()  # whose it is when it is there, only its owner knows
    try:
        for part in PARTS:
            copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
            copy(ROOT / part, PROJECT / part)
        session = Session(open_project(PROJECT))
        try:
            await _take(session, PROJECT)
        finally:
            await session.run(Down())
    finally:
        shutil.rmtree(PROJECT)


async def _take(session: Session, project: Path) -> None:
    app = AsteriaApp(session)
    async with app.run_test(size=(120, 36)) as pilot:
        await _until(pilot, lambda: app.is_filled)
        await _act(pilot, "u")
        for _ in range(8):
            await _act(pilot, "r")
        await _act(pilot, "right_square_bracket", "r", "1")
        _save(app, "running")
        await _act(pilot, "slash", *"predict", "enter", "l")
        _save(app, "filtered")
        await _act(pilot, "escape", "l", "l", "l", "1")
        await pilot.resize_terminal(80, 24)
        await _act(pilot, "4")
        _save(app, "narrow")
        await pilot.resize_terminal(120, 36)
        handler = next((project / "handler").glob("*_handler.py"))
        text = handler.read_text()
        line = next(line for line in text.splitlines(keepends=True) if "def initialize" in line)
        handler.write_text(text.replace(line, line + BROKEN))
        await _act(pilot, "1", "R")
        await _until(pilot, lambda: bool(app.workbench.logs.causes))
        await _act(pilot, "1")
        _save(app, "failed")
        await _act(pilot, "enter")
        _save(app, "cause")
    await app.stop_watching()
    await session.settle()


async def _act(pilot: Pilot[str], *keys: str) -> None:
    """Presses the keys and waits for what they began."""
    session: Session = pilot.app.session  # type: ignore[attr-defined]
    for key in keys:
        await pilot.press(key)
        await _until(pilot, lambda: not any(one.lane != "background" for one in session.state.operations))
    await pilot.pause(1.2)


async def _until(pilot: Pilot[str], holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(MAX_SECONDS):
        while not holds():
            await pilot.pause(0.1)


def _save(app: AsteriaApp, name: str) -> None:
    app.clear_notifications()
    file = HERE / "screenshots" / f"{name}.svg"
    picture = app.export_screenshot(title="asteria-tui", simplify=True)
    picture = picture.replace(sys.prefix.replace(" ", "&#160;"), ".venv")  # also where a line is cut
    file.write_text(FONT_FROM_OUTSIDE.sub("", picture))
    print(file.relative_to(ROOT))  # noqa: T201


if __name__ == "__main__":
    asyncio.run(main())
