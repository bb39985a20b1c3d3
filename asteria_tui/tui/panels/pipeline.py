"""Panel 1: the six stages from sources to a prediction."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import BindingType
from textual.content import Content

from asteria_tui.state import State
from asteria_tui.tui import presentation as pres
from asteria_tui.tui.actions import KeyNames, bindings
from asteria_tui.tui.panels.panel import TextPanel
from asteria_tui.tui.presentation import Row

NAME_WIDTH = 9
FAILURE_LINES = 4


class PipelinePanel(TextPanel):
    HELP = (
        "From your sources to an answer: the archive is packaged, copied to the stores, the server started, the "
        "worker waited for, the keys read, a sample sent. A red stage shows the root cause, the line of your file, "
        "and what to press."
    )
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("pipeline")]

    def show(self, state: State) -> None:
        super().show(state)
        self.set_class(state.failure is not None, "-failed")
        is_elsewhere = any(stage.operation in state.elsewhere for stage in state.stages)
        if is_elsewhere != bool(self.border_subtitle):  # setting it paints
            self.border_subtitle = "from the command line" if is_elsewhere else ""

    async def on_click(self) -> None:
        if self._state.failure is not None:
            await self.app.run_action("act('details')")

    def text(self, state: State, width: int, height: int) -> Content:
        rows = pres.pipeline(state)
        if height <= 1:
            return _one_line(rows, width)
        return Content("\n").join(_lines(rows, width, self.app.key_names))


def _lines(rows: list[Row], width: int, keys: KeyNames) -> list[Content]:
    lines = []
    for row in rows:
        lines.append(_line(row, width))
        if row.failure is not None:
            lines += _failure_lines(row, width, keys)
    return lines


def _line(row: Row, width: int) -> Content:
    style = pres.STYLES[row.status]
    room = max(1, width - 2 - NAME_WIDTH - len(row.time) - 1)
    text = pres.headline(row.failure) if row.failure else row.text
    text_style = "$text-error" if row.failure else ""
    if row.failure and _named(row.model, text) > room:
        text = ""  # it has its own lines below
    # The value is what one looks for: of the two the name gives way.
    name = Content(row.model).truncate(max(1, room - len(text) - 2), ellipsis=True) + "  " if row.model else Content("")
    cut = (name + Content.styled(text, text_style)).truncate(room, ellipsis=True)
    name_style = "$foreground 60%" if row.status == "idle" else ""
    return Content.assemble(
        (f"{pres.GLYPHS[row.status]} ", style),
        (f"{row.name:<{NAME_WIDTH}}", name_style),
        cut,
        " " * max(1, room - cut.cell_length + 1),
        (row.time, "$foreground 60%"),
    )


def _named(model: str, text: str) -> int:
    """Columns that both take."""
    return len(text) + (len(model) + 2 if model else 0)


def _failure_lines(row: Row, width: int, keys: KeyNames) -> list[Content]:
    """The cause, the place and the way out, below the stage that failed."""
    failure = row.failure
    if failure is None:
        return []
    indent = 2
    room = max(10, width - indent)
    lines: list[Content] = []
    if _named(row.model, pres.headline(failure)) > width - 2 - NAME_WIDTH - len(row.time) - 1:
        lines += Content.styled(pres.headline(failure), "$text-error").wrap(room)[:FAILURE_LINES]
    place = pres.where(failure) or failure.detail
    if place:
        lines += Content.styled(place, "$foreground 60%").wrap(room)[:FAILURE_LINES]
    if advice := pres.advice(failure, keys):
        lines += Content.styled(f"→ {advice}", "$accent").wrap(room)[:FAILURE_LINES]
    return [Content(" " * indent) + line.rstrip() for line in lines]


def _one_line(rows: list[Row], width: int) -> Content:
    """All stages in one line; of a failure the cause, as far as it fits."""
    failed = next((row for row in rows if row.failure), None)
    parts: list[Content | str] = []
    for row in rows:
        label = row.name if failed is None or row is failed or width > 100 else ""  # noqa: PLR2004 columns
        name_style = "$foreground 60%" if row.status == "idle" else ""
        parts += [
            Content.assemble((pres.GLYPHS[row.status], pres.STYLES[row.status]), (f" {label}".rstrip(), name_style)),
            "  ",
        ]
        if row is failed and row.failure:
            whose = f"{row.model} " if row.model else ""
            parts += [Content.styled(f"{whose}{pres.headline(row.failure)}", "$text-error"), "  "]
        elif row.name == "predict" and row.text and failed is None:
            parts.append(Content.styled(row.text, "$foreground 60%"))
        elif row.status == "running" and row.time:
            parts += [Content.styled(row.time, "$accent"), "  "]
    return Content.assemble(*parts).truncate(width, ellipsis=True)
