"""The sources on disk, on a real file system with the real watchfiles: every way in which an editor writes."""

from __future__ import annotations

import asyncio
import os
import time

import pytest
import watchfiles

from asteria_tui.archive.build import hash_of
from asteria_tui.archive.sources import collect
from asteria_tui.config import load
from asteria_tui.dev import watch as room
from asteria_tui.dev.watch import source_changes

HANDLER = "def handle(data, context):\n    return data\n"
OTHER = "def handle(data, context):\n    return [1]\n"
ECHO = '[models.echo]\nhandler = "handler.py"\n'


class Watching:
    """What was reported of the sources of a project, as long as the block lasts."""

    def __init__(self, root, monkeypatch):
        self.root = root
        self.reports = []
        self.opened = []
        """What was watched, each time that the watch was opened."""
        self._news = asyncio.Event()
        self._monkeypatch = monkeypatch
        self.broken = None

    async def __aenter__(self):
        real = watchfiles.awatch

        async def awatch(*folders, **options):
            self.opened.append({folder.name for folder in folders})
            self._news.set()
            if self.broken is not None:
                raise self.broken
            async for changes in real(*folders, **options):
                yield changes

        self._monkeypatch.setattr(watchfiles, "awatch", awatch)
        self._task = asyncio.ensure_future(self._read())
        await self.until(lambda: self.reports and self.opened)
        return self

    async def __aexit__(self, *_):
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _read(self):
        async for states in source_changes(load(self.root)):
            self.reports.append(states)
            self._news.set()

    async def until(self, holds):
        async with asyncio.timeout(4):  # less than the look that is taken anyway
            while not holds():
                self._news.clear()
                await self._news.wait()

    @property
    def last(self):
        return {state.model: state for state in self.reports[-1]}

    async def next(self):
        """The state of echo in the next report."""
        seen = len(self.reports)
        await self.until(lambda: len(self.reports) > seen)
        return self.last["echo"]


@pytest.fixture
def root(tmp_path):
    (tmp_path / "asteria.toml").write_text(ECHO)
    (tmp_path / "handler.py").write_text(HANDLER)
    return tmp_path


@pytest.fixture
def watching(root, monkeypatch):
    return Watching(root, monkeypatch)


def sha256(root):
    project = load(root)
    return hash_of(collect(project, *project.model("echo")))


async def test_the_sources_as_they_are_at_once(watching, root):
    async with watching:
        state = watching.last["echo"]
        assert (state.sha256, state.error, state.newest) == (sha256(root), "", "handler.py")
        assert state.changed_at == pytest.approx((root / "handler.py").stat().st_mtime)
        assert watching.opened == [{root.name}]


async def test_an_edit_is_reported_in_a_moment(watching, root):
    async with watching:
        begun = time.monotonic()
        (root / "handler.py").write_text(OTHER)
        assert (await watching.next()).sha256 == sha256(root)
        assert time.monotonic() - begun < 1


async def test_an_editor_that_renames_a_new_file_over_the_old(watching, root):
    async with watching:
        before = watching.last["echo"].sha256
        (root / ".handler.py.swp").write_text(OTHER)
        (root / ".handler.py.swp").replace(root / "handler.py")
        state = await watching.next()
        assert state.sha256 == sha256(root) != before


async def test_a_file_that_goes_and_comes_back(watching, root):
    async with watching:
        before = watching.last["echo"].sha256
        (root / "handler.py").unlink()
        gone = await watching.next()
        assert (gone.sha256, gone.error) == ("", "handler.py does not exist")
        (root / "handler.py").write_text(HANDLER)
        back = await watching.next()
        assert (back.sha256, back.error) == (before, "")


async def test_a_folder_that_goes_and_comes_back(watching, root, monkeypatch):
    monkeypatch.setattr(room, "UNWATCHED_EVERY", 0.05)
    (root / "code").mkdir()
    (root / "handler.py").rename(root / "code" / "handler.py")
    (root / "asteria.toml").write_text(ECHO.replace("handler.py", "code/handler.py"))
    async with watching:
        before = watching.last["echo"].sha256
        (root / "code").rename(root / "away")
        assert (await watching.next()).error
        (root / "away").rename(root / "code")
        assert (await watching.next()).sha256 == before


async def test_code_that_does_not_parse(watching, root):
    async with watching:
        (root / "handler.py").write_text("def handle(data, context:\n")
        broken = await watching.next()
        assert broken.sha256 == ""
        assert broken.error
        (root / "handler.py").write_text(HANDLER)
        assert (await watching.next()).error == ""


async def test_a_new_file_in_a_folder_of_extra_files(watching, root):
    (root / "extra").mkdir()
    (root / "extra" / "one.txt").write_text("1")
    (root / "asteria.toml").write_text(ECHO + 'extra_files = ["extra"]\n')
    async with watching:
        assert watching.opened[-1] == {root.name, "extra"}
        (root / "extra" / "two.txt").write_text("2")
        state = await watching.next()
        assert (state.sha256, state.newest) == (sha256(root), "extra/two.txt")


async def test_a_new_folder_is_watched_too(watching, root):
    (root / "extra").mkdir()
    (root / "extra" / "one.txt").write_text("1")
    (root / "asteria.toml").write_text(ECHO + 'extra_files = ["extra"]\n')
    async with watching:
        (root / "deep").mkdir()
        (root / "deep" / "two.txt").write_text("2")
        (root / "deep").rename(root / "extra" / "deep")
        await watching.until(lambda: watching.opened[-1] == {root.name, "extra", "deep"})
        (root / "extra" / "deep" / "two.txt").write_text("three")
        await watching.until(lambda: watching.last["echo"].sha256 == sha256(root))


async def test_another_file_of_the_folder_is_no_news(watching, root):
    async with watching:
        reports = len(watching.reports)
        (root / "notes.txt").write_text("x")
        (root / "handler.py").write_text(OTHER)
        await watching.next()
        assert len(watching.reports) == reports + 1


async def test_each_model_by_its_own_files(watching, root):
    (root / "other.py").write_text(HANDLER)
    (root / "asteria.toml").write_text(ECHO + '[models.other]\nhandler = "other.py"\n')
    async with watching:
        before = watching.last
        (root / "other.py").write_text(OTHER)
        await watching.next()
        assert watching.last["echo"] == before["echo"]
        assert watching.last["other"].sha256 != before["other"].sha256


@pytest.mark.parametrize("folder", [".asteria", ".git", "venv/lib/site-packages", "node_modules", "env"])
async def test_what_is_never_watched(root, folder):
    (root / folder).mkdir(parents=True)
    if folder == "env":
        (root / folder / "pyvenv.cfg").touch()
    assert room._is_ignored(root / folder)
    assert not room._is_ignored(root)


async def test_sources_in_such_a_folder_are_looked_at_instead(watching, root, monkeypatch):
    monkeypatch.setattr(room, "UNWATCHED_EVERY", 0.02)
    (root / "node_modules").mkdir()
    (root / "handler.py").rename(root / "node_modules" / "handler.py")
    (root / "asteria.toml").write_text(ECHO.replace("handler.py", "node_modules/handler.py"))
    watching.opened.append(None)  # it never is
    async with watching:
        (root / "node_modules" / "handler.py").write_text(OTHER)
        assert (await watching.next()).sha256 == sha256(root)
        assert watching.opened == [None]


@pytest.mark.parametrize("error", [OSError(28, "OS file watch limit reached"), RuntimeError("out of watches")])
async def test_where_the_system_has_no_watches_left_it_is_looked_at(watching, root, monkeypatch, error):
    monkeypatch.setattr(room, "UNWATCHED_EVERY", 0.02)
    watching.broken = error
    async with watching:
        (root / "handler.py").write_text(OTHER)
        assert (await watching.next()).sha256 == sha256(root)
        # As soon as there are some again, it is watched.
        watching.broken = None
        opened = len(watching.opened)
        await watching.until(lambda: len(watching.opened) > opened)
        (root / "handler.py").write_text(HANDLER)
        assert (await watching.next()).sha256 == sha256(root)


async def test_only_what_differs_by_stat_is_hashed(root, monkeypatch):
    project = load(root)
    known = room._look(project, {})
    monkeypatch.setattr(room, "_hashes", lambda *_, **__: pytest.fail("hashed again"))
    assert room._look(project, known)["echo"] is known["echo"]


async def test_a_file_with_the_same_content_is_the_same_source(watching, root):
    async with watching:
        before = watching.last["echo"]
        os.utime(root / "handler.py", (before.changed_at + 5, before.changed_at + 5))
        state = await watching.next()
        assert (state.sha256, state.changed_at) == (before.sha256, pytest.approx(before.changed_at + 5))


async def test_it_ends_when_it_is_told_to(watching):
    begun = time.monotonic()
    async with watching:
        pass
    assert time.monotonic() - begun < 2
