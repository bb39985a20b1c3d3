"""Teaches a shell the commands: Click's script in a file of ours, and a line in the shell's own that reads it."""

from __future__ import annotations

import os
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from asteria_tui.cli.commands import COMPLETION
from asteria_tui.errors import ConfigError

STARTUP_FILES = {
    "bash": ("~/.bashrc", ""),
    "zsh": ("~/.zshrc", "autoload -Uz compinit && compinit\n"),
    "fish": ("~/.config/fish/config.fish", ""),
}
"""Where each shell reads a line from, and what it needs before it."""


def install(program: click.Command) -> Path:
    """Returns the file that the user's shell reads from its next start on; raises ConfigError."""
    shell = Path(os.environ.get("SHELL", "")).name
    kind = get_completion_class(shell)
    if kind is None or shell not in STARTUP_FILES:
        raise ConfigError(f"no completion for the shell {shell or 'that $SHELL names'}", hint="bash, zsh or fish")
    home = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    script = home / "asteria-tui" / f"completion.{shell}"
    name, before = STARTUP_FILES[shell]
    startup = Path(name).expanduser()
    line = f'source "{script}"\n'
    try:
        script.parent.mkdir(parents=True, exist_ok=True)
        script.write_text(kind(program, {}, "asteria-tui", COMPLETION).source())
        startup.parent.mkdir(parents=True, exist_ok=True)
        if not startup.exists() or line not in startup.read_text():
            with startup.open("a") as file:
                file.write(f"\n{before}{line}")
    except OSError as error:
        raise ConfigError(f"cannot write {error.filename}", detail=error.strerror or str(error)) from error
    return startup
