"""The borders between panels: moved by keys and by the mouse, kept as ratios so that they outlive a terminal's size."""

from __future__ import annotations

from typing import Literal, NamedTuple

import msgspec
from textual.css.scalar import Scalar, Unit
from textual.events import Click, MouseDown, MouseEvent, MouseMove, MouseUp
from textual.geometry import Region, Size
from textual.screen import Screen

from asteria_tui.tui.panels.panel import Panel
from asteria_tui.tui.preferences import Ratio, Sizes

Side = Literal["width", "height"]
WIDE, TALL, MEDIUM = 120, 20, 80
"""Columns and rows of the layouts in asteria.tcss."""


class Border(NamedTuple):
    before: str
    after: str
    side: Side
    """What of the two changes when it moves."""


BORDERS = {
    "left": Border("left", "right", "width"),
    "pipeline": Border("pipeline", "server", "height"),
    "logs": Border("logs", "request", "height"),
}
COLUMNS = {"pipeline": "left", "server": "left", "logs": "right", "request": "right"}


def borders_at(size: Size) -> frozenset[str]:
    """The borders that the layout for a terminal of that size has."""
    if size.width < MEDIUM or size.height < TALL:
        return frozenset()
    return frozenset(BORDERS) if size.width >= WIDE else frozenset({"logs"})


class MovableBorders(Screen[None]):
    """A screen of panels with borders between them."""

    sizes = Sizes()
    current: str
    """The panel whose borders the keys move."""
    _dragged: tuple[str, int] | None = None
    """A border, and how far beside it the mouse took hold of it."""

    @property
    def movable(self) -> frozenset[str]:
        """The borders that can be moved now."""
        return frozenset() if self.has_class("-zoomed") else borders_at(self.app.size)

    def border_of(self, panel: str, side: Side) -> str:
        """The border that makes a panel wider or higher; empty where there is none."""
        moved = {panel, COLUMNS[panel]}
        found = (name for name in self.movable if BORDERS[name].side == side and moved & set(BORDERS[name]))
        return next(found, "")

    def place_borders(self) -> None:
        """Gives every panel the size that the user chose, where the layout has that border."""
        for name, (before, after, side) in BORDERS.items():
            # A panel that has the screen for itself takes all of it whatever its share.
            is_there = name == "logs" or not MEDIUM <= self.app.size.width < WIDE
            ratio: Ratio | None = getattr(self.sizes, name) if is_there else None
            for id_, cells in zip((before, after), ratio or (None, None), strict=True):
                widget = self.query_one(f"#{id_}")
                wanted = Scalar(cells, Unit.FRACTION, Unit.HEIGHT) if cells else None
                if getattr(widget.styles.inline, side) != wanted:
                    setattr(widget.styles, side, wanted)
            self.query_one(f"#{before}").set_class(ratio is not None, "-sized")

    def move_border(self, name: str, by: int) -> None:
        """Moves a border right or down by so many cells, as far as there is room."""
        if name not in self.movable:
            return  # the terminal became smaller while it was dragged
        before, after = self._lengths(name)
        there = max(1, min(before + by, before + after - 1))
        self._set(name, (there, before + after - there))

    def grow(self, side: Side, by: int) -> None:
        """Makes the current panel wider or higher."""
        name = self.border_of(self.current, side)
        if name:
            is_before = BORDERS[name].before in {self.current, COLUMNS[self.current]}
            self.move_border(name, by if is_before else -by)

    def _set(self, name: str, ratio: Ratio | None) -> None:
        self.sizes = msgspec.structs.replace(self.sizes, **{name: ratio})
        self.place_borders()

    def _regions(self, name: str) -> tuple[Region, Region]:
        return self.query_one(f"#{BORDERS[name].before}").region, self.query_one(f"#{BORDERS[name].after}").region

    def _lengths(self, name: str) -> tuple[int, int]:
        before, after = self._regions(name)
        return (before.width, after.width) if BORDERS[name].side == "width" else (before.height, after.height)

    # -- keys ---------------------------------------------------------------------------------------------------

    def do_taller(self) -> None:
        self.grow("height", 2)

    def do_shorter(self) -> None:
        self.grow("height", -2)

    def do_wider(self) -> None:
        self.grow("width", 4)

    def do_narrower(self) -> None:
        self.grow("width", -4)

    def do_default_sizes(self) -> None:
        self.sizes = Sizes()
        self.place_borders()

    # -- the mouse ----------------------------------------------------------------------------------------------

    def on_mouse_down(self, event: MouseDown) -> None:
        name = self._border_under(event)
        if name:
            self.clear_selection()  # that Textual begins with every press
            self._dragged = name, self._beside(name, event)
            self.capture_mouse()

    def on_mouse_move(self, event: MouseMove) -> None:
        if self._dragged is not None:
            name, beside = self._dragged
            self.move_border(name, self._beside(name, event) - beside)

    def on_mouse_up(self, _: MouseUp) -> None:
        if self._dragged is not None:
            self._dragged = None
            self.release_mouse()

    def on_click(self, event: Click) -> None:
        name = self._border_under(event)
        if name and event.chain == 2:  # noqa: PLR2004 a double click
            self._set(name, None)

    def _border_under(self, event: MouseEvent) -> str:
        """The border that the mouse is on; empty when it is on none."""
        x, y = event.screen_offset
        if not self.movable or not isinstance(self.get_widget_at(x, y)[0], Panel):
            return ""
        for name in sorted(self.movable):
            before, after = self._regions(name)
            if self._beside(name, event) in {-1, 0} and before.union(after).contains(x, y):
                return name
        return ""

    def _beside(self, name: str, event: MouseEvent) -> int:
        """How many cells the mouse is right of a border, or below it; -1 is on it, too."""
        x, y = event.screen_offset
        _, after = self._regions(name)
        return x - after.x if BORDERS[name].side == "width" else y - after.y
