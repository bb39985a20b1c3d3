"""The longer texts of the screen."""

from __future__ import annotations

from asteria_tui.events import Predicted
from asteria_tui.tui.details import answer_text


def test_an_answer_of_bytes_is_shown_by_kind_size_and_head():
    png = b"\x89PNG\r\n\x1a\n" + bytes(1000)
    text = answer_text(Predicted(model="m", status=200, milliseconds=1.0, size=len(png), content=png))
    first, _, *rows = text.splitlines()
    assert first.startswith("PNG image, 1.0 kB, 89 50 4e 47")
    assert rows[0].startswith("00000000  89 50 4e 47 0d 0a 1a 0a")
    assert len(rows) == 16
