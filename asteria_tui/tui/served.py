"""Which code answers now: what the header and the Server panel say of sources, archives and failures."""

from __future__ import annotations

from textual.content import Content

from asteria_tui import wording
from asteria_tui.events import Model, SourceState
from asteria_tui.state import State
from asteria_tui.tui import presentation as pres
from asteria_tui.tui.actions import KeyNames

SAME = "the same code answers"


def notice(state: State, keys: KeyNames) -> str:
    """What failed and which code answers in spite of it, or which change is not served yet; empty where all is well."""
    if not state.is_up:
        return ""
    failure, changed = state.failure, newest_change(state)
    if failure is not None and (changed is None or (changed.changed_at or 0.0) <= failure.at):
        answers = _answers(state)
        is_request = pres.place(failure) == "predict" and answers == SAME
        return f"{pres.place(failure)} failed" + ("" if is_request else f", {answers}")
    if changed is None:
        return ""
    when = f" {wording.ago(changed.changed_at)}" if changed.changed_at else ""
    return f"{changed.newest or changed.model} changed{when}: {keys['up']}"


def newest_change(state: State) -> SourceState | None:
    """Of the sources that are newer than what is served, those that changed last."""
    return max(state.outdated(), key=lambda source: source.changed_at or 0.0, default=None)


def chain(state: State) -> Content | None:
    """`source ≠ store = loaded`: of the first model where a link is broken, else of all; None where it is not known."""
    known = [(model, state.sources[model.name]) for model in state.models if model.sha256 and _has(state, model)]
    if not known:
        return None
    model, source = next(((model, source) for model, source in known if not _is_whole(model, source)), known[0])
    name = f"  {model.name}" if len(state.models) > 1 and not _is_whole(model, source) else ""
    return Content.assemble(
        ("source", "$text-error" if source.error else ""),
        _sign(source.sha256, source.store_sha256),
        "store",
        _sign(source.store_sha256, model.sha256 or ""),
        "loaded",
        (name, "$foreground 60%"),
    )


def _answers(state: State) -> str:
    if not any(model.is_ready for model in state.models):
        return "nothing answers"
    if state.outdated():
        return "older code answers"
    is_known = all(model.is_dev or (model.sha256 and _has(state, model)) for model in state.models)
    return SAME if is_known else "the server still answers"


def _has(state: State, model: Model) -> bool:
    source = state.sources.get(model.name)
    return source is not None and bool(source.sha256 or source.error)


def _is_whole(model: Model, source: SourceState) -> bool:
    return source.sha256 == source.store_sha256 == model.sha256


def _sign(left: str, right: str) -> tuple[str, str]:
    return (" = ", "$foreground 60%") if left == right else (" ≠ ", "bold $text-warning")
