from __future__ import annotations

import json
import subprocess
import sys
import warnings
import zipfile

import pytest

from asteria_tui.archive.build import build
from asteria_tui.archive.inspect import READ_LIMIT, inspect
from asteria_tui.archive.official import build_official
from asteria_tui.archive.scan import scan
from asteria_tui.archive.sources import MANIFEST_NAME
from asteria_tui.errors import ArchiveError

FUNCTION = "def handle(data, context): ...\n"


def manifest(**model):
    return json.dumps({"runtime": "python", "model": {"modelName": "m", "handler": "h.py", **model}})


def made(tmp_path, members, method=zipfile.ZIP_DEFLATED):
    """A list, so that a name can come twice."""
    path = tmp_path / "foreign.mar"
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", method) as archive:
        warnings.simplefilter("ignore")
        for name, content in members:
            archive.writestr(name, content)
    return path


def test_an_archive_of_ours(workshop):
    built = build(workshop.collect(version="2"), workshop.root / "echo.mar")
    report = inspect(built.path)
    assert (report.sha256, report.size, len(report.members)) == (built.sha256, built.size, built.members)
    assert (report.model_name, report.version) == ("echo", "2")
    assert report.entry_point == "handler.py: class EchoHandler"
    assert report.warnings == ()
    assert report.members[0].name == "handler.py"
    assert report.members[0].is_stored


@pytest.mark.parametrize(
    ("handler", "entry_point"),
    [
        ("handler.py", "handler.py: class EchoHandler"),
        ("functions:answer", "functions.py: function answer"),
        ("text_classifier", "built-in text_classifier"),
    ],
)
def test_an_archive_of_the_official_tool(workshop, handler, entry_point):
    workshop.write("functions.py", "def answer(data, context): ...\n" + "#" * 1000)
    built = build_official(workshop.project, "echo", workshop.model(handler=handler), workshop.root / "echo.mar")
    report = inspect(built.path)
    assert report.entry_point == entry_point
    assert report.warnings == ()
    assert report.members[-1].name == MANIFEST_NAME
    assert not report.members[-1].is_stored


@pytest.mark.parametrize(
    ("members", "warning"),
    [
        ([("h.py", FUNCTION)], "there is no MAR-INF/MANIFEST.json"),
        ([(MANIFEST_NAME, "{")], "cannot be read"),
        ([(MANIFEST_NAME, "[" * 100_000)], "cannot be read"),
        ([(MANIFEST_NAME, "[]")], "is not a JSON object"),
        ([(MANIFEST_NAME, "{}")], "has no model"),
        ([(MANIFEST_NAME, " " * (READ_LIMIT + 1))], "larger than"),
        ([(MANIFEST_NAME, manifest())], "the handler h.py is not in the archive"),
        ([(MANIFEST_NAME, manifest(handler=7))], "names no handler"),
        (
            [(MANIFEST_NAME, manifest(serializedFile="w.pt")), ("h.py", FUNCTION)],
            "serializedFile w.pt, which is not",
        ),
        ([(MANIFEST_NAME, manifest()), ("h.py", "def f(:")], "h.py does not compile: h.py:1"),
        ([(MANIFEST_NAME, manifest()), ("h.py", "x = 1")], "holds no handler"),
        ([(MANIFEST_NAME, manifest()), ("h.py", "#" * (READ_LIMIT + 1))], "h.py cannot be read: larger than"),
        ([(MANIFEST_NAME, manifest()), ("h.py", FUNCTION), ("h.py", FUNCTION)], "h.py is there 2 times"),
        ([(MANIFEST_NAME, manifest()), ("h.py", FUNCTION), ("../evil.py", "x")], "'../evil.py' leads out"),
        ([(MANIFEST_NAME, manifest()), ("h.py", FUNCTION), ("/etc/evil", "x")], "'/etc/evil' leads out"),
        ([(MANIFEST_NAME, manifest()), ("h.py", FUNCTION), ("..\\evil", "x")], "leads out"),
        ([(MANIFEST_NAME, manifest()), ("h.py", FUNCTION), ("w.pt", bytes(4_000_000))], "a zip bomb?"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_wrong_is_said(tmp_path, members, warning):
    report = inspect(made(tmp_path, members))
    assert any(warning in text for text in report.warnings), report.warnings
    assert len(report.members) == len(members)


def test_a_symbolic_link_is_said(tmp_path):
    link = zipfile.ZipInfo("link")
    link.external_attr = 0o120777 << 16
    report = inspect(made(tmp_path, [(MANIFEST_NAME, manifest()), ("h.py", FUNCTION), (link, "/etc/passwd")]))
    assert report.warnings == ("link is a symbolic link",)


def test_a_damaged_manifest(tmp_path):
    path = made(tmp_path, [(MANIFEST_NAME, manifest())], zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes().replace(b"python", b"pyth0n", 1))
    assert "Bad CRC-32" in inspect(path).warnings[0]


@pytest.mark.parametrize(
    ("content", "title"),
    [
        (b"", "is not a .mar"),
        (b"hello, world", "is not a .mar"),
        (b"\x1f\x8b\x08\0", "gzip data, perhaps a model in .tar.gz form"),
        (b"PK\x03\x04" + bytes(100), "truncated or damaged"),
    ],
)
def test_no_archive_at_all(tmp_path, content, title):
    path = tmp_path / "x.mar"
    path.write_bytes(content)
    with pytest.raises(ArchiveError, match=title):
        inspect(path)


def test_a_truncated_archive_a_directory_and_nothing(tmp_path):
    path = made(tmp_path, [("h.py", FUNCTION * 100), (MANIFEST_NAME, manifest())])
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ArchiveError, match="truncated or damaged"):
        inspect(path)
    with pytest.raises(ArchiveError, match="a directory"):
        inspect(tmp_path)
    with pytest.raises(ArchiveError, match="cannot read"):
        inspect(tmp_path / "gone.mar")


def test_nothing_heavy_is_imported():
    code = (
        "import sys; import asteria_tui.archive.build, asteria_tui.archive.scan, asteria_tui.archive.official;"
        "print([n for n in ('model_archiver', 'picklescan', 'yaml', 'torch', 'numpy') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_manifest_of_other_types_than_the_archiver_writes(tmp_path):
    members = [
        (MANIFEST_NAME, manifest(modelName=["m"], modelVersion=3, serializedFile=["a"], handler={}, modelFile=1)),
        ("h.py", FUNCTION),
    ]
    report = inspect(made(tmp_path, members))
    assert (report.model_name, report.version, report.entry_point) == (None, "3", "")
    assert 'the serializedFile of the manifest is no text: ["a"]' in report.warnings
    assert "the modelFile of the manifest is no text: 1" in report.warnings
    assert scan(made(tmp_path, members)).issues == 0
