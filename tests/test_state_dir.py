"""Nothing below a state folder is believed: no link is followed, whatever it is that a name stands for."""

from __future__ import annotations

import os
import shutil
import socket
import time
from pathlib import Path

import pytest

from asteria_tui import state_dir
from asteria_tui.errors import ConfigError
from asteria_tui.state_dir import check, make_dir, make_link, open_file, read_file, remove, remove_partials, write_file


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_dir(tmp_path / ".asteria")


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    folder = tmp_path / "foreign"
    folder.mkdir()
    (folder / "file").write_text("theirs")
    return folder


def untouched(foreign: Path) -> bool:
    return [path.name for path in foreign.iterdir()] == ["file"] and (foreign / "file").read_text() == "theirs"


def test_a_link_of_a_file_is_replaced_and_its_target_stays(root: Path, foreign: Path):
    for name in ("written", "opened", "linked", "removed"):
        (root / name).symlink_to(foreign / "file")
    write_file(root, "written", b"ours")
    with open_file(root, "opened") as file:
        file.truncate(0)
        file.write(b"ours")
    make_link(root, "linked", "written")
    remove(root, "removed")
    assert untouched(foreign)
    assert [(root / name).read_text() for name in ("written", "opened", "linked")] == ["ours"] * 3
    assert not (root / "removed").is_symlink()


def test_another_name_of_a_foreign_file_is_not_written_through(root: Path, foreign: Path):
    os.link(foreign / "file", root / "lock")
    with open_file(root, "lock") as file:
        file.truncate(0)
    assert untouched(foreign)


def test_a_link_to_a_folder_is_not_gone_through(root: Path, foreign: Path):
    (root / "server").symlink_to(foreign)
    for use in (
        lambda: write_file(root, "server/file", b"ours"),
        lambda: open_file(root, "server/file"),
        lambda: read_file(root, "server/file"),
        lambda: make_link(root, "server/file", "x"),
        lambda: remove(root, "server/file"),
        lambda: make_dir(root, "server"),
        lambda: make_dir(root, "server/below"),
    ):
        with pytest.raises(OSError, match="is a link, and no link"):
            use()
    assert untouched(foreign)
    remove(root, "server")
    assert untouched(foreign)
    assert not (root / "server").is_symlink()


def test_a_folder_that_holds_links_is_removed_without_what_they_lead_to(root: Path, foreign: Path):
    make_dir(root, "history/run")
    (root / "history/run/link").symlink_to(foreign)
    remove(root, "history")
    assert untouched(foreign)
    assert not (root / "history").exists()
    remove(root, "history")


def test_only_regular_files_of_a_bounded_size_are_read(root: Path, foreign: Path):
    (root / "link").symlink_to(foreign / "file")
    os.mkfifo(root / "fifo")
    (root / "folder").mkdir()
    (root / "large").write_bytes(b"x" * 11)
    for name in ("link", "fifo", "folder", "large"):
        with pytest.raises(OSError, match=name):
            read_file(root, name, 10)
    assert read_file(root, "large", 11) == b"x" * 11


def test_a_fifo_or_socket_makes_way_for_a_file(root: Path, monkeypatch: pytest.MonkeyPatch):
    os.mkfifo(root / "fifo")
    monkeypatch.chdir(root)  # the path of a socket is short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        for name in ("fifo", "socket"):
            with open_file(root, name, is_appended=True) as file:
                file.write(b"ours")
            assert (root / name).read_bytes() == b"ours"


def test_what_is_there_already_becomes_private(root: Path):
    (root / "server").mkdir(mode=0o755)
    root.chmod(0o755)
    (root / "lock").touch(mode=0o644)
    (root / "state.json").touch(mode=0o644)
    make_dir(root, "server")
    open_file(root, "lock").close()
    write_file(root, "state.json", b"")
    modes = {path.name: path.stat().st_mode & 0o777 for path in (root, *root.iterdir())}
    assert modes == {".asteria": 0o700, "server": 0o700, "lock": 0o600, "state.json": 0o600}


def test_a_folder_of_another_user_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "getuid", lambda: root.stat().st_uid + 1)
    with pytest.raises(OSError, match="belongs to another user"):
        write_file(root, "file", b"")
    with pytest.raises(ConfigError, match="belongs to another user"):
        check(root)


def test_what_is_nested_too_deeply_is_an_error_of_the_system(root: Path, monkeypatch: pytest.MonkeyPatch):
    def overflow(*_: object, **__: object) -> None:
        raise RecursionError

    make_dir(root, "deep")
    monkeypatch.setattr(state_dir.shutil, "rmtree", overflow)
    with pytest.raises(OSError, match="nested too deeply"):
        remove(root, "deep")


@pytest.mark.parametrize("name", ["", "server", "history", "model_store"])
def test_a_project_whose_state_leads_elsewhere_is_refused(root: Path, foreign: Path, name: str):
    check(root)
    path = root / name
    shutil.rmtree(path, ignore_errors=True)
    path.symlink_to(foreign)
    with pytest.raises(ConfigError, match="is a link"):
        check(root)
    path.unlink()
    path.write_text("a file")
    with pytest.raises(ConfigError, match="is no folder"):
        check(root)


def test_current_logs_that_lead_out_of_the_history_are_refused(root: Path, foreign: Path):
    make_dir(root, "server")
    run = make_dir(root, "history/run")
    for target, is_fine in ((run, True), (root / "gone", True), (foreign, False), (run.parent, False)):
        make_link(root, "server/logs", str(target))
        if is_fine:
            check(root)
        else:
            with pytest.raises(ConfigError, match="leads out of"):
                check(root)


def test_what_a_killed_writer_left_goes_and_what_is_being_written_stays(root):
    for name, age in {".old.1.partial": 100, ".new.2.partial": 0, "mine.partial": 100, ".mine": 100}.items():
        (root / name).touch()
        os.utime(root / name, (time.time() - age,) * 2)
    remove_partials(root, older_than=60)
    assert {path.name for path in root.iterdir() if path.is_file()} >= {".new.2.partial", "mine.partial", ".mine"}
    assert not (root / ".old.1.partial").exists()
    remove_partials(root)
    assert not (root / ".new.2.partial").exists()
