from __future__ import annotations

import zlib

from hypothesis import given
from hypothesis import strategies as st

from asteria_tui.archive import crc


@given(st.binary(), st.binary())
def test_two_checksums_combine_to_that_of_the_whole(first, second):
    combined = crc.combine(zlib.crc32(first), zlib.crc32(second), len(second))
    assert combined == zlib.crc32(first + second)


def test_files_in_segments(tmp_path, monkeypatch):
    monkeypatch.setattr(crc, "SEGMENT", 1000)
    contents = [b"", b"x", bytes(1000), bytes(range(256)) * 20]
    paths = []
    for number, content in enumerate(contents):
        paths.append(tmp_path / str(number))
        paths[-1].write_bytes(content)
    seen = []

    checksums = crc.crc32_of(paths, [len(content) for content in contents], lambda *now: seen.append(now))

    assert checksums == [zlib.crc32(content) for content in contents]
    assert seen[-1] == (6121, 6121)
    assert seen == sorted(seen)
