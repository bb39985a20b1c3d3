from __future__ import annotations

import tempfile

import pytest

from asteria_tui.archive.official import build_official
from asteria_tui.errors import ArchiveError


def test_the_tool_never_sees_our_temporary_directory(workshop, tmp_path, monkeypatch):
    """It deletes `<tmp>/<model name>`."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    precious = tmp_path / "echo/precious.txt"
    precious.parent.mkdir()
    precious.write_text("x")

    first = build_official(workshop.project, "echo", workshop.model(), workshop.root / "store/echo.mar")

    assert first.changed
    assert precious.exists()
    assert not list(tmp_path.glob("asteria-*"))


def test_its_last_line_is_the_error(workshop):
    target = workshop.write("store/echo.mar", "the one before")
    with pytest.raises(ArchiveError, match="torch-model-archiver failed") as caught:
        build_official(workshop.project, "echo", workshop.model(serialized_file="gone.pt"), target)
    assert caught.value.detail == "FileNotFoundError: [Errno 2] No such file or directory: 'gone.pt'"
    assert target.read_text() == "the one before"
    assert [path.name for path in target.parent.iterdir()] == ["echo.mar"]


def test_a_comma_in_a_name(workshop):
    workshop.write("a,b.txt")
    with pytest.raises(ArchiveError, match="commas"):
        build_official(
            workshop.project, "echo", workshop.model(extra_files=("a,b.txt",)), workshop.root / "store/echo.mar"
        )


def test_cancelling_ends_the_tool(workshop):
    workshop.write("weights.pt", bytes(range(256)) * 400_000)

    def cancel(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_official(
            workshop.project,
            "echo",
            workshop.model(serialized_file="weights.pt"),
            workshop.root / "echo.mar",
            cancel,
        )
    assert sorted(path.name for path in workshop.root.iterdir()) == ["handler.py", "weights.pt"]
