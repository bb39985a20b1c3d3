"""What the request panel shows of an answer: State in, styled text out."""

from __future__ import annotations

from textual.content import Content

from asteria_tui import wording
from asteria_tui.events import Predicted
from asteria_tui.logs.text import show_controls
from asteria_tui.state import State
from asteria_tui.tui.actions import KeyNames
from asteria_tui.tui.details import answer_parts
from asteria_tui.tui.widgets.sparkline import sparkline

MAX_SHOWN = 100_000
"""Characters of an answer that are formatted and shown."""


def notes_of(state: State, last: Predicted, payload_sha256: str) -> list[str]:
    """What the answer does not belong to, or not any more; none where it stands beside its own payload."""
    return [
        *(["of older code"] if state.is_of_older_code(last) else ["earlier"] if state.is_past(last) else []),
        *([] if last.is_of(payload_sha256) else ["of another payload"]),
    ]


def outcome(state: State, last: Predicted | None, notes: list[str], width: int, keys: KeyNames) -> Content:
    """Status, whose answer it is, milliseconds, size, the notes, and how long the last ones took."""
    if state.is_running("predict"):
        return Content.styled(f"◌ waiting: {keys['send']} cancels", "$accent")
    if last is None:
        way = f"{keys['send']} sends" if state.is_up else f"{keys['up']} starts"
        return Content.styled(f"no answer yet: {way}", "$foreground 60%")
    style = "$text-success" if last.is_good else "$text-error"
    origin = ["from the command line"] if last.operation in state.elsewhere else []
    shown = _label(last, [*notes, *origin], width - 3)
    room = width - len(shown) - 6
    bars = sparkline([answer.milliseconds for answer in state.predictions], min(24, room))
    gap = " " * max(1, width - 3 - len(shown) - len(bars))
    shades = ("$foreground 60%", "$foreground 60%") if notes else (f"bold {style}", "")
    return Content.assemble((str(last.status), shades[0]), (shown, shades[1]), gap, (bars, "$foreground 60%"))


def _label(last: Predicted, notes: list[str], width: int) -> str:
    """Whose answer it is, its figures and the notes; where there is no room for all of it the notes stay."""
    sample = show_controls(last.sample)
    whole = " ".join(filter(None, (last.model, sample)))
    figures = [wording.duration(last.milliseconds / 1000), wording.size(last.size)]
    shorter: tuple[tuple[str, list[str]], ...] = (
        (whole, figures),
        (whole, figures[:1]),
        (sample, figures[:1]),
        (sample, []),
    )
    texts = [" · ".join(["", *filter(None, (whose, *kept, *notes))]) for whose, kept in shorter]
    return next((text for text in texts if len(text) <= width), texts[-1])


def body_of(last: Predicted | None, keys: KeyNames, *, is_old: bool) -> Content:
    """Its body; dimmed where it belongs to something else than what one sees beside it."""
    if last is None:
        return Content("")
    body = "".join(answer_parts(last, MAX_SHOWN))
    if len(body) > MAX_SHOWN:
        body = f"{body[:MAX_SHOWN]}\n… and more; {keys['copy']} copies all"
    if last.cause is None:
        return Content.styled(body, "$foreground 60%") if is_old else Content(body)
    headline = (last.cause.headline, "$foreground 60%" if is_old else "$text-error")
    return Content.assemble(headline, "\n\n", (body, "$foreground 60%"))
