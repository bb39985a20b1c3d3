"""Everything a user can do, in one table: it makes the bindings, the footer, the palette, the help and docs/keys.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

import msgspec
from textual.binding import Binding

from asteria_tui.state import State

Owner = str
"""`app`, `screen`, or the name of a panel."""
Group = Literal["Server", "Logs", "Request", "Move", "Screen"]
KeyNames = Mapping[str, str]
"""What a text calls the key of each action, by its id."""


class ActionContext(msgspec.Struct, frozen=True, kw_only=True):
    """What decides whether an action is possible now."""

    state: State = State()
    workflow: str = ""
    """The name of the one that runs."""
    has_models: bool = True
    has_log: bool = True
    can_heighten: bool = True
    """Whether the panel has a border above or below that can be moved."""
    can_widen: bool = True
    can_zoom: bool = True
    """Whether there is room for more than one panel."""
    keys: KeyNames = msgspec.field(default_factory=lambda: key_names({}))


WhyNot = Callable[[ActionContext], str]


def _always(_: ActionContext) -> str:
    return ""


def _idle(context: ActionContext) -> str:
    if context.workflow:
        return f"{context.workflow} is still running: {context.keys['stop']} cancels it"
    return _elsewhere(context)


def _elsewhere(context: ActionContext) -> str:
    running = context.state.running("workflow")
    return f"{running.name} is still running, from the {running.origin}" if running and running.origin else ""


def _can_serve(context: ActionContext) -> str:
    if not context.has_models:
        return "asteria.toml names no model"
    return _idle(context)


def _running(context: ActionContext) -> str:
    if context.state.server.state in {"running", "unwell"}:
        return ""
    return f"no server is running: {context.keys['up']} starts one"


def _can_stop(context: ActionContext) -> str:
    return "" if context.workflow else _elsewhere(context) or _running(context)


def _can_scale(context: ActionContext) -> str:
    return _idle(context) or _running(context)


def _can_send(context: ActionContext) -> str:
    if context.state.is_running("predict"):
        return ""  # the second press cancels
    return _running(context)


def _can_change_target(context: ActionContext) -> str:
    if is_busy := _idle(context):
        return is_busy
    return "" if _running(context) else f"a server is running: {context.keys['stop']} stops it"


def _can_dev(context: ActionContext) -> str:
    if context.state.is_running("dev"):
        return ""  # the second press ends it
    return "" if context.has_models else "asteria.toml names no model"


def _can_release(context: ActionContext) -> str:
    return "" if context.state.held else f"no request is held: {context.keys['hold']} has those held that fail"


def _has_log(context: ActionContext) -> str:
    return "" if context.has_log else f"there is no log yet: {context.keys['up']} starts a server"


def _can_heighten(context: ActionContext) -> str:
    return "" if context.can_heighten else "the panel shares no height with another here"


def _can_widen(context: ActionContext) -> str:
    return "" if context.can_widen else "the panel shares no width with another here"


def _can_zoom(context: ActionContext) -> str:
    return "" if context.can_zoom else "the panel has the whole screen already"


class Action(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    """Stable: users remap keys by it, and `do_<id>` of its owner does it."""
    keys: str
    """Empty for what the palette alone does."""
    label: str
    """One or two words, for the footer."""
    help: str
    """One sentence, for the help and the palette."""
    group: Group
    owner: Owner = "app"
    command: str = ""
    """The command that does the same without a screen."""
    why_not: WhyNot = _always


class PanelEntry(NamedTuple):
    """A panel of the screen: the class `LogsPanel` of `panels/logs.py` for `logs`."""

    name: str
    column: Literal["left", "right"]
    footer: tuple[str, ...]
    """The actions in the footer while it has the focus: at most eight, the rest is in the help."""
    loads_late: bool = False
    """Its widgets take long to import: the first paint does not wait for them."""


PANELS = (
    PanelEntry("pipeline", "left", ("up", "stop", "restart", "package", "details", "send", "help", "quit")),
    PanelEntry("server", "left", ("up", "stop", "restart", "keys", "more_workers", "end", "help", "quit")),
    PanelEntry(
        "logs", "right", ("filter", "level", "follow", "wrap", "causes", "copy", "help", "quit"), loads_late=True
    ),
    PanelEntry(
        "request",
        "right",
        ("send", "next_sample", "edit_payload", "copy", "zoom", "filter", "help", "quit"),
        loads_late=True,
    ),
)
"""In the order of their numbers."""


INSIDE: Mapping[str, tuple[tuple[str, str], ...]] = {
    "body": (("send_now", "send"), ("back", "done")),
    "search-text": (("back", "done"),),
}
"""The keys that work while one types, with their labels, by the id of the widget that takes them all."""


def number_of(panel: str) -> int:
    return 1 + [entry.name for entry in PANELS].index(panel)


ACTIONS: tuple[Action, ...] = (
    Action(
        id="up", keys="u", label="up", group="Server", command="up", why_not=_can_serve,
        help="Package, store, start, wait until ready, read the keys, predict: everything up to a first answer.",
    ),
    Action(
        id="stop", keys="s", label="stop", group="Server", command="down", why_not=_can_stop,
        help="Stop the server; while a workflow runs, cancel that instead.",
    ),
    Action(
        id="restart", keys="R", label="restart", group="Server", command="restart", why_not=_can_serve,
        help="A new server, and everything up to a first answer.",
    ),
    Action(
        id="dev", keys="D", label="dev", group="Server", command="dev", why_not=_can_dev,
        help="Serve the sources: each save is answered by the new code in a moment. Again: as it was before.",
    ),
    Action(
        id="hold", keys="H", label="hold", group="Server", command="dev --hold", why_not=_can_dev,
        help="The same, and a request that fails waits for its fix; while one waits, show it.",
    ),
    Action(
        id="release", keys="", label="give up", group="Server", command="release", why_not=_can_release,
        help="Answer the requests that wait for a fix with their errors.",
    ),
    Action(
        id="package", keys="p", label="package", group="Server", command="package", why_not=_can_serve,
        help="Build the archives into every store, without touching the server.",
    ),
    Action(
        id="choose_target", keys="L", label="target", group="Server", command="up --target docker",
        why_not=_can_change_target, help="Choose where TorchServe runs: on this machine or in a container.",
    ),
    Action(
        id="keys", keys="k", label="keys", group="Server", command="keys", why_not=_running,
        help="Reveal, renew or copy the server's keys.",
    ),
    Action(
        id="more_workers", keys="plus", label="more workers", group="Server", owner="server", command="models scale",
        why_not=_can_scale, help="One more worker for the model that is chosen in the server panel.",
    ),
    Action(
        id="fewer_workers", keys="minus", label="fewer workers", group="Server", owner="server",
        command="models scale", why_not=_can_scale,
        help="One worker fewer for the model that is chosen in the server panel.",
    ),
    Action(
        id="end", keys="x", label="end", group="Server", owner="server", why_not=_can_scale,
        help="End the worker that is chosen in the server panel, or unregister the model; asks first.",
    ),
    Action(
        id="details", keys="enter", label="details", group="Server", owner="pipeline",
        help="Show all of the failure: its traceback, the log around it, and the way to the source line.",
    ),
    Action(
        id="send", keys="r", label="send", group="Request", command="predict", why_not=_can_send,
        help="Send the request; while one is under way, cancel it.",
    ),
    Action(
        id="send_now", keys="ctrl+j,alt+enter", label="send", group="Request", command="predict -",
        why_not=_can_send, help="Send the request from inside the editor.",
    ),
    Action(
        id="next_sample", keys="right_square_bracket", label="next sample", group="Request", owner="request",
        help="Put the next saved sample into the editor.",
    ),
    Action(
        id="previous_sample", keys="left_square_bracket", label="previous sample", group="Request", owner="request",
        help="Put the sample before it into the editor; what you wrote over one stays with it.",
    ),
    Action(
        id="edit_payload", keys="e", label="edit", group="Request", owner="request",
        help="Edit the request's body.",
    ),
    Action(
        id="filter", keys="slash", label="filter", group="Logs", owner="logs", command="logs --grep", why_not=_has_log,
        help="Filter the log by text or regular expression; a leading ! shows what does not match, tab finds instead.",
    ),
    Action(
        id="find", keys="ctrl+f", label="find", group="Logs", owner="logs", why_not=_has_log,
        help="Find text or a regular expression in the log and leave the other lines around it.",
    ),
    Action(
        id="next_match", keys="n", label="next", group="Logs", owner="logs", why_not=_has_log,
        help="Go to the next match, from the last one to the first.",
    ),
    Action(
        id="previous_match", keys="N", label="previous", group="Logs", owner="logs", why_not=_has_log,
        help="Go to the match before, from the first one to the last.",
    ),
    Action(
        id="level", keys="l", label="level", group="Logs", owner="logs", command="logs --level", why_not=_has_log,
        help="Show all, then info, warnings, or errors and worse only.",
    ),
    Action(
        id="source", keys="o", label="source", group="Logs", owner="logs", command="logs --source", why_not=_has_log,
        help="Show a row for each request and what is said besides, then one source after the other, then all lines.",
    ),
    Action(
        id="worker", keys="W", label="worker", group="Logs", owner="logs", command="logs --worker", why_not=_has_log,
        help="Show all workers, then one after the other.",
    ),
    Action(
        id="model", keys="M", label="model", group="Logs", owner="logs", command="logs --model", why_not=_has_log,
        help="Show all models, then one after the other.",
    ),
    Action(
        id="follow", keys="f", label="follow", group="Logs", owner="logs", command="logs -f",
        help="Stay at the end as the log grows; scrolling up stops that.",
    ),
    Action(
        id="wrap", keys="w", label="wrap", group="Logs", owner="logs",
        help="Break long lines, or cut them.",
    ),
    Action(
        id="causes", keys="t", label="causes", group="Logs", owner="logs", command="logs --tracebacks",
        help="Show each traceback once, as its root cause with its count; again for the log.",
    ),
    Action(
        id="changes", keys="", label="changes", group="Logs", owner="logs",
        help="Show what each save did while dev runs; again for the log.",
    ),
    Action(
        id="copy", keys="y", label="copy", group="Screen", owner="screen",
        help="Copy the selection, the log line, the response, or the request as curl, PowerShell or Python.",
    ),
    *(
        Action(
            id=f"panel_{panel.name}", keys=str(number), label=panel.name, group="Move", owner="screen",
            help=f"Go to the panel {panel.name.title()}; there, to its next tab.",
        )
        for number, panel in enumerate(PANELS, start=1)
    ),
    Action(
        id="jump", keys="ctrl+o", label="jump", group="Move", owner="screen",
        help="Put a letter on everything that takes the focus.",
    ),
    Action(
        id="zoom", keys="z", label="zoom", group="Screen", owner="screen", why_not=_can_zoom,
        help="Give the panel the whole screen, or give it back.",
    ),
    Action(
        id="taller", keys="", label="taller", group="Screen", owner="screen", why_not=_can_heighten,
        help="Give the panel two rows of its neighbour; the mouse drags any border.",
    ),
    Action(
        id="shorter", keys="", label="shorter", group="Screen", owner="screen", why_not=_can_heighten,
        help="Give two rows of the panel to its neighbour.",
    ),
    Action(
        id="wider", keys="", label="wider", group="Screen", owner="screen", why_not=_can_widen,
        help="Give the panel's column four columns of the other.",
    ),
    Action(
        id="narrower", keys="", label="narrower", group="Screen", owner="screen", why_not=_can_widen,
        help="Give four columns of the panel's column to the other.",
    ),
    Action(
        id="default_sizes", keys="", label="default sizes", group="Screen", owner="screen",
        help="Put all borders back; a double click puts one back.",
    ),
    Action(
        id="command_log", keys="at", label="commands", group="Screen", owner="screen",
        help="Show the commands behind each action, to copy.",
    ),
    Action(
        id="help", keys="question_mark,f1", label="help", group="Screen", owner="screen",
        help="Say what the panel shows and which keys it has.",
    ),
    Action(
        id="palette", keys="ctrl+p,colon", label="palette", group="Screen", help="Find an action by its name.",
    ),
    Action(
        id="back", keys="escape", label="back", group="Move", owner="screen",
        help="Back out one level: dialog, filter, zoom.",
    ),
    Action(
        id="quit", keys="q,ctrl+q", label="quit", group="Screen",
        help="Leave; asks once what to do with a running server.",
    ),
)  # fmt: skip

BY_ID = {action.id: action for action in ACTIONS}
# Keys that Textual names by a word.
_SHOWN = {
    "slash": "/", "question_mark": "?", "colon": ":", "at": "@", "right_square_bracket": "]", "escape": "esc",
    "f1": "F1", "left_square_bracket": "[", "plus": "+", "minus": "-", "equals_sign": "=",
    "less_than_sign": "<", "greater_than_sign": ">", "exclamation_mark": "!", "full_stop": ".", "semicolon": ";",
}  # fmt: skip


def bindings(owner: Owner) -> list[Binding | tuple[str, str] | tuple[str, str, str]]:
    """Textual's bindings of one owner; the keys of every panel work from everywhere, but for Enter."""
    return [
        Binding(
            action.keys or f"no_key_of_{action.id}",  # so that a user can give it one
            f"app.act('{action.id}')",
            action.label,
            show=False,
            tooltip=action.help,
            id=action.id,
        )
        for action in ACTIONS
        if (action.owner if action.keys == "enter" else "screen") == owner
    ]


def binding_of(id_: str, does: str) -> Binding:
    """The keys of an action, in a dialog that answers them in its own way."""
    return Binding(BY_ID[id_].keys, does, show=False, id=id_)


def shown_keys(keys: str) -> str:
    """`question_mark,f1` as people read it: `? F1`."""
    return " ".join(_SHOWN.get(key, key) for key in keys.split(","))


def key_name(shown: str) -> str:
    """Textual's name of a key as people read it; any other text as it is."""
    return next((name for name, as_shown in _SHOWN.items() if as_shown == shown), shown)


def keys_of(action: Action, chosen: Mapping[str, str]) -> str:
    """The keys of an action as people read them; `chosen` are those of the user, by the id of the action."""
    return shown_keys(chosen.get(action.id, action.keys))


def key_names(chosen: Mapping[str, str]) -> dict[str, str]:
    """The first key of every action: the one truth for all texts that name a key."""
    return {action.id: keys_of(action, chosen).partition(" ")[0] for action in ACTIONS}


def keys_page() -> str:
    """docs/keys.md."""
    lines = [
        "# Keys",
        "",
        "Made from the table of actions by `python -m asteria_tui.tui.actions`; a test checks that it is current.",
        "",
        "To change a key, name the action by its id in `~/.config/asteria-tui/settings.toml` (or below",
        "`$XDG_CONFIG_HOME`); several keys stand with commas between them, written as here or by",
        "[Textual's names](https://textual.textualize.io/guide/input/#key). A key stands for one action only; footer,",
        "help and all other texts name the keys that are in force:",
        "",
        "```toml",
        'theme = "asteria-light"',
        'editor = "code -w"',
        "",
        "[keys]",
        'up = "U,f5"',
        "```",
    ]
    for group in dict.fromkeys(action.group for action in ACTIONS):
        lines += ["", f"## {group}", "", "| key | id | does | command |", "|---|---|---|---|"]
        for action in ACTIONS:
            if action.group == group:
                command = f"`asteria-tui {action.command}`" if action.command else ""
                keys = " ".join(f"`{key}`" for key in shown_keys(action.keys).split())
                lines.append(f"| {keys} | {action.id} | {action.help} | {command} |")
    lines += [
        "",
        "In the log: `up` `down` move by a record, `pageup` `pagedown` by a screen, `home` `g` `end` `G` to",
        "the ends. `right` `left` or `space` unfold and fold a traceback or a request, `enter` on a traceback or on a",
        "request that failed opens your source at its line in the editor; on any other record it shows all of it. The",
        "mouse selects, clicks and scrolls everywhere.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    print(keys_page(), end="")  # noqa: T201 redirected into docs/keys.md
