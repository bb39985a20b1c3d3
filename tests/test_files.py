"""Small files: whole or not at all, and no link is followed."""

from __future__ import annotations

import os

import pytest

from asteria_tui.files import write_atomically


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_the_file_has_the_content_and_the_mode(tmp_path, mode):
    file = tmp_path / "state.json"
    file.write_text("old, and longer")
    file.chmod(0o666)
    write_atomically(file, b"new", mode)
    assert (file.read_bytes(), file.stat().st_mode & 0o777) == (b"new", mode & ~_umask())
    assert list(tmp_path.iterdir()) == [file]


def test_a_link_is_replaced_and_what_it_leads_to_stays(tmp_path):
    foreign, link = tmp_path / "foreign", tmp_path / "link"
    foreign.write_text("theirs")
    link.symlink_to(foreign)
    write_atomically(link, b"ours")
    assert (foreign.read_text(), link.read_text(), link.is_symlink()) == ("theirs", "ours", False)


def test_a_name_that_a_link_holds_already_is_not_written_through(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "urandom", lambda count: b"\0" * count)
    foreign = tmp_path / "foreign"
    (tmp_path / ".file.00000000.partial").symlink_to(foreign)
    with pytest.raises(FileExistsError):
        write_atomically(tmp_path / "file", b"ours")
    assert not foreign.exists()


def test_a_failure_leaves_nothing_behind(tmp_path):
    directory = tmp_path / "directory"
    (directory / "full").mkdir(parents=True)
    with pytest.raises(OSError, match="directory"):
        write_atomically(directory, b"data")
    assert list(tmp_path.iterdir()) == [directory]


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask
