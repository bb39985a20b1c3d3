from __future__ import annotations

import hashlib

import pytest

from asteria_tui.archive import stores
from asteria_tui.archive.files import sha256_of
from asteria_tui.errors import ArchiveError


def test_a_copy_is_equal_and_a_changed_one_is_not(tmp_path):
    source = tmp_path / "a/echo.mar"
    source.parent.mkdir()
    source.write_bytes(b"x" * 300_000)
    seen = []

    sha256 = stores.copy(source, tmp_path / "b/echo.mar", lambda *now: seen.append(now))

    assert sha256 == hashlib.sha256(source.read_bytes()).hexdigest() == sha256_of(tmp_path / "b/echo.mar")
    assert seen[-1] == (300_000, 300_000)
    source.write_bytes(b"y")
    first, second, third = stores.compare([source, tmp_path / "b/echo.mar", tmp_path / "c/echo.mar"])
    assert first.sha256 != second.sha256 == sha256
    assert (first.size, second.size) == (1, 300_000)
    assert first.modified_at == source.stat().st_mtime
    assert (third.exists, third.sha256) == (False, None)


def test_a_cancelled_copy_leaves_what_was_there(tmp_path):
    source, target = tmp_path / "new.mar", tmp_path / "store/echo.mar"
    source.write_bytes(b"new")
    target.parent.mkdir()
    target.write_bytes(b"old")

    def cancel(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stores.copy(source, target, cancel)
    assert target.read_bytes() == b"old"
    assert [path.name for path in target.parent.iterdir()] == ["echo.mar"]


def test_a_source_that_is_not_there(tmp_path):
    with pytest.raises(ArchiveError, match="cannot read"):
        stores.copy(tmp_path / "gone.mar", tmp_path / "store/echo.mar")
    assert not (tmp_path / "store").exists()
