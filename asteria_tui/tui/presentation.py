"""What the pipeline and the server panel show: State in, rows of styled text out, nothing of a terminal in between."""

from __future__ import annotations

import re
import time

import msgspec

from asteria_tui import wording
from asteria_tui.events import Model, OperationFailed, ServerState
from asteria_tui.inference.content import kind_of
from asteria_tui.state import Failure, StageState, State
from asteria_tui.tui.actions import ACTIONS, KeyNames

STAGES = ("package", "store", "start", "ready", "keys", "predict")
ANSWER_WIDTH = 40
_SOURCE = re.compile(r"(?P<file>[^\s:]+\.py):(?P<line>\d{1,7}): ")
_COMMAND = re.compile(r"`asteria-tui ([^`]+)`")
_KEYS_OF_COMMANDS = {
    "logs": "panel_logs",
    "status": "panel_server",
    **{action.command: action.id for action in reversed(ACTIONS) if action.command},
}


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One stage, as it stands."""

    status: str
    """`idle`, `running`, `done` or `failed`."""
    name: str
    model: str = ""
    """Whose it is, where there are several."""
    text: str = ""
    time: str = ""
    failure: Failure | None = None


GLYPHS = {"idle": "·", "running": "◌", "done": "✔", "failed": "✘"}
STYLES = {"idle": "$foreground 40%", "running": "$accent", "done": "$text-success", "failed": "$text-error"}
SERVER_GLYPHS: dict[ServerState, tuple[str, str]] = {
    "stopped": ("○", "$foreground 40%"),
    "starting": ("◌", "$accent"),
    "running": ("●", "$text-success"),
    "unwell": ("●", "$text-error"),
    "stopping": ("◌", "$accent"),
}


def pipeline(state: State) -> list[Row]:
    """A row for each stage of the last workflow; where none ran, what is known from the server alone."""
    ran = {(stage.stage, stage.model): stage for stage in state.stages}
    found = _found(state)
    several = len({stage.model for stage in state.stages if stage.model} | state.sources.keys()) > 1
    failed = _failure_without_row(state, with_model=several)
    is_past = False
    ran |= {key: _timed(state, stage) for key, stage in ran.items() if stage.stage == "predict"}
    rows = [_row(stage, with_model=several) for stage in ran.values() if stage.stage not in STAGES]
    if failed is not None and failed.name not in STAGES:
        rows.append(failed)
    for name in STAGES:
        of_stage = [_row(stage, with_model=several) for stage in ran.values() if stage.stage == name]
        if failed is not None and failed.name == name:
            of_stage = [failed]
        is_found = name in found and not is_past
        rows += of_stage or [
            Row(status="done" if is_found else "idle", name=name, text=found[name] if is_found else "")
        ]
        is_past = is_past or any(row.failure for row in of_stage)
    return rows


def _failure_without_row(state: State, *, with_model: bool) -> Row | None:
    """What failed outside any stage, or before this screen was opened."""
    failure = state.failure
    if failure is None or any(stage.failure for stage in state.stages):
        return None
    model = failure.model or "" if with_model else ""
    return Row(status="failed", name=place(failure), model=model, text=failure.title, failure=failure)


def _found(state: State) -> dict[str, str]:
    """What is known of a server that was already there."""
    server = state.server
    if server.state not in {"running", "unwell"}:
        return {}
    found = {"start": f"pid {server.pid}" if server.pid else server.inference}
    if state.models and state.is_ready:
        found["ready"] = wording.workers(*workers(state.models))
    if state.keys:
        found["keys"] = wording.plural(len(state.keys), "key")
    last = state.predictions[-1] if state.predictions else None
    if last and last.is_good and server.started_at and not state.is_past(last):
        found["predict"] = wording.short(kind_of(last.content) if last.content else last.body, ANSWER_WIDTH)
    return found


def _timed(state: State, stage: StageState) -> StageState:
    """One figure for one call: that of the answer, without the search for the cause of a failure."""
    mine = (stage.operation, stage.model)
    answer = next((one for one in reversed(state.predictions) if (one.operation, one.model) == mine), None)
    if answer is None or stage.status == "running":
        return stage
    return msgspec.structs.replace(stage, seconds=answer.milliseconds / 1000)


def _row(stage: StageState, *, with_model: bool) -> Row:
    model = stage.model or "" if with_model else ""
    return Row(
        status=stage.status,
        name=stage.stage,
        model=model,
        text=stage.summary,
        time=_time(stage),
        failure=stage.failure,
    )


def _time(stage: StageState) -> str:
    if stage.status != "running":
        return wording.duration(stage.seconds)
    if stage.total and stage.done is not None:
        return f"{stage.done / stage.total:.0%}"
    if stage.done is not None:
        return f"{stage.done:.0f} {stage.unit}"
    return ""


def place(failure: Failure) -> str:
    """The stage that failed, or the operation where none did."""
    return failure.stage or (failure.name if isinstance(failure, OperationFailed) else "")


def where(failure: Failure) -> str:
    """The line of the user's source that a failure comes from."""
    frame = failure.cause.frame if failure.cause else None
    return f"{frame.file}:{frame.line} in {frame.function}" if frame else ""


def headline(failure: Failure) -> str:
    """What went wrong, without the place: that has its own line."""
    cause = failure.cause
    if cause is None or cause.frame is None:
        return failure.title
    return ": ".join(filter(None, (cause.exception, " ".join(cause.message.split()))))


def source(failure: Failure) -> tuple[str, int] | None:
    """The file and line to look at: of the cause, else of an error that names them, as one of syntax does."""
    frame = failure.cause.frame if failure.cause else None
    if frame is not None:
        return (frame.file, frame.line) if frame.is_project else None
    found = _SOURCE.match(failure.detail)
    return (found["file"], int(found["line"])) if found else None


def advice(failure: Failure, keys: KeyNames) -> str:
    """What to do next, with the key of this screen where there is one."""
    if (place := source(failure)) is not None:
        return f"fix line {place[1]}, then press {keys['up']}"
    return for_screen(failure.hint, keys)


def for_screen(hint: str, keys: KeyNames) -> str:
    """A hint with the key of this screen in place of each command that has one: `asteria-tui up` is {up}."""

    def key(found: re.Match[str]) -> str:
        known = [command for command in _KEYS_OF_COMMANDS if f"{found[1]} ".startswith(f"{command} ")]
        return keys[_KEYS_OF_COMMANDS[max(known, key=len)]] if known else found[0]

    return _COMMAND.sub(key, hint)


def workers(models: tuple[Model, ...]) -> tuple[int, int]:
    """How many are ready, and how many there are or should be."""
    ready = sum(model.ready_workers for model in models)
    wanted = sum(max(len(model.workers), model.min_workers) for model in models)
    return ready, wanted


def key_time(expires_at: float | None) -> str:
    """How long a key is valid."""
    if expires_at is None:
        return "no end"
    left = expires_at - time.time()
    return wording.span(left) if left > 0 else "expired"
