"""A small archive that was made to be large: one budget for all of it, then a refusal or a report that says so."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import time
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from asteria_tui.archive import budget as budget_module
from asteria_tui.archive.inspect import MAX_WARNING, MAX_WARNINGS, inspect
from asteria_tui.archive.scan import MAX_NAME, scan
from asteria_tui.archive.sources import MANIFEST_NAME
from asteria_tui.errors import ArchiveError

MANIFEST = json.dumps({"runtime": "python", "model": {"modelName": "m", "handler": "h.py"}})


@pytest.fixture
def written(tmp_path):
    def write(members, method=zipfile.ZIP_STORED):
        path = tmp_path / "x.mar"
        with zipfile.ZipFile(path, "w", method) as archive:
            for name, content in members:
                archive.writestr(name, content)
        return path

    return write


def crowd(count: int) -> bytes:
    """A zip file whose members are all the same empty one: 47 bytes each, and quick to make."""
    local = struct.pack("<4s5H3I2H", b"PK\x03\x04", 20, 0, 0, 0, 33, 0, 0, 0, 1, 0) + b"a"
    entry = struct.pack("<4s4B4HL2L5H2L", b"PK\x01\x02", 20, 0, 20, 0, 0, 0, 0, 33, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    directory = entry * count
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, len(directory), len(local), 0)
    return local + directory + end


def used(work) -> tuple[object, float, int]:
    """What it gives, the seconds of the processor, and the most memory that it took."""
    tracemalloc.start()
    begun = time.process_time()
    try:
        return work(), time.process_time() - begun, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("count", "said"), [(100_001, "more than 100,000 members"), (1_000_000, "than 32 MiB")])
def test_a_million_members_are_not_read(tmp_path, count, said):
    path = tmp_path / "crowd.mar"
    path.write_bytes(crowd(count))

    def look():
        for read in (inspect, scan):
            with pytest.raises(ArchiveError) as raised:
                read(path)
            assert said in f"{raised.value.title} {raised.value.detail}"

    _, seconds, memory = used(look)
    assert seconds < 2
    assert memory < 64 * 2**20


def test_a_crowd_within_an_archive(written):
    report = scan(written([("a.zip", crowd(100_001)), ("b.pkl", pickle.dumps(1))]))
    assert "a.zip: it holds more than 100,000 members" in report.errors
    assert report.scanned == 1
    crowds = [(f"{number}.zip", crowd(20_000)) for number in range(6)]
    report = scan(written(crowds))
    assert report.errors[-1] == "the rest was not looked at: more members than any weights have"


def test_marks_without_end(written, monkeypatch):
    monkeypatch.setattr(budget_module, "OPCODES", 300_000)
    marks = [(f"{number}.pkl", b"\x80\x04" + b"(" * (2**20 - 2)) for number in range(100)]
    path = written(marks, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 200_000
    report = scan(path)
    assert report.errors[-1] == "the rest was not looked at: more opcodes than any weights have"
    assert not report.is_clean
    assert report.scanned == 1


def test_imports_that_walk_back_without_end(written):
    walk = b"\x80\x04" + b"\x94" * 400_000 + (b"\x8c\x01a\x8c\x01b" + b"\x94" * 1000 + b"\x93") * 1000 + b"."
    begun = time.process_time()
    report = scan(written([("a.pkl", walk)]))
    assert "imports behind so many opcodes" in report.errors[-1]
    assert time.process_time() - begun < 10


def test_time_ends_it_too(written, monkeypatch):
    monkeypatch.setattr(budget_module, "SECONDS", 0.0)
    report = scan(written([("a.pkl", pickle.dumps(1))]))
    assert report.errors == ("the rest was not looked at: it took longer than 0 s",)


def test_what_is_unpacked_has_an_end(written, monkeypatch):
    monkeypatch.setattr(budget_module, "UNPACKED_ANYWAY", 2**20)
    same = os.urandom(2**12)
    members = [(f"{number}.bin", same + bytes(700_000)) for number in range(40)]
    report = scan(written(members, zipfile.ZIP_DEFLATED))
    assert "more bytes when unpacked" in report.errors[-1]


def test_ten_gigabytes_of_zeros_are_not_unpacked(tmp_path):
    """Written by hand: to deflate them takes a minute."""
    path = tmp_path / "zeros.mar"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("weights.pt", bytes(10**7))
    data = path.read_bytes().replace(struct.pack("<I", 10**7), struct.pack("<I", 4 * 10**9))
    path.write_bytes(data)
    report, seconds, memory = used(lambda: (inspect(path), scan(path)))
    assert "a zip bomb?" in report[0].warnings[0]
    assert "not unpacked" in report[1].errors[0]
    assert seconds < 2
    assert memory < 32 * 2**20


def test_only_a_regular_file_is_an_archive(tmp_path):
    os.mkfifo(tmp_path / "pipe.mar")
    for path in (tmp_path / "pipe.mar", Path("/dev/zero")):
        for look in (inspect, scan):
            with pytest.raises(ArchiveError, match="cannot read") as raised:
                look(path)
            assert "not a regular file" in raised.value.detail
    sparse = tmp_path / "sparse.mar"
    with sparse.open("wb") as file:
        file.write(b"PK\x03\x04")
        file.truncate(2**42)
    begun = time.monotonic()
    with pytest.raises(ArchiveError, match="truncated or damaged"):
        inspect(sparse)
    assert time.monotonic() - begun < 5


def test_names_made_to_mislead_are_one_short_line_each(written):
    names = ["../" + "x" * 60_000, "../a\nwarning      all is well", "../\x1b]0;title\x07\x9b31m", "../\u202egnp.exe"]
    names += [f"../{number}" for number in range(2 * MAX_WARNINGS)]
    report = inspect(written([(name, "") for name in names]))
    assert len(report.warnings) == MAX_WARNINGS + 1
    assert report.warnings[-1] == f"and {len(names) + 1 - MAX_WARNINGS} more warnings"
    assert all(text.isprintable() and len(text) < MAX_WARNING * 7 for text in report.warnings)


def test_a_manifest_of_surrogates_and_depth(written):
    manifest = '{"runtime": "\\ud800", "model": {"modelName": "\\udc80", "modelVersion": "1", "handler": "\\ud800:h"}}'
    report = inspect(written([(MANIFEST_NAME, manifest)]))
    assert all(text.isprintable() for text in report.warnings)
    for bad in ("[" * 500 + "]" * 500, "1" * 5000, "\xff"):
        report = inspect(written([(MANIFEST_NAME, f'{{"model": {bad}}}')]))
        assert "cannot be read" in report.warnings[0]


def test_findings_have_an_end(written):
    pickles = b"".join(b"c" + f"os\nf{number}{'x' * 1000}\n.".encode() for number in range(1500))
    report = scan(written([("a.pkl", pickles)]))
    assert report.issues == 1500
    assert len(report.dangerous) == 1000
    assert all(len(found.name) < MAX_NAME + 10 for found in report.dangerous)


def test_a_name_of_weights_in_a_member_is_cut_in_errors(written):
    report = scan(written([("x" * 60_000 + ".zip", b"PK\x03\x04")]))
    assert len(report.errors[0]) < 1000
    assert io.StringIO(report.errors[0]).readline() == report.errors[0]
