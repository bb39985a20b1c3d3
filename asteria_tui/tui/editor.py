"""Which command opens a file at a line in the user's editor."""

from __future__ import annotations

import os
import shlex
import shutil
from pathlib import PurePath

# Editors that take the line another way than `+LINE FILE`, which vi, nano, emacs, micro, joe and ed's kin do.
_BY_NAME = {
    "code": ("--goto", "{file}:{line}"),
    "codium": ("--goto", "{file}:{line}"),
    "cursor": ("--goto", "{file}:{line}"),
    "subl": ("{file}:{line}",),
    "hx": ("{file}:{line}",),
    "helix": ("{file}:{line}",),
    "zed": ("{file}:{line}",),
}


def editor_command(chosen: str, file: str, line: int) -> list[str]:
    """The command; `chosen` is the setting, else the environment decides (POSIX: VISUAL before EDITOR)."""
    named = (chosen, os.environ.get("VISUAL"), os.environ.get("EDITOR"), shutil.which("vi"))
    words = next(filter(None, (_words(name or "") for name in named)), ["nano"])
    arguments = _BY_NAME.get(PurePath(words[0]).name, ("+{line}", "{file}"))
    return [*words, *(argument.format(file=file, line=line) for argument in arguments)]


def _words(command: str) -> list[str]:
    """As a shell would take it; with a quote that is not closed it is the name of a program."""
    try:
        return shlex.split(command)
    except ValueError:
        return [command]
