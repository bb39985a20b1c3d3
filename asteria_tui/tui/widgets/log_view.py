"""Millions of rows in one widget: it reads and renders the visible ones only."""

from __future__ import annotations

from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.selection import Selection
from textual.strip import Strip

from asteria_tui.events import LogRecord
from asteria_tui.logs.pattern import spans
from asteria_tui.logs.requests import RequestFold
from asteria_tui.logs.rows import Change, LogRows
from asteria_tui.tui.widgets.log_line import GLYPH_AT, columns, fold_marks, level_of

MAX_SELECTED = 20_000
"""Rows that one mouse selection copies."""


class LogView(ScrollView, can_focus=True):
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "log--time", "log--origin", "log--info", "log--debug", "log--warn", "log--error", "log--cursor", "log--match",
        "log--current",
    }  # fmt: skip
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", show=False),
        Binding("down", "move(1)", show=False),
        Binding("pageup,ctrl+u", "page(-1)", show=False),
        Binding("pagedown,ctrl+d", "page(1)", show=False),
        Binding("home,g", "first", show=False),
        Binding("end,G", "last", show=False),
        Binding("enter", "open", show=False),
        Binding("space", "fold", show=False),
        Binding("right", "right", show=False),
        Binding("left", "left", show=False),
    ]
    ALLOW_SELECT = True

    class Opened(Message):
        """Enter on a row."""

        def __init__(self, record: LogRecord, traceback: str, *, is_head: bool) -> None:
            """`traceback` is the one that the record lies in; `is_head` whether its row stands for all of it."""
            super().__init__()
            self.record = record
            self.traceback = traceback
            self.is_head = is_head

    class FollowChanged(Message):
        """The reader left the end, or came back to it."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002 Textual's name
        super().__init__(id=id, classes=classes)
        self.rows: LogRows | None = None
        self.is_following = True
        self.wants_follow = True
        """What the reader chose, and what a new log begins with; scrolling is no choice."""
        self.wrap = False
        self.cursor = 0
        self.missed = 0
        """Rows that came while the reader was elsewhere."""
        self.pattern = ""
        """What is marked in the text."""
        self.is_finding = False
        """Whether the cursor stands on a match, so that it is shown while the text is typed, too."""
        self._is_ours = False
        self._is_placed = True
        self._widest = 0
        self._styles: dict[str, Style] = {}
        self._plain_style = self._cursor_style = Style()
        self._placed: dict[int, tuple[int, int]] = {}
        self._line_width = 0

    # -- what there is ------------------------------------------------------------------------------------------

    def show(self, rows: LogRows | None) -> None:
        self.rows = rows
        self.missed = 0
        self._widest = 0
        self.cursor = max(0, len(rows) - 1) if rows else 0
        self.apply(Change(is_new=True))

    def apply(self, change: Change) -> None:
        """Adapts to what a refresh of the rows brought."""
        count = len(self.rows) if self.rows else 0
        if change.is_new:
            self.missed, self.is_following, self._is_placed = 0, self.wants_follow, self._room > 0
        self.cursor = max(0, min(self.cursor + change.before, count - 1))
        if not self.is_following:
            self.missed += change.after
        self._fit()
        if self.is_following or change.is_new:
            self.cursor = max(0, count - 1)
            self._go(self.max_scroll_y)
        elif change.before:
            self._go(round(self.scroll_y) + change.before)
        self.refresh()

    def set_follow(self, follow: bool) -> None:
        self.is_following = follow
        if follow:
            self.missed = 0
            self.apply(Change())
        self.post_message(self.FollowChanged())

    def set_wrap(self, wrap: bool) -> None:
        self.wrap = wrap
        self.scroll_x = 0
        self.apply(Change())

    def go_to(self, row: int, *, is_far: bool = False) -> None:
        """Puts the cursor there and the row on the screen; into its middle if it is far from what one read before."""
        count = len(self.rows) if self.rows else 0
        self.cursor = max(0, min(row, count - 1))
        is_last = self.cursor >= count - 1
        if is_last != self.is_following:
            self.set_follow(is_last)
        height = self._room
        top = round(self.scroll_y)
        if is_far and not top <= self.cursor < top + height:
            self._go(self.cursor - height // 2)
        elif self.cursor < top:
            self._go(self.cursor)
        elif self.cursor >= top + (height if not self.wrap else self._fitting(top)):
            fitting = self._fitting_above(self.cursor) if self.wrap else height
            self._go(self.cursor - fitting + 1)
        self.refresh()

    @property
    def current(self) -> LogRecord | None:
        """The record under the cursor, or the whole traceback that is folded there."""
        if self.rows is None or not 0 <= self.cursor < len(self.rows):
            return None
        return self.rows.full_record(self.cursor)

    # -- keys and mouse -----------------------------------------------------------------------------------------

    def action_move(self, by: int) -> None:
        self.go_to(self.cursor + by)

    def action_page(self, by: int) -> None:
        self.go_to(self.cursor + by * max(1, self._room - 1))

    def action_first(self) -> None:
        self.go_to(0)

    def action_last(self) -> None:
        self.set_follow(True)

    def action_open(self) -> None:
        record = self.current
        if self.rows is not None and record is not None:
            is_head = self.rows.fold(self.cursor) is not None
            self.post_message(self.Opened(record, self.rows.traceback(self.cursor), is_head=is_head))

    def action_fold(self) -> None:
        """Folds the traceback under the cursor, or unfolds it."""
        row = self.rows.toggle(self.cursor) if self.rows is not None and self.current is not None else None
        if row is None:
            return
        self.cursor = row
        if self.is_following:
            self.set_follow(False)
        self.apply(Change())
        self.go_to(row)

    def action_right(self) -> None:
        """Unfolds a traceback, else scrolls."""
        if self._is_folded(folded=True):
            self.action_fold()
        else:
            self.action_scroll_right()

    def action_left(self) -> None:
        """Scrolls back, then folds the traceback that the cursor is in."""
        if not self.scroll_x and self._is_folded(folded=False):
            self.action_fold()
        else:
            self.action_scroll_left()

    def _is_folded(self, *, folded: bool) -> bool:
        """Whether the cursor stands on a traceback that is folded, or inside of one that is not."""
        if self.rows is None or self.current is None:
            return False
        fold = self.rows.fold(self.cursor) if folded else self.rows.fold_around(self.cursor)
        return fold is not None and fold.is_folded == folded

    def on_click(self, event: events.Click) -> None:
        place = self._places().get(event.y - self.gutter.top)
        if place is None or self.rows is None:
            return
        row, piece = place
        if event.chain > 1 and row == self.cursor:
            self.action_open()
            return
        self.cursor = row
        if self.is_following and row < len(self.rows) - 1:
            self.set_follow(False)
        self.refresh()
        if (
            not piece
            and self.rows.fold(row) is not None
            and 0 <= event.x - self.gutter.left + self.scroll_x - GLYPH_AT <= 1
        ):
            self.action_fold()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        if self._is_ours or round(old_value) == round(new_value):
            return
        # The reader moved: away from the end that is no following, back at the end it is again.
        at_end = new_value >= self.max_scroll_y
        if at_end != self.is_following:
            self.set_follow(at_end)

    def on_resize(self, _: events.Resize) -> None:
        self.apply(Change(is_new=not self._is_placed))

    def notify_style_update(self) -> None:
        self._styles.clear()
        super().notify_style_update()

    # -- selection ----------------------------------------------------------------------------------------------

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        if self.rows is None:
            return None
        first = selection.start.y if selection.start else 0
        last = selection.end.y if selection.end else len(self.rows) - 1
        last = min(last, len(self.rows) - 1, first + MAX_SELECTED)
        lines = [self._plain(row) for row in range(first, last + 1)]
        if not lines:
            return None
        # A row that stands for a traceback is copied whole: it is drawn otherwise than copied.
        if selection.end is not None and last == selection.end.y and self.rows.fold(last) is None:
            lines[-1] = lines[-1][: selection.end.x]
        if selection.start is not None and self.rows.fold(first) is None:
            lines[0] = lines[0][selection.start.x :]
        return "\n".join(lines), "\n"

    def selection_updated(self, selection: Selection | None) -> None:  # noqa: ARG002 Textual's signature
        self.refresh()

    # -- rendering ----------------------------------------------------------------------------------------------

    def render_lines(self, crop: Region) -> list[Strip]:
        # What all lines have in common is looked up once: Textual works styles out anew each time.
        self._plain_style = self.rich_style
        has_cursor = self.has_focus or self.is_finding
        self._cursor_style = self._plain_style + self._style("cursor") if has_cursor else self._plain_style
        self._placed = self._places()
        self._line_width = self.scrollable_content_region.width
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        width = self._line_width
        place = self._placed.get(y)
        if place is None:
            return Strip.blank(width, self._plain_style)
        row, piece = place
        left = piece * width if self.wrap else round(self.scroll_x)
        return self._strip(row).crop_extend(left, left + width, self._base(row)).apply_offsets(left, row)

    @property
    def _room(self) -> int:
        return self.scrollable_content_region.height

    def _places(self) -> dict[int, tuple[int, int]]:
        """Which row, and which piece of it, stands on each line of the screen."""
        count = len(self.rows) if self.rows else 0
        top = round(self.scroll_y)
        if not self.wrap:
            return {y: (top + y, 0) for y in range(self._room) if top + y < count}
        places: dict[int, tuple[int, int]] = {}
        row = top
        while len(places) < self._room and row < count:
            for piece in range(self._pieces(row)):
                places[len(places)] = (row, piece)
            row += 1
        return places

    def _pieces(self, row: int) -> int:
        width = max(1, self.scrollable_content_region.width)
        return max(1, -(-self._strip(row).cell_length // width))

    def _fitting(self, top: int) -> int:
        """Rows that fit on the screen from `top` on, when wrapped."""
        shown = {row for row, _ in list(self._places().values())}
        return max(1, len(shown)) if top == round(self.scroll_y) else 1

    def _fitting_above(self, last: int) -> int:
        """Rows that fit on the screen when `last` stands at its end, when wrapped."""
        room, fitting = self._room, 0
        while last - fitting >= 0 and room > 0:
            room -= self._pieces(last - fitting)
            fitting += room >= 0
        return max(1, fitting)

    def _fit(self) -> None:
        """Adapts the scroll bars; a layout of the whole screen only when one of them comes or goes."""
        count = len(self.rows) if self.rows else 0
        height = count
        if self.wrap and count:
            height = count + self._room - self._fitting_above(count - 1)
        size = Size(0 if self.wrap else self._widest, height)
        if size == self.virtual_size:
            return
        if (size.height > self._room) != self.show_vertical_scrollbar:
            self.virtual_size = size
            return
        self.set_reactive(LogView.virtual_size, size)
        if self.show_vertical_scrollbar:
            self.vertical_scrollbar.window_virtual_size = size.height

    def _go(self, row: float) -> None:
        self._is_ours = True
        self.scroll_to(y=max(0, row), animate=False, immediate=True)
        self._is_ours = False

    def _strip(self, row: int) -> Strip:
        if self.rows is None:
            return Strip.blank(0)
        record = self.rows.record(row)
        base = self._base(row)
        level = level_of(record)
        fold = self.rows.fold(row)
        time_, level_name, origin, text = columns(record)
        mark, count = fold_marks(fold)
        is_traceback = fold is not None and not isinstance(fold, RequestFold)
        segments = [
            Segment(time_, base + self._style("time")),
            # Most are of this level: what is written matters more.
            Segment(level_name, base + self._style("origin" if level == "info" else level)),
            Segment(origin + mark, base + self._style("origin")),
            *self._marked(row, text, base + self._style("error" if is_traceback else level)),
            Segment(count, base + self._style("time")),
        ]
        selection = self.text_selection
        span = selection.get_span(row) if selection is not None else None
        strip = Strip(segments)
        if span is not None:
            strip = self._selected(strip, *span)
        if strip.cell_length > self._widest:
            self._widest = strip.cell_length
            if not self.wrap:
                self.call_after_refresh(self._fit)
        return strip

    def _selected(self, strip: Strip, start: int, end: int) -> Strip:
        style = Style(bgcolor=self.screen.get_component_rich_style("screen--selection").bgcolor)
        end = strip.cell_length if end == -1 else min(end, strip.cell_length)
        start = min(start, end)
        before, chosen, after = strip.divide([start, end, strip.cell_length])
        return Strip.join([before, Strip(Segment.apply_style(chosen, post_style=style)), after])

    def _marked(self, row: int, text: str, style: Style) -> list[Segment]:
        """What is searched for, that of the row that one has come to in a colour of its own."""
        mark = style + self._style("current" if self.is_finding and row == self.cursor else "match")
        segments, at = [], 0
        for start, end in spans(self.pattern, text) if self.pattern else ():
            segments += [Segment(text[at:start], style), Segment(text[start:end], mark)]
            at = end
        return [*segments, Segment(text[at:], style)]

    def _plain(self, row: int) -> str:
        """The row as it is copied: of a traceback that is folded all lines."""
        if self.rows is None:
            return ""
        *others, text = columns(self.rows.record(row))
        is_folded = (fold := self.rows.fold(row)) is not None and fold.is_folded
        return "".join([*others, self.rows.full_record(row).text if is_folded else text])

    def _base(self, row: int) -> Style:
        return self._cursor_style if row == self.cursor else self._plain_style

    def _style(self, name: str) -> Style:
        found = self._styles.get(name)
        if found is None:
            # Whole, so that transparent colours are mixed with the background; then without the background.
            whole = self.get_component_rich_style(f"log--{name}")
            background = whole.bgcolor if name in {"cursor", "match", "current"} else None
            found = Style(color=whole.color if name != "cursor" else None, bgcolor=background, bold=whole.bold)
            self._styles[name] = found
        return found
