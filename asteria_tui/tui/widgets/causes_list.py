"""The causes that a log tells, the newest first, each as two lines."""

from __future__ import annotations

from textual.content import Content
from textual.message import Message
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from asteria_tui import wording
from asteria_tui.events import Cause


class CausesList(OptionList):
    class Opened(Message):
        """Enter on a cause."""

        def __init__(self, cause: Cause) -> None:
            super().__init__()
            self.cause = cause

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 Textual's name
        super().__init__(id=id, markup=False)
        self.causes: tuple[Cause, ...] = ()

    def show(self, causes: tuple[Cause, ...]) -> None:
        chosen = self.highlighted
        self.causes = causes
        self.set_options([Option(_text(cause)) for cause in reversed(causes)])
        if causes:
            self.highlighted = min(chosen or 0, len(causes) - 1)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.post_message(self.Opened(self.causes[len(self.causes) - 1 - event.option_index]))


def _text(cause: Cause) -> Content:
    """Two lines: what, how often; where, when."""
    said = ": ".join(filter(None, (cause.exception, " ".join(cause.message.split()))))
    count = f"  \N{MULTIPLICATION SIGN}{cause.count}" if cause.count > 1 else ""
    where = f"{cause.frame.file}:{cause.frame.line} in {cause.frame.function}" if cause.frame else ""
    told = "  ".join(filter(None, (where, cause.worker or "", cause.phase, wording.clock(cause.last_at)[:8])))
    return Content.assemble((said, "$text-error"), (count, "bold"), "\n", (f"  {told}", "$foreground 60%"))
