"""The longer texts: what a dialog shows whole, what is copied, and the line above the panels."""

from __future__ import annotations

import json
import textwrap
import time
from collections.abc import Iterator, Sequence

from textual.content import Content

from asteria_tui import wording
from asteria_tui.config import Project
from asteria_tui.events import Cause, LogRecord, Predicted, RequestHeld, ServerChanged
from asteria_tui.inference.content import hex_rows, summary
from asteria_tui.state import Failure, State
from asteria_tui.tui import presentation as pres
from asteria_tui.tui import served
from asteria_tui.tui.actions import ACTIONS, ActionContext, KeyNames, key_names, keys_of

KEYS_WIDTH = 18
Part = Content | str | tuple[str, str]


def failure_text(failure: Failure, advice: str) -> Content:
    hint = (f"\n\n→ {advice}", "$accent") if advice else ""
    return Content.assemble((failure.title, "$text-error"), "\n\n", failure.detail, hint)


def cause_text(cause: Cause, advice: str, around: Sequence[LogRecord], place: int) -> Content:
    """Headline, what to do, the traceback with the framework's frames folded, the log around it with its place."""
    from asteria_tui.logs.cause import folded

    parts: list[Part] = [(cause.headline, "$text-error"), "\n"]
    if advice:
        parts += [(f"→ {advice}", "$accent"), "\n"]
    parts += ["\n", folded(cause.traceback) or "no traceback", "\n\n", ("the log around it", "bold"), "\n"]
    for number, record in enumerate(around):
        at = wording.clock(record.time) if record.time is not None else ""
        style = "$text-error" if record.level == "ERROR" else "$foreground 60%"
        if number == place:
            style = "bold $text-error"
        parts.append(("▸ " if number == place else "  ", "$text-error"))
        first = record.text.partition("\n")[0]
        parts.append((f"{at:<12} {record.level:<5} {record.worker or record.source:<7} {first}\n", style))
    return Content.assemble(*parts)


def changes_text(state: State, keys: KeyNames) -> Content:
    """One line a save, the newest last; then what waits for a fix."""
    dev = next((one for one in state.operations if one.name == "dev"), None)
    lines = [
        Content.assemble(
            (f"{wording.clock(event.at)[:8]}  ", "$foreground 60%"),
            (wording.reloaded(event), "$text-error" if event.cause else ""),
        )
        for event in state.reloads
    ]
    if not lines and dev is None:
        lines.append(Content(f"{keys['dev']} serves the sources: each save is answered by the new code in a moment"))
    elif not lines:
        lines.append(Content("each save is told here"))
    for held in state.held.values():
        text = f"{wording.request_held(held)} · {keys['hold']} shows it"
        lines.append(Content.styled(text, "$text-warning"))
    return Content("\n").join(lines)


def held_text(held: RequestHeld) -> Content:
    """A request that waits for its fix: what was raised, the lines around it and what their names were."""
    parts: list[Part] = [(held.cause.headline, "$text-error"), "\n"]
    parts += [("save a fix, and its caller gets the right answer", "$accent"), "\n"]
    if held.is_last_worker:
        parts += [("all other callers wait too: more workers would let them pass", "$text-warning"), "\n"]
    for frame in reversed(held.frames):
        parts += ["\n", (f"{frame.file}:{frame.line} in {frame.function}", "bold"), "\n"]
        for number, line in enumerate(frame.source, start=frame.first):
            mark, style = ("▶", "$text-error") if number == frame.line else (" ", "$foreground 60%")
            parts.append((f"{mark} {number:>4}  {line}\n", style))
        for name, value in frame.locals.items():
            parts += [(f"  {name}", "$accent"), f" = {value}\n"]
    return Content.assemble(*parts)


def record_text(record: LogRecord) -> Content:
    fields = {
        "time": absolute(record.time),
        "level": record.level,
        "thread": record.thread,
        "logger": record.logger,
        "worker": record.worker,
        "model": record.model,
        "pid": record.pid,
    }
    head: list[Part] = []
    for name, value in fields.items():
        if value:
            head += [(f"{name:<8}", "$foreground 60%"), f"{value}\n"]
    return Content.assemble(*head, "\n", record.text)


def plain(record: LogRecord | None) -> str:
    """A record to be copied: its time is absolute."""
    if record is None:
        return ""
    return " ".join(filter(None, (absolute(record.time), record.level, record.worker or record.source, record.text)))


def absolute(at: float | None) -> str:
    if at is None:
        return ""
    return f"{time.strftime('%Y-%m-%d', time.localtime(at))} {wording.clock(at)}"


def answer_text(answer: Predicted) -> str:
    """The body of an answer, formatted."""
    return "".join(answer_parts(answer))


def answer_parts(answer: Predicted, most: int | None = None) -> Iterator[str]:
    """The same piece by piece, no more after `most` characters: all of a large body takes seconds."""
    if answer.content:
        yield f"{summary(answer.content, answer.content_type)}\n"
        yield from (f"\n{row}" for row in hex_rows(answer.content))
        return
    if isinstance(answer.body, str):
        yield answer.body
        return
    length = 0
    for part in json.JSONEncoder(indent=2, ensure_ascii=False).iterencode(answer.body):
        yield part
        length += len(part)
        if most is not None and length > most:
            return


def heading(server: ServerChanged) -> Content:
    glyph, style = pres.SERVER_GLYPHS[server.state]
    return Content.assemble((f"{glyph} ", style), server.state)


def status_line(project: Project, context: ActionContext, width: int) -> Content:
    """Whose project it is at the left, how it is at the right."""
    state = context.state
    server = state.server
    name = next(iter(project.settings.models), project.root.name)
    left = [name, server.target or project.settings.server.target, server.inference.removeprefix("http://")]
    right = [heading(server)]
    if state.models:
        ready, wanted = pres.workers(state.models)
        right.append(Content(f" · {ready}/{wanted} {'worker' if wanted == 1 else 'workers'}"))
    if server.started_at and server.state in {"running", "unwell"}:
        right.append(Content(f" · {wording.uptime(server.started_at)}"))
    if state.is_running("dev"):
        held = f" · {wording.plural(len(state.held), 'request')} held: {context.keys['hold']}" if state.held else ""
        right.append(Content.styled(f" · dev{held}", "$text-warning" if held else "$accent"))
    if context.workflow:
        right = [Content.styled(f"◌ {context.workflow}", "$accent"), Content(f" {context.keys['stop']} cancels")]
    elif (running := state.running("workflow")) is not None and running.origin:
        right = [Content.styled(f"◌ {running.name} from the {running.origin}", "$accent")]
    elif notice := served.notice(state, context.keys):
        room = width - len("asteria-tui") - 6
        while len(right) > 1 and len(notice) + Content.assemble(*right).cell_length > room:
            right.pop()
        style = "$text-error" if state.failure else "$text-warning"
        cut = Content.styled(notice, style).truncate(max(1, room - right[0].cell_length), ellipsis=True)
        right = [cut, Content("  "), *right]
    end = Content.assemble(*right)
    shown = [part for part in left if part]
    while shown and len(" · ".join(shown)) + 16 + end.cell_length > width:
        shown.pop()
    begin = Content.assemble(("asteria-tui", "bold $accent"), ("   " + " · ".join(shown), "$foreground 60%"))
    return Content.assemble(begin, " " * max(1, width - begin.cell_length - end.cell_length), end)


def help_text(panel: str, purpose: str, keys: dict[str, str], width: int) -> Content:
    """What the panel of that title is for, then all keys, those for it first; `width` in columns."""
    parts: list[Part] = [(panel, "bold"), "\n", purpose.format_map(key_names(keys)), "\n"]
    groups = list(dict.fromkeys(action.group for action in ACTIONS))
    first = panel if panel in groups else "Server"
    for group in sorted(groups, key=lambda name: name != first):
        parts += ["\n", (group, "bold"), "\n"]
        for action in ACTIONS:
            if action.group == group:
                lines = textwrap.wrap(action.help, max(20, width - KEYS_WIDTH - 2))
                text = f"\n{' ' * (KEYS_WIDTH + 2)}".join(lines)
                parts += [(f"  {keys_of(action, keys):<{KEYS_WIDTH}}", "$accent"), f"{text}\n"]
    return Content.assemble(*parts)
