"""Next and previous are the same wherever the search began, and nothing is skipped that was not searched yet."""

import re
from bisect import bisect_left, bisect_right

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asteria_tui.logs.filter import Filter
from asteria_tui.logs.find import Find, pattern_of
from asteria_tui.logs.rotated import RotatedLog

LINE = '{{"t":1790000000000,"l":"INFO","th":"main","lg":"x","m":"{}","x":""}}\n'


@given(
    texts=st.lists(st.sampled_from(["red", "green", "blue"]), min_size=1, max_size=300),
    place=st.floats(0, 1, exclude_max=True),
    steps=st.integers(0, 20),
    by=st.sampled_from([1, -1]),
    data=st.data(),
)
def test_the_next_match_is_the_nearest(tmp_path_factory, texts, place, steps, by, data):
    path = tmp_path_factory.mktemp("log") / "records.jsonl"
    path.write_text("".join(map(LINE.format, texts)))
    log = RotatedLog(path)
    start = log.first + int(place * len(texts))
    find = Find(log, Filter(not_="blue"), "r", size=100, line=start)
    for _ in range(steps):
        find.step()
    line = data.draw(st.integers(log.first, log.end - 1))
    early = find.next(line, by)
    while find.step():
        pass
    assert find.is_complete
    matches = [log.first + number for number, text in enumerate(texts) if text in {"red", "green"}]
    assert len(find) == len(matches)
    assert [find.number(match) for match in matches] == list(range(1, len(matches) + 1))
    place = bisect_right(matches, line) if by > 0 else bisect_left(matches, line) - 1
    wanted = (matches[place % len(matches)], not 0 <= place < len(matches)) if matches else None
    assert find.next(line, by) == wanted
    assert early in {None, wanted}
    log.close()


@pytest.mark.parametrize("text", ["request [", "*", "a(b", "C:\\", "+1", "(?a)(?u)", "a{99999999999}", "(" * 3_000])
def test_what_is_no_pattern_is_found_as_it_stands(text):
    assert re.search(pattern_of(text), f"it says {text} here")
    assert pattern_of(r"\d+ ms") == r"\d+ ms"
