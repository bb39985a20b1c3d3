"""Every command by name: where it is and what it does, so that help and one command cost no import of the others."""

from __future__ import annotations

from typing import NamedTuple


class Command(NamedTuple):
    module: str
    """In this package; the function has the command's name, or the module's VERBS are a group of commands.

    Or `operations.down:Down`: an operation whose fields are its arguments and flags, and whose events are its result.
    """
    summary: str
    group: str
    is_group: bool = False
    """Whether a verb follows it."""
    default: str = ""
    """Of a group of commands: the one that is meant where none is named."""


COMPLETION = "_ASTERIA_TUI_COMPLETE"
"""What a shell sets that asks for the words that fit (Click, shell completion)."""
COMMANDS = {
    "up": Command("serving", "Everything up to a first prediction; what is right already is left alone.", "Serve"),
    "down": Command("operations.down:Down", "Stop the server and remove all that it leaves behind.", "Serve"),
    "restart": Command("serving", "Up, with a new server in any case.", "Serve"),
    "reload": Command("operations.reload:Reload", "Serve the sources as they are now; no request is lost.", "Serve"),
    "status": Command("serving", "What runs and is it well: exit status 0 when it is, 4 when not.", "Serve"),
    "dev": Command("dev", "Serve the sources: each save is answered by the new code in a moment.", "Change"),
    "debug": Command("debug", "Run the handler on a payload without a server, under pdb or a profiler.", "Change"),
    "release": Command("operations.held:Release", "Answer the requests that dev holds with their errors.", "Change"),
    "predict": Command("predict", "Send one payload; without any, the model's first sample.", "Ask"),
    "keys": Command("keys", "The tokens of the running server, masked unless asked.", "See"),
    "logs": Command("logs", "What the server says, or the causes of what went wrong.", "See"),
    "models": Command(
        "models",
        "What the server has registered: list, show, register, scale and more.",
        "See",
        is_group=True,
        default="list",
    ),
    "init": Command("packaging", "Write asteria.toml from what lies in the folder.", "Package"),
    "package": Command("packaging", "Build the archives into the primary store and every mirror.", "Package"),
    "inspect": Command("packaging", "Look into an archive: members, manifest, entry point, pickle scan.", "Package"),
    "stores": Command("stores", "Compare sources, stores and the loaded model by SHA-256; --sync copies.", "Package"),
    "image": Command("image", "The container image: build.", "Hand over", is_group=True),
    "export": Command("export", "What asteria-tui does, for other tools: compose.", "Hand over", is_group=True),
}
