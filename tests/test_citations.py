"""Code cites documents of this repository only, and sections that they have."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

FOLDERS = ("asteria_tui", "tests", "handler", "model", "docs", ".ci", ".github")
TEXTS = {"", ".cfg", ".md", ".py", ".sh", ".tcss", ".toml", ".txt", ".yaml", ".yml"}
NOT_OURS = {"__pycache__", "samples"}
# Pages that are kept elsewhere, or not named.
ELSEWHERE = re.compile(r"facts/|\bfacts,? sections?\b|\(design,")
# `docs/torchserve.md section 0 item 3`, `… sections 1, 2 and 7`, `… sections 0 (all), 4 (logs)`, `… section 4, "Part"`.
NUMBER = r"(?:\d+|[A-Z])\b(?: \([^)]*\))?"
CITATION = re.compile(
    rf"docs/(?P<page>\w+)\.md sections? (?P<numbers>{NUMBER}(?:(?:, | and ){NUMBER})*)"
    r'(?: item (?P<item>\d+))?(?:, "(?P<part>[^"]+)")?'
)
PAGE = re.compile(r"\bdocs/\w+\.md\b")
SECTION = re.compile(r"\b[Ss]ections? (?:\d+|[A-Z]\b)")
# A bare section is that of another document, which is named before it.
FOREIGN = re.compile(r"(?:RFC \d+|YAML [\d.]+),? $")


def files() -> Iterator[Path]:
    for folder in FOLDERS:
        for file in sorted((ROOT / folder).rglob("*")):
            if file.is_file() and file.suffix in TEXTS and not NOT_OURS & set(file.parts):
                yield file
    for file in sorted(ROOT.iterdir()):
        if file.is_file() and file.suffix in TEXTS and file.name != "LICENSE" and not file.name.startswith("."):
            yield file


def unwrapped(text: str) -> str:
    """With each citation in one line, whether a comment, a docstring or a paragraph was broken within it."""
    return re.sub(r"\s+(?:# )?", " ", text)


def in_repository(file: Path) -> str:
    return str(file.relative_to(ROOT))


SOURCES = {
    in_repository(file): unwrapped(file.read_text(errors="replace")) for file in files() if file != Path(__file__)
}
CODE = {name: text for name, text in SOURCES.items() if not name.endswith(".md")}


def sections(page: str) -> dict[str, str]:
    """The text of each section of a document, by its number or letter."""
    parts = re.split(r"^## (\w+)\. ", (ROOT / "docs" / f"{page}.md").read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def missing(citation: re.Match[str]) -> str:
    """What the cited document lacks; empty if nothing."""
    if not (ROOT / "docs" / f"{citation['page']}.md").exists():
        return "the page"
    found = sections(citation["page"])
    numbers = re.findall(r"(?:^|, | and )(\d+|[A-Z])\b", citation["numbers"])
    if absent := [number for number in numbers if number not in found]:
        return "section " + ", ".join(absent)
    text = found[numbers[-1]]
    if citation["item"] and not re.search(rf"^{citation['item']}\. ", text, re.MULTILINE):
        return f"item {citation['item']}"
    if citation["part"] and not re.search(rf"^###+ {re.escape(citation['part'])}\b", text, re.MULTILINE):
        return f"the part {citation['part']!r}"
    return ""


def test_every_cited_section_is_in_the_document():
    wrong = [
        f"{name}: {citation[0]}: {lacks}"
        for name, text in SOURCES.items()
        for citation in CITATION.finditer(text)
        if (lacks := missing(citation))
    ]
    assert wrong == []


def test_every_cited_document_is_there():
    wrong = [
        f"{name}: {page}"
        for name, text in SOURCES.items()
        for page in PAGE.findall(text)
        if not (ROOT / page).exists() and not name.startswith("tests/")  # which make up projects with documents
    ]
    assert wrong == []


def test_code_names_the_document_of_each_section():
    wrong = []
    for name, text in CODE.items():
        cited = [range(*citation.span()) for citation in CITATION.finditer(text)]
        wrong += [
            f"{name}: …{text[max(0, found.start() - 40) : found.end()]}"
            for found in SECTION.finditer(text)
            if not any(found.start() in span for span in cited) and not FOREIGN.search(text[: found.start()])
        ]
    assert wrong == []


def test_nothing_cites_what_is_not_in_the_repository():
    wrong = [f"{name}: {found[0]}" for name, text in SOURCES.items() for found in ELSEWHERE.finditer(text)]
    assert wrong == []


def test_the_facts_are_numbered_without_a_gap():
    assert list(sections("torchserve")) == [str(number) for number in range(14)]


@pytest.mark.parametrize(
    ("citation", "lacks"),
    [
        ("docs/torchserve.md section 0 item 11", ""),
        ("docs/torchserve.md section 0 item 99", "item 99"),
        ("docs/torchserve.md sections 0 (all), 1 (tokens) and 98", "section 98"),
        ('docs/torchserve.md section 6, "Start failures"', ""),
        ('docs/torchserve.md section 6, "No such part"', "the part 'No such part'"),
        ("docs/performance.md section A", ""),
        ("docs/nowhere.md section 1", "the page"),
    ],
)
def test_what_counts_as_missing(citation: str, lacks: str):
    found = CITATION.fullmatch(citation)
    assert found is not None
    assert missing(found) == lacks
