"""What the user set, which is only read, and what the screen remembers, which is only ours.

The settings lie in `$XDG_CONFIG_HOME/asteria-tui/settings.toml` (XDG Base Directory Specification). What is remembered
lies in the project's own `.asteria/screen.json`: it is about this project, private already, and moves with it.
"""

from __future__ import annotations

import contextlib
import difflib
import os
from pathlib import Path
from typing import Annotated, Any

import msgspec

from asteria_tui.bounds import KIB, check_depth, parse_toml, read_small
from asteria_tui.config import MAX_BYTES, Project
from asteria_tui.errors import ConfigError
from asteria_tui.state_dir import read_file, write_file
from asteria_tui.tui.actions import ACTIONS, BY_ID, key_name

Cells = Annotated[int, msgspec.Meta(ge=1, le=10_000)]
Ratio = tuple[Cells, Cells]
"""The cells on each side of a border when it was moved; asteria.tcss sets what each side keeps at least."""

MAX_REMEMBERED = 64 * KIB
FILE = "screen.json"


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """settings.toml."""

    theme: str = ""
    editor: str = ""
    """Without it `$VISUAL`, `$EDITOR`, then vi."""
    keys: dict[str, str] = {}
    """Keys by the id of an action, such as `up = "U,f5"`; docs/keys.md lists the ids."""


class Sizes(msgspec.Struct, frozen=True, kw_only=True):
    """Where the user moved the borders to, by what stands before each; None where none was moved."""

    left: Ratio | None = None
    pipeline: Ratio | None = None
    logs: Ratio | None = None


class UiState(msgspec.Struct, kw_only=True):
    """screen.json."""

    theme: str = ""
    wrap: bool = False
    follow: bool = True
    sample: tuple[str, str] | None = None
    drafts: tuple[tuple[str, str, str], ...] = ()
    """Model, sample, and what was made of it."""
    sizes: Sizes = Sizes()


def settings_file() -> Path:
    home = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(os.path.expanduser(home)) / "asteria-tui" / "settings.toml"  # noqa: PTH111 pathlib raises for `~nobody`


def load_settings(file: Path) -> Settings:
    """The user's settings, defaults where there are none; raises ConfigError for what is wrong in them."""
    try:
        settings = msgspec.convert(parse_toml(read_small(file, MAX_BYTES)), Settings)
    except FileNotFoundError:
        return Settings()
    except OSError as error:
        detail = error.strerror or str(error)
        raise ConfigError(f"cannot use {file}", detail=detail, hint="fix it, or move it away") from error
    except ValueError as error:  # of msgspec, too
        raise ConfigError(f"cannot use {file}", detail=str(error), hint="fix it, or move it away") from error
    for id_ in settings.keys:
        if id_ not in BY_ID:
            near = difflib.get_close_matches(id_, BY_ID, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "docs/keys.md lists the actions"
            raise ConfigError(f"{file}: there is no action {id_!r}", hint=hint)
    chosen = {id_: ",".join(key_name(key.strip()) for key in keys.split(",")) for id_, keys in settings.keys.items()}
    _refuse_a_key_of_two_actions(chosen, file)
    return msgspec.structs.replace(settings, keys=chosen)


def _refuse_a_key_of_two_actions(chosen: dict[str, str], file: Path) -> None:
    """Textual would leave the other action without its key, and every text that names it untrue."""
    taken: dict[str, str] = {}
    for action in ACTIONS:
        for key in chosen.get(action.id, action.keys).split(","):
            if not key and action.id in chosen:
                raise ConfigError(f"{file}: {action.id!r} has an empty key", hint="name one, or remove the line")
            if key and key in taken:
                title = f"{file}: {key!r} is the key of both {taken[key]!r} and {action.id!r}"
                raise ConfigError(title, hint="give one of them another key; docs/keys.md lists all")
            taken[key] = action.id


def load_ui_state(project: Project) -> UiState:
    """What the last screen left; nothing of it is worth an error."""
    try:
        content = read_file(project.state_dir, FILE, MAX_REMEMBERED)
        check_depth(content.decode())
        values = msgspec.json.decode(content, type=dict[str, Any])
    except (OSError, ValueError):
        return UiState()
    kept = {}
    for field in msgspec.structs.fields(UiState):
        # One by one: another version may have meant something else by a name.
        with contextlib.suppress(KeyError, msgspec.ValidationError):
            kept[field.name] = msgspec.convert(values[field.name], field.type)
    return UiState(**kept)


def save_ui_state(project: Project, ui_state: UiState) -> None:
    """Only where a server was ever started: looking at a project leaves nothing behind in it."""
    with contextlib.suppress(OSError):
        write_file(project.state_dir, FILE, msgspec.json.encode(ui_state))
