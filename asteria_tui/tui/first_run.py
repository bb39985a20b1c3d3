"""The first screen in a folder without asteria.toml: what lies there, what would be written, one key to write it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import ClassVar

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content

from asteria_tui.config import FILE_NAME
from asteria_tui.errors import ConfigError
from asteria_tui.projects import Proposal, initialize, propose
from asteria_tui.tui.actions import binding_of, key_names
from asteria_tui.tui.preferences import Settings, load_settings, settings_file
from asteria_tui.tui.terminal import run_in_terminal
from asteria_tui.tui.themes import use_theme
from asteria_tui.tui.widgets.link import Link
from asteria_tui.tui.widgets.text import Text

WRITE = "enter"


def first_run(root: Path) -> bool:
    """Whether asteria.toml was written; raises ConfigError where nothing in `root` could be served."""
    app = FirstRun(root.resolve(), load_settings(settings_file()))
    asyncio.run(run_in_terminal(app, leave=False))
    if app.error is not None:
        raise app.error
    return bool(app.return_value)


class FirstRun(App[bool]):
    """Its result says whether asteria.toml was written."""

    CSS_PATH = "first_run.tcss"
    TITLE = "asteria-tui"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(WRITE, "act('write')", show=False),
        binding_of("back", "act('leave')"),
        binding_of("quit", "act('leave')"),
    ]

    def __init__(self, root: Path, settings: Settings | None = None) -> None:
        super().__init__()
        self.root = root
        self.settings = settings or Settings()
        self.proposal: Proposal | None = None
        self.error: ConfigError | None = None
        """Why there is nothing to propose."""
        use_theme(self, self.settings.theme)

    def compose(self) -> ComposeResult:
        keys = key_names(self.settings.keys)
        with Vertical(id="frame") as frame:
            frame.border_title = Content(f"A first look at {self.root.name or self.root}")
            yield Text(id="found")
            yield Link("write", _choice(WRITE, f"write {FILE_NAME} and go on"), id="write")
            yield Link("leave", _choice(keys["back"], "leave; nothing is written"), id="leave")

    def on_mount(self) -> None:
        self.animation_level = "none"
        self.set_keymap(self.settings.keys)
        found = self.query_one(Text)
        found.show(Content(f"looking at what lies in {self.root} …"))
        found.focus()
        self.run_worker(self._look())

    async def _look(self) -> None:
        try:
            self.proposal = await asyncio.to_thread(propose, self.root)
        except ConfigError as error:
            self.error = error
            self.exit(False)
            return
        self.query_one(Text).show(proposal_text(self.proposal))

    async def action_act(self, id_: str) -> None:
        if id_ == "leave":
            self.exit(False)
        elif self.proposal is not None:
            try:
                initialize(self.proposal)
            except ConfigError as error:
                self.notify(error.detail or error.hint, title=error.title, severity="error", timeout=6, markup=False)
                return
            self.exit(True)

    async def action_quit(self) -> None:
        await self.action_act("leave")


def proposal_text(proposal: Proposal) -> Content:
    """Each value with the reason for it, then the file as it would be."""
    parts: list[Content | str | tuple[str, str]] = [
        (f"{proposal.root} has no {FILE_NAME} yet. This is what lies there:", "bold"),
        "\n",
    ]
    for guess in proposal.discovery.guesses:
        parts += ["\n", (guess.what, "$accent"), f" = {guess.value}\n", (f"    {guess.why}", "$foreground 60%")]
    parts += ["\n\n", (f"The {FILE_NAME} that says so; every value may be changed later:", "bold"), "\n\n"]
    for line in proposal.text.splitlines():
        said, mark, remark = line.partition("# ")
        parts += [said, (f"{mark}{remark}", "$foreground 60%"), "\n"]
    return Content.assemble(*parts)


def _choice(key: str, does: str) -> Content:
    return Content.assemble((f"{key:<6}", "$accent"), does)
