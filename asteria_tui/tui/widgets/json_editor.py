"""An editor for JSON: colours by one regular expression a visible line, and the place where it is not JSON.

It takes other text as well, plain: `is_json` tells which.
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

from rich.style import Style
from rich.text import Text
from textual.document._history import EditHistory
from textual.events import Paste
from textual.widgets import TextArea

from asteria_tui import wording
from asteria_tui.bounds import check_depth

_TOKEN = re.compile(
    r'(?P<string>"(?:[^"\\]|\\.)*"?)(?P<colon>\s*:)?'
    r"|(?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)"
    r"|(?P<word>\b(?:true|false|null)\b)"
)
MAX_CHARACTERS = 200_000
"""Of a text that the editor takes."""
COLOURED_CHARACTERS = 20_000
"""Of one line; colouring a longer one would be felt at each key."""


HISTORY: dict[str, Any] = {"max_checkpoints": 50, "checkpoint_timer": 2.0, "checkpoint_max_characters": 100}
"""Of what can be undone, as in Textual's own editor."""


class Draft(NamedTuple):
    """A text that was edited."""

    text: str
    history: EditHistory | None = None
    """None for one of an earlier screen: undoing it gives the text as it was saved."""


class JsonEditor(TextArea):
    COMPONENT_CLASSES = {"json--key", "json--string", "json--number", "json--word", "json--error"}  # noqa: RUF012

    is_json = True
    saved = ""
    """The text as it was put into the editor."""
    error: str = ""
    """Why the text is not JSON, with line and column; empty when it is."""
    _error_at: tuple[int, int] | None = None

    def on_mount(self) -> None:
        self.on_blur()

    def on_focus(self) -> None:
        self.show_cursor = self.match_cursor_bracket = True

    def on_blur(self) -> None:
        self.show_cursor = self.match_cursor_bracket = False

    def on_paste(self, event: Paste) -> None:
        """What would block the screen for seconds is refused; typed in pieces it may still be long."""
        if len(event.text) > MAX_CHARACTERS:
            event.prevent_default()
            size = wording.size(len(event.text))
            self.notify(f"{size} are too much for the editor: save it as a sample", severity="warning", timeout=4)

    def begin(self, text: str, draft: Draft | None = None) -> None:
        """Puts a text into the editor, or what was made of it before, with all that can be undone there."""
        self.saved = text
        self.history = EditHistory(**HISTORY)
        self.load_text(draft.text if draft and draft.history else text)
        if draft and draft.history:
            self.history = draft.history
        elif draft:
            self.replace(draft.text, (0, 0), self.document.end)

    @property
    def draft(self) -> Draft | None:
        """What was made of the text that was put into the editor; None where it is as it was."""
        return Draft(self.text, self.history) if self.text != self.saved else None

    def check(self) -> str:
        """Looks whether the text is JSON and returns what `error` says now."""
        before = self._error_at
        self.error, self._error_at = "", None
        try:
            if self.is_json and self.text.strip():
                check_depth(self.text)
                json.loads(self.text)
        except json.JSONDecodeError as error:
            self._error_at = (error.lineno - 1, error.colno - 1)
            self.error = f"line {error.lineno}, column {error.colno}: {error.msg}"
        except ValueError as error:  # too deep, or a number of thousands of digits
            self.error = str(error)
        if before != self._error_at:
            self.notify_style_update()
        return self.error

    def get_line(self, line_index: int) -> Text:
        text = super().get_line(line_index)
        if self.is_json and len(text) <= COLOURED_CHARACTERS:
            self._colour(text)
        if self._error_at and self._error_at[0] == line_index:
            column = self._error_at[1]
            text.stylize(self._style("error"), max(0, min(column, len(text) - 1)), column + 1)
        return text

    def _colour(self, text: Text) -> None:
        styles = {name: self._style(name) for name in ("key", "string", "number", "word")}
        for match in _TOKEN.finditer(text.plain):
            kind = match.lastgroup or ""
            if kind in {"string", "colon"}:
                text.stylize(styles["key" if match["colon"] else "string"], match.start(), match.end("string"))
            else:
                text.stylize(styles[kind], match.start(), match.end())

    def _style(self, name: str) -> Style:
        # Foregrounds only: cursor line and selection keep their backgrounds.
        style = self.get_component_rich_style(f"json--{name}", partial=True)
        return Style(color=style.color, bold=style.bold, underline=style.underline)
