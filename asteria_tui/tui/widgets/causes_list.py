"""The causes that a log names, the newest first, each as two lines; those of earlier runs below, dimmed."""

from __future__ import annotations

from textual.content import Content
from textual.message import Message
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from asteria_tui import wording
from asteria_tui.events import Cause
from asteria_tui.logs.watch import KnownCauses

DIMMED = "$foreground 60%"


class CausesList(OptionList):
    class Opened(Message):
        """Enter on a cause."""

        def __init__(self, cause: Cause) -> None:
            super().__init__()
            self.cause = cause

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 Textual's name
        super().__init__(id=id, markup=False)
        self.causes: tuple[Cause, ...] = ()

    def show(self, causes: KnownCauses) -> None:
        chosen = self.highlighted
        self.causes = (*reversed(causes.current), *reversed(causes.older))
        current = len(causes.current)
        self.set_options([Option(_text(cause, is_older=place >= current)) for place, cause in enumerate(self.causes)])
        if self.causes:
            self.highlighted = min(chosen or 0, len(self.causes) - 1)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.post_message(self.Opened(self.causes[event.option_index]))


def _text(cause: Cause, *, is_older: bool) -> Content:
    """Two lines: what, how often; where, when."""
    headline = ": ".join(filter(None, (cause.exception, " ".join(cause.message.split()))))
    count = f"  \N{MULTIPLICATION SIGN}{cause.count}" if cause.count > 1 else ""
    where = f"{cause.frame.file}:{cause.frame.line} in {cause.frame.function}" if cause.frame else ""
    place = "  ".join(filter(None, (where, cause.worker or "", cause.phase, wording.clock(cause.last_at)[:8])))
    colour, weight = (DIMMED, DIMMED) if is_older else ("$text-error", "bold")
    return Content.assemble((headline, colour), (count, weight), "\n", (f"  {place}", DIMMED))
