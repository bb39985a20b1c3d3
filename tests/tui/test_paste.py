"""What is pasted is text: also with escape sequences in it, of which Textual would make keys, and keys are commands."""

from __future__ import annotations

import itertools

from hypothesis import given, seed
from hypothesis import strategies as st
from textual import events
from textual._xterm_parser import BRACKETED_PASTE_END, BRACKETED_PASTE_START

from asteria_tui.tui.terminal import PasteParser

PIECES = st.sampled_from(["lorem", "\x1b[31m", "\x1b", "s", "\x1b[201", "[201~", "\x1b[A", "ü", "~"])


def parsed(*parts: str) -> list[events.Event]:
    parser = PasteParser()
    return [event for part in parts for event in parser.feed(part)]


def test_coloured_text_is_pasted_without_its_escapes_and_presses_no_key():
    [pasted] = parsed(f"{BRACKETED_PASTE_START}a \x1b[31mred\x1b[0m s{BRACKETED_PASTE_END}")
    assert isinstance(pasted, events.Paste)
    assert pasted.text == "a [31mred[0m s"


def test_keys_before_and_after_are_keys():
    found = parsed(f"u{BRACKETED_PASTE_START}x{BRACKETED_PASTE_END}s", "\x1b[A")
    assert [getattr(event, "key", "paste") for event in found] == ["u", "paste", "s", "up"]


@seed(7)
@given(pieces=st.lists(PIECES, max_size=12), cuts=st.lists(st.integers(0, 80), max_size=6))
def test_in_whatever_parts_it_comes(pieces, cuts):
    text = "".join(pieces).replace(BRACKETED_PASTE_END, "")
    whole = f"{BRACKETED_PASTE_START}{text}{BRACKETED_PASTE_END}q"
    places = [0, *sorted({cut for cut in cuts if 0 < cut < len(whole)}), len(whole)]
    parts = [whole[begin:end] for begin, end in itertools.pairwise(places)]
    found = parsed(*parts)
    pasted = "".join(event.text for event in found if isinstance(event, events.Paste))
    assert pasted == text.replace("\x1b", "")
    assert [event.key for event in found if isinstance(event, events.Key)] == ["q"]
