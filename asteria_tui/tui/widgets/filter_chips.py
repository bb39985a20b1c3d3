"""What the log is filtered by, as words that change it when they are clicked."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal

from asteria_tui.events import Source
from asteria_tui.logs.filter import DEFAULT, EVERYTHING, Filter
from asteria_tui.tui.widgets.link import Link

SOURCES: tuple[tuple[str, frozenset[Source]], ...] = (
    ("requests", DEFAULT.sources),
    ("worker", frozenset({"worker"})),
    ("server", frozenset({"server", "console"})),
    ("access", frozenset({"access"})),
    ("metrics", frozenset({"metrics"})),
    ("all sources", EVERYTHING.sources),
)


class FilterChips(Horizontal):
    def compose(self) -> ComposeResult:
        for action in ("level", "source", "worker", "model", "filter", "find"):
            yield Link(action, "", id=f"chip-{action}")

    def show(self, filter_: Filter, found: str) -> None:
        """`found` is what is looked for among the rows."""
        pattern = text_of(filter_)
        chips = {
            "level": (bool(filter_.level), f"level ≥ {filter_.level}" if filter_.level else "level"),
            "source": (filter_.sources != DEFAULT.sources, source_name(filter_)),
            "worker": (bool(filter_.worker), filter_.worker or "worker"),
            "model": (bool(filter_.model), filter_.model or "model"),
            "filter": (bool(pattern), f"/{pattern}" if pattern else "filter"),
            "find": (bool(found), f"find {found}" if found else "find"),
        }
        for action, (is_set, text) in chips.items():
            chip = self.query_one(f"#chip-{action}", Link)
            chip.update(text)
            chip.set_class(is_set, "-set")


def text_of(filter_: Filter) -> str:
    """The text of a filter as one types it."""
    return filter_.grep or (f"!{filter_.not_}" if filter_.not_ else "")


def source_name(filter_: Filter) -> str:
    return next(name for name, sources in SOURCES if sources == filter_.sources)


def next_sources(filter_: Filter) -> frozenset[Source]:
    """The choice after the one that is set, round about."""
    names = [name for name, _ in SOURCES]
    return SOURCES[(names.index(source_name(filter_)) + 1) % len(SOURCES)][1]
