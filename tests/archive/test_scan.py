from __future__ import annotations

import contextlib
import io
import os
import pickle
import zipfile

import pytest
from hypothesis import example, given, seed, settings
from hypothesis import strategies as st

from asteria_tui.archive import budget
from asteria_tui.archive.inspect import inspect
from asteria_tui.archive.scan import scan
from asteria_tui.errors import ArchiveError


class Evil:
    def __reduce__(self):
        return os.system, ("touch /tmp/this-must-never-run",)


def zipped(members, method=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


@pytest.fixture
def scanned(tmp_path):
    def scan_members(members, method=zipfile.ZIP_STORED):
        path = tmp_path / "x.mar"
        path.write_bytes(zipped(members, method))
        return scan(path)

    return scan_members


EVIL = pickle.dumps(Evil())
HARMLESS = pickle.dumps({"weight": [1.0, 2.0]})


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("protocol", range(6))
def test_an_evil_pickle_in_a_pt_in_a_mar(scanned, method, protocol):
    weights = zipped({"archive/data.pkl": pickle.dumps(Evil(), protocol), "archive/data/0": bytes(4000)}, method)
    report = scanned({"weights.pt": weights, "handler.py": "x = 1"}, method)
    assert report.issues == 1
    [found] = report.dangerous
    assert found.member == "weights.pt/archive/data.pkl"
    assert found.name in {"posix.system", "nt.system"}
    assert not report.is_clean


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("weights.bin", EVIL),
        ("model.pkl", EVIL),
        ("no_suffix", EVIL),
        ("deep/in/directories.ckpt", EVIL),
        ("second.pkl", HARMLESS + EVIL),
        ("many.pkl", HARMLESS * 10 + EVIL),
        ("polyglot.pkl", EVIL + zipped({"harmless.txt": "x"})),
        ("broken.pkl", EVIL[:-1]),
        ("archive.zip", zipped({"inner.zip": zipped({"x.pkl": EVIL})})),
        ("large.pkl", pickle.dumps([bytes(10_000_000), Evil()])),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_wherever_it_hides(scanned, name, content):
    report = scanned({name: content})
    assert report.issues == 1
    assert [found.name for found in report.dangerous] == ["posix.system"]


def test_weights_of_torch_are_clean(scanned, torch):
    members = {}
    for name, options in ("new.pt", {}), ("old.pt", {"_use_new_zipfile_serialization": False}):
        file = io.BytesIO()
        torch.save({"a": torch.zeros(70_000), "b": torch.ones(3)}, file, **options)
        members[name] = file.getvalue()
    report = scanned(members)
    assert report.scanned == 2
    assert report.is_clean, report
    assert report.suspicious == ()


def test_a_class_of_ones_own_is_suspicious(scanned):
    report = scanned({"model.pkl": pickle.dumps(io.StringIO)})
    assert [found.name for found in report.suspicious] == ["_io.StringIO"]
    assert report.is_clean


def test_named_weights_are_scanned_whatever_their_name(scanned):
    manifest = '{"model": {"modelName": "m", "serializedFile": "weights.xyz"}}'
    weights = pickle.dumps(Evil(), 0)
    assert scanned({"weights.xyz": weights, "MAR-INF/MANIFEST.json": manifest}).issues == 1
    assert scanned({"weights.xyz": weights}).scanned == 0


def test_other_members_are_not_scanned(scanned):
    report = scanned({"handler.py": "import os", "README.md": "x", "empty.pt": b"", "index.json": "{}"})
    assert report.scanned == 0
    assert report.is_clean


def test_a_zip_bomb_is_not_unpacked(scanned):
    report = scanned({"weights.bin": bytes(50_000_000)}, zipfile.ZIP_DEFLATED)
    assert len(report.errors) == 1
    assert "not unpacked" in report.errors[0]


def test_a_nest_of_archives_has_an_end(scanned):
    nest = zipped({"x.pkl": EVIL})
    for _ in range(10):
        nest = zipped({"x.zip": nest})
    assert "too many archives" in scanned({"x.zip": nest}).errors[0]


def test_a_flood_of_opcodes_has_an_end(scanned, monkeypatch):
    monkeypatch.setattr(budget, "OPCODES", 10_000)
    report = scanned({"flood.pkl": b"\x80\x04" + b"N" * 100_000 + EVIL})
    assert "more opcodes" in report.errors[0]
    assert not report.is_clean


@pytest.mark.parametrize("content", [b"7z\xbc\xaf\x27\x1c" + bytes(30), b"PK\x03\x04" + bytes(100)], ids=["7z", "zip"])
def test_what_cannot_be_looked_into_is_said(scanned, content):
    report = scanned({"weights.pt": content})
    assert len(report.errors) == 1
    assert not report.is_clean


def test_the_log_of_picklescan_stays_silent(scanned, capfd):
    scanned({"weights.pt": EVIL})
    assert capfd.readouterr() == ("", "")


def test_progress_and_cancelling(tmp_path):
    path = tmp_path / "x.mar"
    path.write_bytes(zipped({"a.pkl": HARMLESS, "b.txt": bytes(100)}))
    seen = []
    scan(path, lambda *now: seen.append(now))
    assert seen[-1] == (len(HARMLESS) + 100,) * 2

    def cancel(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scan(path, cancel)


def test_no_archive_at_all(tmp_path):
    path = tmp_path / "x.mar"
    path.write_bytes(b"PK\x03\x04")
    with pytest.raises(ArchiveError, match="truncated or damaged"):
        scan(path)


@seed(11)
@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=8),
    st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]),
)
@example([(776, 0)], zipfile.ZIP_STORED)  # a member without a name
def test_a_damaged_archive_never_makes_another_error_than_ours(tmp_path_factory, changes, method):
    weights = zipped({"archive/data.pkl": EVIL, "archive/data/0": bytes(100)}, method)
    manifest = '{"model": {"modelName": "m", "handler": "h.py", "serializedFile": "weights.pt"}}'
    content = bytearray(
        zipped({"weights.pt": weights, "h.py": "def handle(): ...", "MAR-INF/MANIFEST.json": manifest}, method)
    )
    for position, value in changes:
        content[position % len(content)] = value
    path = tmp_path_factory.getbasetemp() / "damaged.mar"
    path.write_bytes(content)
    for look in scan, inspect:
        with contextlib.suppress(ArchiveError):
            assert look(path).path == path
