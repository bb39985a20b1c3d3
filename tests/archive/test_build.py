from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asteria_tui.archive import build as build_module
from asteria_tui.archive import files, layout
from asteria_tui.archive.build import build
from asteria_tui.archive.official import build_official
from asteria_tui.archive.sources import MANIFEST_NAME, Sources
from asteria_tui.errors import ArchiveError


def contents(path):
    """Every member by name; reading checks the CRC."""
    with zipfile.ZipFile(path) as archive:
        assert len(set(archive.namelist())) == len(archive.namelist())
        return {name: archive.read(name) for name in archive.namelist()}


def sources_of(members, **fields):
    return Sources(
        **{
            "name": "echo", "version": "1.0", "runtime": "python", "handler": "text_classifier", "entry_point": "",
            "serialized_file": None, "model_file": None, "requirements_file": None, "config_file": None,
            "members": tuple(sorted(members.items())),
        } | fields,
    )  # fmt: skip


PROJECTS = [
    {},
    {"handler": "handler", "version": "2.3-beta"},
    {"handler": "functions:answer", "extra_files": ("assets",)},
    {"handler": "functions.py:answer", "extra_files": ("assets/*", "tree/**/*.json")},
    {"handler": "image_classifier", "serialized_file": "w/weights.pt", "runtime": "python3"},
    {
        "serialized_file": "w/weights.pt", "model_file": "w/net.py", "requirements_file": "requirements.txt",
        "config_file": "model-config.yaml", "extra_files": ("assets", "tree/a/b/leaf.json", "ä.txt"),
    },
]  # fmt: skip


@pytest.mark.parametrize("chosen", PROJECTS, ids=range(len(PROJECTS)))
def test_ours_equals_the_official_archive_member_for_member(workshop, chosen):
    workshop.write("functions.py", "def answer(data, context):\n    return data\n")
    workshop.write("w/weights.pt", bytes(range(256)) * 1200)
    workshop.write("w/net.py", "class Net: ...\n")
    workshop.write("requirements.txt", "numpy\n")
    workshop.write("model-config.yaml", "minWorkers: 1\n")
    workshop.write("assets/vocabulary.txt", "a\nb\n")
    workshop.write("assets/deep/er/table.csv", "1,2\n")
    workshop.write("assets/deep/__pycache__/x.pyc", "no")
    workshop.write("assets/.hidden/x", "no")
    workshop.write("tree/a/b/leaf.json", "{}")
    workshop.write("ä.txt", "umlaut")
    model = workshop.model(**chosen)

    ours = build(workshop.collect(**chosen), workshop.root / "store/echo.mar")
    official = build_official(workshop.project, "echo", model, workshop.root / "official/echo.mar")

    mine, theirs = contents(ours.path), contents(official.path)
    my_manifest, their_manifest = json.loads(mine.pop(MANIFEST_NAME)), json.loads(theirs.pop(MANIFEST_NAME))
    assert mine == theirs
    assert my_manifest.pop("createdOn") == "01/01/1980 00:00:00"
    assert their_manifest.pop("createdOn")
    assert list(my_manifest) == list(their_manifest)
    assert my_manifest == their_manifest
    assert ours.members == official.members == len(mine) + 1


def test_the_same_sources_give_the_same_bytes(new_workshop):
    built = []
    for names, time in (["a.txt", "b.txt", "c.txt"], 0), (["c.txt", "a.txt", "b.txt"], 1_700_000_000):
        workshop = new_workshop()
        for name in names:
            os.utime(workshop.write(f"assets/{name}", name * 1000), (time, time))
        (workshop.root / "assets/a.txt").chmod(0o600 if time else 0o755)
        built.append(build(workshop.collect(extra_files=("assets",)), workshop.root / "echo.mar"))
    assert built[0].path.read_bytes() == built[1].path.read_bytes()
    assert built[0].sha256 == built[1].sha256


def test_the_report_is_what_lies_there(workshop):
    target = workshop.root / "store/echo.mar"
    workshop.write("weights.pt", bytes(3_000_000))
    seen = []

    built = build(workshop.collect(serialized_file="weights.pt"), target, lambda *now: seen.append(now))

    assert built.sha256 == hashlib.sha256(target.read_bytes()).hexdigest()
    assert built.size == target.stat().st_size
    assert (built.members, built.changed) == (3, True)
    assert seen == sorted(seen)
    assert seen[-1] == (seen[-1][1],) * 2
    with zipfile.ZipFile(target) as archive:
        assert archive.namelist() == ["handler.py", "weights.pt", MANIFEST_NAME]
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}


def test_an_equal_archive_is_not_touched_and_a_damaged_one_is_replaced(workshop):
    target = workshop.root / "echo.mar"
    first = build(workshop.collect(), target)
    os.utime(target, ns=(1, 1))

    second = build(workshop.collect(), target)
    assert (second.changed, second.sha256, target.stat().st_mtime_ns) == (False, first.sha256, 1)

    content = bytearray(target.read_bytes())
    content[60] ^= 1
    target.write_bytes(content)
    third = build(workshop.collect(), target)
    assert (third.changed, third.sha256) == (True, first.sha256)
    assert files.sha256_of(target) == first.sha256


names = st.lists(
    st.text(st.characters(exclude_characters="/\\\0:", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)
    .filter(lambda name: name not in {".", "..", "MAR-INF"}),
    min_size=1, max_size=3,
).map("/".join)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(names, st.binary(max_size=3000), max_size=8), st.integers(0, 3000))
def test_any_tree_of_files_is_read_back_by_zipfile(tmp_path_factory, tree, limit):
    """With a ZIP64 limit anywhere, so that every mixture of plain and ZIP64 fields is met."""
    directory = tmp_path_factory.mktemp("tree")
    members = {}
    for number, (name, content) in enumerate(tree.items()):
        members[name] = directory / str(number)
        members[name].write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "MAX_32", limit)
        patch.setattr(layout, "MAX_16", limit % 10 + 1)
        built = build(sources_of(members), directory / "echo.mar")

    found = contents(built.path)
    found.pop(MANIFEST_NAME)
    assert found == tree
    assert built.sha256 == files.sha256_of(built.path)


def test_more_members_than_a_plain_zip_can_count():
    entries = [layout.Entry(name=f"{number}", content=b"", size=0, crc=0) for number in range(0x10000)]
    with zipfile.ZipFile(io.BytesIO(b"".join(layout.lay_out(entries)))) as archive:
        assert len(archive.namelist()) == 0x10000
        assert archive.read("65535") == b""


def test_a_member_of_four_gigabytes_has_the_right_headers():
    """Not built, for time: the headers alone, read back by zipfile's own parser."""
    entries = [
        layout.Entry(name=name, content=b"", size=size, crc=7)
        for name, size in {"small": 10, "large": 5 << 30, "behind": 20}.items()
    ]
    pieces = layout.lay_out(entries)
    signature, _, flags, method, _, _, crc, size, compressed, name, extra = layout.LOCAL_HEADER.unpack_from(pieces[2])
    assert (signature, flags, method, crc, name, extra) == (b"PK\x03\x04", 0, 0, 7, 5, 20)
    assert size == compressed == 0xFFFFFFFF
    assert pieces[2][-16:] == (5 << 30).to_bytes(8, "little") * 2
    assert pieces[-1].count(b"PK\x06\x06") == pieces[-1].count(b"PK\x06\x07") == 1


def test_a_name_that_is_no_text(tmp_path):
    file = tmp_path / "x"
    file.write_bytes(b"x")
    with pytest.raises(ArchiveError, match="not valid UTF-8"):
        build(sources_of({"\udcff": file}), tmp_path / "echo.mar")


class CancelError(Exception):
    pass


@pytest.mark.parametrize("share", [0, 0.4, 0.6, 1], ids=["first CRC", "CRC", "hash", "last"])
def test_a_cancelled_build_leaves_the_archive_before(workshop, share):
    target = workshop.root / "store/echo.mar"
    before = build(workshop.collect(), target)
    workshop.write("weights.pt", bytes(4_000_000))

    def cancel(done, total):
        if done >= share * total:
            raise CancelError

    with pytest.raises(CancelError):
        build(workshop.collect(serialized_file="weights.pt"), target, cancel)
    assert [path.name for path in target.parent.iterdir()] == ["echo.mar"]
    assert files.sha256_of(target) == before.sha256


def test_what_a_killed_writer_left_is_removed_and_what_is_being_written_is_not(tmp_path):
    target = tmp_path / "echo.mar"
    killed = (
        "import os, pathlib, signal, sys\n"
        "from asteria_tui.archive.files import replacement\n"
        "with replacement(pathlib.Path(sys.argv[1])):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", killed, target], check=False).returncode == -signal.SIGKILL
    [abandoned] = tmp_path.iterdir()
    (tmp_path / ".notes.partial").touch()
    with files.replacement(target):
        files.remove_abandoned(tmp_path)
        assert not abandoned.exists()
    files.remove_abandoned(tmp_path / "nowhere")
    assert {path.name for path in tmp_path.iterdir()} == {"echo.mar", ".notes.partial"}


def test_a_partial_file_that_is_removed_before_it_is_locked(tmp_path, monkeypatch):
    flock, removed = files.fcntl.flock, []

    def remove_first(descriptor, operation):
        if not removed:
            removed.extend(tmp_path.iterdir())
            removed[0].unlink()
        flock(descriptor, operation)

    monkeypatch.setattr(files.fcntl, "flock", remove_first)
    with files.replacement(tmp_path / "echo.mar") as descriptor:
        os.write(descriptor, b"whole")
    assert (tmp_path / "echo.mar").read_bytes() == b"whole"


def test_a_source_that_changes_meanwhile(workshop):
    target = workshop.root / "store/echo.mar"
    weights = workshop.write("weights.pt", bytes(1_000_000))

    def change(done, total):
        if done == total:
            weights.write_bytes(bytes(1_000_001))

    with pytest.raises(ArchiveError, match=r"weights\.pt changed while it was packaged"):
        build(workshop.collect(serialized_file="weights.pt"), target, change)
    assert list(target.parent.iterdir()) == []


def test_a_source_that_vanishes(workshop):
    sources = workshop.collect()
    (workshop.root / "handler.py").unlink()
    with pytest.raises(ArchiveError, match=r"cannot read .*handler\.py"):
        build(sources, workshop.root / "echo.mar")
    assert list(workshop.root.iterdir()) == []


@pytest.fixture
def small_disk(tmp_path):
    """Two megabytes."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk]
    if os.geteuid() or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("mounting a tmpfs needs root")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_a_full_disk(workshop, small_disk):
    target = small_disk / "echo.mar"
    before = build(workshop.collect(), target)
    workshop.write("weights.pt", bytes(4_000_000))

    with pytest.raises(ArchiveError, match="cannot write") as caught:
        build(workshop.collect(serialized_file="weights.pt"), target)

    assert caught.value.detail == os.strerror(errno.ENOSPC)
    assert "free some space" in caught.value.hint
    assert [path.name for path in small_disk.iterdir()] == ["echo.mar"]
    assert files.sha256_of(target) == before.sha256


def test_a_read_only_store(workshop, small_disk):
    before = build(workshop.collect(), small_disk / "echo.mar")
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    workshop.write("handler.py", "def handle(data, context): ...\n")

    with pytest.raises(ArchiveError, match="cannot write") as caught:
        build(workshop.collect(), small_disk / "echo.mar")

    assert "read-only" in caught.value.hint
    assert files.sha256_of(small_disk / "echo.mar") == before.sha256


def test_a_store_that_is_a_file(workshop):
    workshop.write("store", "x")
    with pytest.raises(ArchiveError, match="cannot write"):
        build(workshop.collect(), workshop.root / "store/echo.mar")


def test_a_directory_where_the_archive_goes(workshop):
    (workshop.root / "echo.mar/x").mkdir(parents=True)
    with pytest.raises(ArchiveError, match="cannot write"):
        build(workshop.collect(), workshop.root / "echo.mar")
    assert sorted(path.name for path in workshop.root.iterdir()) == ["echo.mar", "handler.py"]


def test_a_linked_archive_stays_a_link(workshop):
    link = workshop.root / "echo.mar"
    link.symlink_to(workshop.root / "real.mar")
    built = build(workshop.collect(), link)
    assert link.is_symlink()
    assert files.sha256_of(workshop.root / "real.mar") == built.sha256


def test_the_mode_lets_another_user_read(workshop):
    old = os.umask(0o022)
    try:
        built = build(workshop.collect(), workshop.root / "echo.mar")
    finally:
        os.umask(old)
    assert built.path.stat().st_mode & 0o777 == 0o644


def test_the_manifest_of_the_settings(workshop):
    manifest = json.loads(build_module.manifest_of(workshop.collect(version="7")))
    assert manifest == {
        "createdOn": "01/01/1980 00:00:00",
        "runtime": "python",
        "model": {"modelName": "echo", "handler": "handler.py", "modelVersion": "7"},
        "archiverVersion": "0.12.0",
    }
