"""Archives that are kept: by hash, bounded, and never believed unseen."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import pytest

from asteria_tui.archive import kept
from asteria_tui.archive.files import remove_abandoned
from asteria_tui.config import Project, Settings
from asteria_tui.errors import ArchiveError


@pytest.fixture
def project(tmp_path):
    (tmp_path / "model_store").mkdir()
    (tmp_path / ".asteria").mkdir()
    return Project(root=tmp_path, settings=Settings())


def names(directory: Path) -> list[str]:
    return [file.name for file in directory.iterdir()]


def store(project, content: bytes) -> str:
    """A new file under the same name, as an archive is put there."""
    file = project.primary_store / "m.mar"
    file.unlink(missing_ok=True)
    file.write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    kept.keep(project, "m", file, sha256)
    return sha256


def test_the_same_file_while_it_lies_in_the_store(project):
    sha256 = store(project, b"one")
    assert (project.primary_store / "m.mar").samefile(project.state_dir / f"archives/m/{sha256}.mar")
    with kept.in_store(project, "m", "m.mar", sha256) as name:
        assert name == "m.mar"


def test_one_that_is_not_in_the_store_any_more_is_lent(project):
    old = store(project, b"one")
    store(project, b"two")
    with kept.in_store(project, "m", "m.mar", old) as name:
        assert (project.primary_store / name).read_bytes() == b"one"
        assert name.startswith(".m.mar.")
        assert name.endswith(".mar")
    assert names(project.primary_store) == ["m.mar"]


def test_what_a_killed_run_left_in_the_store_is_removed(project):
    (project.primary_store / ".m.mar.01234567.partial.mar").write_bytes(b"one")
    remove_abandoned(project.primary_store)
    assert names(project.primary_store) == []


def test_the_last_few_of_each_model(project):
    for number in range(5):
        sha256 = store(project, bytes([number]))
        os.utime(project.primary_store / "m.mar", (number, number))
    assert len(names(project.state_dir / "archives/m")) == kept.KEPT
    assert kept.is_kept(project, "m", sha256)


def test_nothing_of_a_model_that_is_gone_or_of_a_killed_run(project, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    sha256 = store(project, b"one")
    archives = project.state_dir / "archives"
    (archives / "gone").mkdir()
    (archives / "gone" / "0.mar").write_bytes(b"old")
    (archives / "link").symlink_to(elsewhere)
    (archives / "m" / ".0.mar.01234567.partial").write_bytes(b"half")
    kept.forget_others(project, {"m"})
    store(project, b"two")
    assert names(archives) == ["m"]
    assert f"{sha256}.mar" in names(archives / "m")
    assert not [name for name in names(archives / "m") if name.endswith("partial")]
    assert elsewhere.is_dir()


def test_one_that_was_changed_or_is_not_there_is_refused(project):
    old = store(project, b"one")
    (project.primary_store / "m.mar").write_bytes(b"in place")  # so what is kept has changed too
    for sha256 in (old, "0" * 64):
        with pytest.raises(ArchiveError, match="not kept any more"), kept.in_store(project, "m", "m.mar", sha256):
            pass


@pytest.mark.parametrize("link", ["archives", "archives/m"])
def test_no_link_is_followed(project, tmp_path_factory, link):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "precious.mar").write_bytes(b"precious")
    path = project.state_dir / link
    path.parent.mkdir(exist_ok=True)
    path.symlink_to(elsewhere)
    with pytest.raises(ArchiveError, match="is a link"):
        store(project, b"one")
    assert names(elsewhere) == ["precious.mar"]


def test_nor_one_in_the_place_of_an_archive(project, tmp_path, monkeypatch):
    sha256 = hashlib.sha256(b"one").hexdigest()
    kept_file = project.state_dir / f"archives/m/{sha256}.mar"
    kept_file.parent.mkdir(parents=True)
    kept_file.symlink_to(tmp_path / "elsewhere")

    def cross_device(source: Path, target: Path) -> None:
        raise OSError(errno.EXDEV, "another disk")

    monkeypatch.setattr(os, "link", cross_device)
    assert store(project, b"one") == sha256
    assert (kept_file.read_bytes(), kept_file.is_symlink()) == (b"one", False)
    assert not (tmp_path / "elsewhere").exists()
