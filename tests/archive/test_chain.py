"""The chain from the sources to the loaded model: where it breaks first, and what fixes it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asteria_tui.archive.build import build, hash_of
from asteria_tui.archive.sources import collect
from asteria_tui.archive.stores import StoreLink, chain
from asteria_tui.config import ModelSettings, Project, Settings
from asteria_tui.events import Place, StoresCompared

PLACES: tuple[Place, ...] = ("source", "primary", "mirror", "mirror", "container", "server")


def links(hashes, **options):
    places = [
        (place, f"{place}{index}", StoreLink(path=Path(), exists=sha is not None, sha256=sha))
        for index, (place, sha) in enumerate(zip(PLACES, hashes, strict=True))
    ]
    return chain("m", places, **options)


def test_an_unbroken_chain():
    assert StoresCompared(links=links("aaaaaa")).first_broken is None


@pytest.mark.parametrize(
    ("hashes", "broken", "fix"),
    [
        ("baaaaa", 1, "asteria-tui package"),
        (("a", None, "a", "a", "a", "a"), 1, "asteria-tui package"),
        ("aabaaa", 2, "asteria-tui stores --sync"),
        (("a", "a", "a", None, "a", "a"), 3, "asteria-tui stores --sync"),
        ("aaaaba", 4, "asteria-tui restart"),
        ("aaaaab", 5, "asteria-tui up"),
        (("a", "a", "a", "a", "a", None), 5, "asteria-tui up"),
    ],
)
def test_the_first_broken_link_is_named_with_its_fix(hashes, broken, fix):
    found = StoresCompared(links=links(hashes)).first_broken
    assert found is not None
    assert (found.name, found.fix) == (f"{PLACES[broken]}{broken}", fix)


def test_a_container_that_is_filled_by_copying_is_mended_by_sync():
    found = StoresCompared(links=links("aaaaba", copies_in=True)).first_broken
    assert found is not None
    assert found.fix == "asteria-tui stores --sync"


@given(st.lists(st.sampled_from(["a", "b", None]), min_size=6, max_size=6))
def test_it_is_whole_exactly_when_all_hold_the_same(hashes):
    matches = StoresCompared(links=links(hashes)).first_broken is None
    assert matches == (len(set(hashes)) == 1 and hashes[0] is not None)


def test_the_hash_of_sources_is_that_of_the_archive(tmp_path):
    (tmp_path / "handler.py").write_text("def handle(data, context):\n    return data\n")
    sources = collect(Project(root=tmp_path, settings=Settings()), "m", ModelSettings(handler="handler.py"))
    assert hash_of(sources) == build(sources, tmp_path / "m.mar").sha256
