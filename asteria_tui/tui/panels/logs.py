"""Panel 3: what the server says, filtered, followed, searched, and its causes."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from typing import ClassVar

import msgspec
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from asteria_tui import wording
from asteria_tui.errors import ConfigError, TargetError
from asteria_tui.events import Cause, LogRecord, Source
from asteria_tui.logs.filter import Filter
from asteria_tui.logs.history import shown_log
from asteria_tui.session import Session
from asteria_tui.state import State
from asteria_tui.tui.actions import bindings
from asteria_tui.tui.log_rows import LogRows
from asteria_tui.tui.panels.panel import Panel
from asteria_tui.tui.widgets.link import Link
from asteria_tui.tui.widgets.log_view import LogView

LOOK_BUSY = 0.02
"""Seconds between two looks while one did not see all: keys and other work come in between."""
LOOK_EVERY = 0.1
"""Seconds between two looks at a file that grows: the longest that a line waits."""
QUIET_AFTER = 10
"""Looks that brought nothing, after which they come seldom."""
LOOK_IDLE = 0.5
"""The same while nothing comes."""
CAUSES_EVERY = 1.0
"""Seconds between two readings of the causes; they are read by a thread."""
LEVELS = ("", "info", "warn", "error")
CHOICES: tuple[tuple[str, frozenset[Source]], ...] = (
    ("no metrics", frozenset({"server", "worker", "access", "console"})),
    ("worker", frozenset({"worker"})),
    ("server", frozenset({"server", "console"})),
    ("access", frozenset({"access"})),
    ("metrics", frozenset({"metrics"})),
    ("all sources", frozenset()),
)
DEFAULT = Filter(sources=CHOICES[0][1])
"""Metrics are most of the lines and the least of what one reads."""


class LogsPanel(Panel):
    NUMBER = 3
    TITLE = "Logs"
    HELP = (
        "Every record of the server and its workers, those of the older parts of the file too. {filter} filters by "
        "text or regular expression, a leading ! inverts it; {level}, {source}, {worker} and {model} choose level, "
        "source, worker and model. Scrolling up stops following, {follow} or End takes it up again. {causes} shows "
        "each traceback once, as the exception it began with, at the line of your file. Enter opens what is under the "
        "cursor; {copy} copies it; the mouse selects."
    )
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("logs")]

    class CauseOpened(Message):
        def __init__(self, cause: Cause) -> None:
            super().__init__()
            self.cause = cause

    def __init__(self, session: Session, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, classes=classes)
        self.session = session
        self.filter = DEFAULT
        self.view = LogView(id="log", classes="takes-focus")
        self._empty = Static(id="logs-empty", markup=False)
        self.rows: LogRows | None = None
        self.causes: tuple[Cause, ...] = ()
        self._known: tuple[tuple[str, str], ...] = ()
        self._workers: tuple[str, ...] = ()
        self._causes_at = 0.0
        self._unshown = 0
        """Rows at the end that the view was not told of yet."""
        self._shown_at = 0.0
        self._wakes = asyncio.Event()
        self._is_replaced = False

    def compose(self) -> ComposeResult:
        yield self._empty
        yield self.view
        yield OptionList(id="causes", markup=False)
        with Horizontal(id="chips"):
            for action in ("level", "source", "worker", "model", "filter"):
                yield Link(action, "", id=f"chip-{action}")
        yield Input(id="find", placeholder="text or regular expression, ! inverts", compact=True, select_on_focus=False)

    def on_mount(self) -> None:
        super().on_mount()
        self._show_chips()
        self._show_state()

    @property
    def shows_causes(self) -> bool:
        return self.has_class("-causes")

    # -- what comes ---------------------------------------------------------------------------------------------

    def show(self, state: State) -> None:
        known = tuple((model.name, model.version) for model in state.models)
        self._workers = tuple(f"W-{worker.id}" for model in state.models for worker in model.workers)
        if known and known != self._known:
            self._known = known
            self._is_replaced = True
        self._wakes.set()

    async def watch_log(self) -> None:
        """Looks at the file for as long as the screen is there; never ends by itself."""
        quiet = 0
        while True:
            changed = self._look()
            quiet = 0 if changed else quiet + 1
            await self._look_at_causes()
            self._wakes.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pause(quiet)):
                    await self._wakes.wait()

    def _pause(self, quiet: int) -> float:
        """Seconds until the next look, after so many that brought nothing."""
        if self.rows is not None and not self.rows.is_complete:
            return LOOK_BUSY
        return LOOK_EVERY if quiet < QUIET_AFTER else LOOK_IDLE

    def _look(self) -> bool:
        path = shown_log(self.session.project.logs_dir)
        if self.rows is None or self.rows.path != path or self._is_replaced:
            self._is_replaced = False
            if self.rows is not None:
                self.rows.close()
            self.rows = LogRows(path, self.filter, self._known)
            self.rows.look()
            self.view.show(self.rows)
        change = self.rows.look()
        self._unshown += change.after
        is_due = self.rows.is_complete or time.monotonic() - self._shown_at >= LOOK_EVERY
        # What comes at the end moves no row: while more of it is on its way, it is painted together.
        if is_due or change.before or change.is_new:
            if change or self._unshown:
                self.view.take(msgspec.structs.replace(change, after=self._unshown))
            self._unshown, self._shown_at = 0, time.monotonic()
            self._show_state()
        return bool(change)

    async def _look_at_causes(self) -> None:
        if self.rows is None or not self.rows.lines or time.monotonic() - self._causes_at < CAUSES_EVERY:
            return
        self._causes_at = time.monotonic()
        with contextlib.suppress(TargetError):
            causes = await self.session.causes()
            if causes != self.causes:
                self.causes = causes
                self._show_causes()
                self._show_state()

    # -- what is shown ------------------------------------------------------------------------------------------

    def _show_state(self) -> None:
        view = self.view
        parts = []
        if self.shows_causes:
            parts.append(wording.plural(len(self.causes), "cause"))
        else:
            if view.missed:
                parts.append(f"+{view.missed:,} new")
            parts.append("following" if view.follow else "paused")
            if self.rows is not None:
                shown, lines = len(self.rows), self.rows.lines
                parts.append(f"{shown:,} of {lines:,}" if self.filter != DEFAULT else wording.plural(shown, "record"))
            if self.causes:
                parts.append(wording.plural(len(self.causes), "cause"))
        told = " · ".join(parts)
        if told != self.border_subtitle:
            self.border_subtitle = told
        is_empty = not self.shows_causes and not len(self.rows or ())
        self.set_class(is_empty, "-empty")
        if is_empty:
            keys = self.app.key_names
            text = f"no log yet: {keys['up']} starts the server"
            if self.rows is not None and self.rows.lines:
                is_searched = self.rows.is_complete
                text = f"nothing matches the filter: {keys['back']} clears it" if is_searched else "searching…"
            if str(self._empty.content) != text:
                self._empty.update(text, layout=False)

    def _show_chips(self) -> None:
        pattern = self._pattern_text
        chips = {
            "level": (bool(self.filter.level), f"level ≥ {self.filter.level}" if self.filter.level else "level"),
            "source": (self.filter.sources != DEFAULT.sources, _source_name(self.filter)),
            "worker": (bool(self.filter.worker), self.filter.worker or "worker"),
            "model": (bool(self.filter.model), self.filter.model or "model"),
            "filter": (bool(pattern), f"/{pattern}" if pattern else "filter"),
        }
        for action, (is_set, text) in chips.items():
            chip = self.query_one(f"#chip-{action}", Link)
            chip.update(text)
            chip.set_class(is_set, "-set")

    @property
    def _pattern_text(self) -> str:
        return self.filter.grep or (f"!{self.filter.not_}" if self.filter.not_ else "")

    def _show_causes(self) -> None:
        options = self.query_one(OptionList)
        chosen = options.highlighted
        options.set_options([Option(_cause_text(cause)) for cause in reversed(self.causes)])
        if self.causes:
            options.highlighted = min(chosen or 0, len(self.causes) - 1)

    # -- actions ------------------------------------------------------------------------------------------------

    def set_filter(self, **changes: object) -> None:
        """Shows other records; the cursor goes to the end."""
        self.filter = msgspec.structs.replace(self.filter, **changes)
        pattern = self.filter.grep
        self.view.pattern = re.compile(pattern) if pattern else None
        if self.rows is not None:
            self.rows.set_filter(self.filter)
            self.rows.look()
            self.view.show(self.rows)
        self._show_chips()
        self._show_state()
        self._wakes.set()

    def do_filter(self) -> None:
        self.add_class("-finding")
        self.query_one(Input).focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        text = event.value
        try:
            if text.startswith("!"):
                self.set_filter(grep="", not_=text[1:])
            else:
                self.set_filter(grep=text, not_="")
        except ConfigError as error:
            event.input.tooltip = error.detail
            event.input.add_class("-wrong")
            return
        event.input.remove_class("-wrong")

    def on_input_submitted(self, _: Input.Submitted) -> None:
        self.view.focus()
        self.set_class(bool(self._pattern_text), "-finding")

    def back(self) -> bool:
        """One level back: the filter's text, the causes; False when there is nothing to leave."""
        if self.has_class("-finding") or self._pattern_text:
            self.query_one(Input).value = ""
            self.remove_class("-finding")
            self.view.focus()
            return True
        if self.shows_causes:
            self.do_causes()
            return True
        return False

    def do_next_match(self) -> None:
        self.view.go_to(self.view.cursor + 1)

    def do_previous_match(self) -> None:
        self.view.go_to(self.view.cursor - 1)

    def do_level(self) -> None:
        self.set_filter(level=LEVELS[(LEVELS.index(self.filter.level) + 1) % len(LEVELS)])

    def do_source(self) -> None:
        names = [name for name, _ in CHOICES]
        following = (names.index(_source_name(self.filter)) + 1) % len(CHOICES)
        self.set_filter(sources=CHOICES[following][1])

    def do_worker(self) -> None:
        self.set_filter(worker=_following(self.filter.worker, self._workers))

    def do_model(self) -> None:
        self.set_filter(model=_following(self.filter.model, tuple(name for name, _ in self._known)))

    def do_follow(self) -> None:
        self.view.set_follow(not self.view.follow)
        self.view.follows = self.view.follow
        self._show_state()

    def do_wrap(self) -> None:
        self.view.set_wrap(not self.view.wrap)

    def do_causes(self) -> None:
        self.toggle_class("-causes")
        (self.query_one(OptionList) if self.shows_causes else self.view).focus()
        self._show_state()

    def take_focus(self) -> None:
        (self.query_one(OptionList) if self.shows_causes else self.view).focus()

    def go_to_time(self, at: float) -> None:
        """Puts the cursor on the first record at or after that time."""
        rows = self.rows
        if rows is None or not len(rows):
            return
        low, high = 0, len(rows) - 1
        while low < high:
            middle = (low + high) // 2
            if (rows.record(middle).time or 0.0) < at:
                low = middle + 1
            else:
                high = middle
        self.view.go_to(low)

    def around(self, at: float, count: int = 12) -> list[LogRecord]:
        """The records around a time."""
        self.go_to_time(at)
        rows = self.rows
        if rows is None:
            return []
        first = max(0, self.view.cursor - count)
        return [rows.record(row) for row in range(first, min(len(rows), self.view.cursor + count))]

    def on_log_view_follow_changed(self, _: LogView.FollowChanged) -> None:
        self._show_state()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.post_message(self.CauseOpened(self.causes[len(self.causes) - 1 - event.option_index]))


def _following(now: str | None, choices: tuple[str, ...]) -> str | None:
    """The next of the choices, None after the last one."""
    place = choices.index(now) + 1 if now in choices else 0
    return choices[place] if place < len(choices) else None


def _source_name(filter_: Filter) -> str:
    return next(name for name, sources in CHOICES if sources == filter_.sources)


def _cause_text(cause: Cause) -> Content:
    """Two lines: what, how often; where, when."""
    said = ": ".join(filter(None, (cause.exception, " ".join(cause.message.split()))))
    count = f"  \N{MULTIPLICATION SIGN}{cause.count}" if cause.count > 1 else ""
    where = f"{cause.frame.file}:{cause.frame.line} in {cause.frame.function}" if cause.frame else ""
    told = "  ".join(filter(None, (where, cause.worker or "", cause.phase, wording.clock(cause.last_at)[:8])))
    return Content.assemble((said, "$text-error"), (count, "bold"), "\n", (f"  {told}", "$foreground 60%"))
