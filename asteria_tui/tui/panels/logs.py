"""Panel 3: what the server says, filtered, followed, searched, and its causes."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import ClassVar

import msgspec
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import Static

from asteria_tui import wording
from asteria_tui.errors import ConfigError, TargetError
from asteria_tui.events import Cause, LogRecord
from asteria_tui.logs.filter import DEFAULT
from asteria_tui.logs.history import shown_log
from asteria_tui.logs.rows import PAUSE, Change, LogRows
from asteria_tui.logs.watch import KnownCauses
from asteria_tui.session import Session
from asteria_tui.state import State
from asteria_tui.tui.actions import bindings
from asteria_tui.tui.details import changes_text
from asteria_tui.tui.panels.panel import Panel
from asteria_tui.tui.widgets.causes_list import CausesList
from asteria_tui.tui.widgets.filter_chips import FilterChips, next_sources, text_of
from asteria_tui.tui.widgets.log_view import LogView
from asteria_tui.tui.widgets.search_bar import Kind, SearchBar
from asteria_tui.tui.widgets.text import Text

AFTER_KEY = 0.03
"""Seconds for which the log waits after a key: what the key changes is painted first, and by itself."""
PAINT_EVERY = 0.1
"""Seconds between two paintings of what pours in: the longest that a line waits."""
COUNT_EVERY = 0.5
"""Seconds between two counts of what pours in: each repaints the border, and nobody reads faster."""
CAUSES_EVERY = 1.0
"""Seconds between two readings of the causes; they are read by a thread."""
SETTLED_AFTER = 3.0
"""Seconds without a change after which nothing is left to do: counts are painted, tracebacks and deaths complete."""
AROUND_WITHIN = 0.3
"""Seconds that the log behind a filter is searched for a traceback; what is recent is found in a few milliseconds."""
LEVELS = ("", "info", "warn", "error")
TABS = ("causes", "changes")
"""Beside the log itself."""


class LogsPanel(Panel):
    HELP = (
        "Every record of the server and its workers, those of the older parts of the file too. {filter} filters by "
        "text or regular expression, a leading ! inverts it; {level}, {source}, {worker} and {model} choose level, "
        "source, worker and model. {find} finds: the other records stay in sight, {next_match} and {previous_match} "
        "go from match to match; Tab makes the one the other. Scrolling up stops following, {follow} or End takes it "
        "up again. {causes} shows each traceback once, as the exception it began with, at the line of your file. In "
        "the log itself each traceback is folded to its last exception, and each request to one row, without what "
        "asks how the server is: right and left, space or a click on its mark unfold and fold it. Enter opens what is "
        "under the cursor, of a traceback the line of your file in your editor; {copy} copies it; the mouse selects."
    )
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("logs")]

    def __init__(self, session: Session, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002
        super().__init__(session, id=id, classes=classes)
        self.filter = DEFAULT
        self.view = LogView(id="log", classes="takes-focus")
        self._empty = Static(id="logs-empty", markup=False)
        self.rows: LogRows | None = None
        self.causes = KnownCauses()
        self._known: tuple[tuple[str, str], ...] = ()
        self._workers: tuple[str, ...] = ()
        self._causes_at = 0.0
        self._saves = 0
        """That the tab `changes` shows."""
        self._unshown = 0
        """Rows at the end that the view does not show yet."""
        self._shown_at = self._stated_at = self._changed_at = 0.0
        self._reader = session.log_waker.reader()
        self._is_replaced = False
        self._jump: tuple[int, int] | None = None
        """From which line, and in which direction, a match is searched that is not known yet."""
        self._has_wrapped = False
        self._find_text = ""
        self._anchor = 0
        """The line that the reader was at before the first match."""

    def compose(self) -> ComposeResult:
        yield self._empty
        yield self.view
        yield CausesList(id="causes")
        yield Text(id="changes")
        yield FilterChips(id="chips")
        yield SearchBar()

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one(FilterChips).show(self.filter, self._find_text)
        self._show_state()

    @property
    def tab(self) -> str:
        return next((tab for tab in TABS if self.has_class(f"-{tab}")), "log")

    @property
    def shows_causes(self) -> bool:
        return self.tab == "causes"

    # -- what comes ---------------------------------------------------------------------------------------------

    def show(self, state: State) -> None:
        self._show_changes(state)
        known = tuple((model.name, model.version) for model in state.models)
        self._workers = tuple(f"W-{worker.id}" for model in state.models for worker in model.workers)
        if known and known != self._known:
            self._known = known
            self._is_replaced = True
        self._reader.wake()

    async def watch_log(self) -> None:
        """Reads the file for as long as the screen is there; never ends by itself."""
        while True:
            if time.monotonic() < self.app.acted_at + AFTER_KEY:
                await asyncio.sleep(AFTER_KEY)
            if self._update(PAINT_EVERY):
                self._changed_at = time.monotonic()
            await self._update_causes()
            await asyncio.sleep(PAUSE)
            await self._reader.wait(self._pause())

    def _pause(self) -> float | None:
        """Seconds until the next refresh at the latest; None if only a change gives a reason for it."""
        if self.rows is not None and not self.rows.is_complete:
            return 0.0
        if self._unshown:
            return PAINT_EVERY
        return COUNT_EVERY if time.monotonic() - self._changed_at < SETTLED_AFTER else None

    def _update(self, patience: float = 0.0) -> bool:
        """Whether something came; `patience` is the seconds that it may wait to be painted with what comes next."""
        path = shown_log(self.session.project.logs_dir)
        if self.rows is None or self.rows.path != path or self._is_replaced:
            self._is_replaced = False
            if self.rows is not None:
                self.rows.close()
            self.rows = LogRows(path, self.filter, self._known)
            self.rows.find(self._find_text)
            self._refresh_rows(self.rows)
            self.view.show(self.rows)
        change = self._refresh_rows(self.rows)
        self._unshown += change.after
        if change.is_new:
            self._jump, self._anchor = None, 0
        # Only what comes at the end moves no row.
        if change.before or change.is_new or time.monotonic() - self._shown_at >= patience:
            if change or self._unshown:
                self.view.apply(msgspec.structs.replace(change, after=self._unshown))
            self._unshown, self._shown_at = 0, time.monotonic()
            self._show_state(COUNT_EVERY if patience else 0.0)
        self._continue_jump()
        return bool(change)

    def _refresh_rows(self, rows: LogRows) -> Change:
        try:
            return rows.refresh()
        except ConfigError as error:  # a pattern that takes too long is given up, whichever it was
            self._find_text, self._jump = "", None
            rows.find("")
            self.filter = msgspec.structs.replace(self.filter, grep="", not_="")
            rows.set_filter(self.filter)
            self.view.show(rows)
            self._show_search()
            self.query_one(SearchBar).say(error.title)
            self.app.complain(error.title, error.hint)
            return Change(is_new=True)

    def _show_changes(self, state: State) -> None:
        """The newest at the end, what waits for a fix below."""
        text = changes_text(state, self.app.key_names)
        if self._saves != len(state.reloads) or self.tab == "changes":
            self._saves = len(state.reloads)
            self.query_one("#changes", Text).show(text)
            self._show_state()

    async def _update_causes(self) -> None:
        has_some = self.rows is not None and (self.rows.lines or self.causes != KnownCauses())
        if not has_some or time.monotonic() - self._causes_at < CAUSES_EVERY:
            return
        self._causes_at = time.monotonic()
        with contextlib.suppress(TargetError):
            causes = await self.session.causes()
            if causes != self.causes:
                self.causes = causes
                self.query_one(CausesList).show(causes)
                self._show_state()

    # -- what is shown ------------------------------------------------------------------------------------------

    def _show_state(self, every: float = 0.0) -> None:
        """The text of the border; one that changed less than `every` seconds ago stays for now."""
        text = " · ".join(self._log_state() if self.tab == "log" else [self._tab_state()])
        if text != self.border_subtitle and time.monotonic() - self._stated_at >= every:
            self.border_subtitle, self._stated_at = text, time.monotonic()
        shown = {"log": len(self.rows or ()), "causes": self.causes != KnownCauses(), "changes": True}
        is_empty = not shown[self.tab]
        self.set_class(is_empty, "-empty")
        if is_empty and str(self._empty.content) != self._empty_text:
            self._empty.update(self._empty_text, layout=False)

    @property
    def _empty_text(self) -> str:
        """Why there is nothing, and the key that helps."""
        keys = self.app.key_names
        if self.rows is None or not self.rows.lines:
            return f"no log yet: {keys['up']} starts the server"
        if self.shows_causes:
            return f"no traceback in this log: {keys['causes']} shows the log"
        return f"nothing matches the filter: {keys['back']} clears it" if self.rows.is_complete else "searching…"

    def _tab_state(self) -> str:
        if self.tab == "changes":
            return wording.plural(self._saves, "save")
        return wording.plural(len(self.causes.current), "cause")

    def _log_state(self) -> list[str]:
        view = self.view
        parts = [f"+{view.missed:,} new"] if view.missed else []
        parts.append("following" if view.is_following else "paused")
        if self.rows is not None:
            shown, lines = len(self.rows), self.rows.lines
            parts.append(f"{shown:,} of {lines:,}" if self.filter != DEFAULT else wording.plural(shown, "record"))
            if lost := self.rows.lost:
                parts.append(wording.lines_lost(lost.lines, is_exact=lost.is_exact))
        parts += filter(None, [self._found_text])
        if self.causes.current:
            parts.append(wording.plural(len(self.causes.current), "cause"))
        return parts

    @property
    def _found_text(self) -> str:
        """Which match of how many the cursor is on; a plus while they are still counted."""
        found = self.rows.found if self.rows is not None else None
        if self.rows is None or found is None:
            return ""
        if not len(found):
            return "no match" if found.is_complete else "searching…"
        count = f"{len(found):,}{'' if found.is_complete else '+'}"
        number = found.number(self.rows.key(self.view.cursor)) if self.view.cursor < len(self.rows) else 0
        text = f"{number:,} of {count} found" if number else f"{count} found"
        return f"{text}, wrapped around" if self._has_wrapped and number else text

    # -- actions ------------------------------------------------------------------------------------------------

    def set_filter(self, **changes: object) -> None:
        """Shows other records; the cursor goes to the end."""
        self.filter = msgspec.structs.replace(self.filter, **changes)
        if self.rows is not None:
            self.rows.set_filter(self.filter)
            self._refresh_rows(self.rows)
            self.view.show(self.rows)
        self._show_search()

    def set_find(self, text: str) -> None:
        """Goes to the match at or before the place where the reader began to find; the rows stay."""
        self._find_text, self._jump = text, None
        if self.rows is not None:
            self.rows.find(text, self._anchor if len(self.rows) else None)
            if text and len(self.rows):
                self._jump = (self._anchor + 1, -1)
                self._continue_jump()
        self._show_search()

    def _show_search(self) -> None:
        found = self.rows.found if self.rows is not None else None
        self.view.pattern = found.pattern if found is not None else self.filter.grep
        self.view.is_finding = found is not None
        self.view.refresh()
        self.query_one(FilterChips).show(self.filter, self._find_text)
        self._show_state()
        self._reader.wake()

    def _continue_jump(self) -> None:
        """Goes to the match that is asked for as soon as it is known."""
        rows = self.rows
        if rows is None or rows.found is None or self._jump is None:
            return
        match = rows.found.next(*self._jump)
        row = rows.uncover(match[0]) if match is not None else None
        if match is not None and row is not None:
            self._jump, self._has_wrapped = None, match[1]
            self.view.apply(Change())
            self.view.go_to(row, is_far=True)
        elif rows.is_complete:
            self._jump = None

    def do_filter(self) -> None:
        self._ask("filter", text_of(self.filter))

    def do_find(self) -> None:
        if self.rows is not None and len(self.rows):
            self._anchor = self.rows.key(min(self.view.cursor, len(self.rows) - 1))
        self._ask("find", self._find_text)

    def _ask(self, kind: Kind, text: str) -> None:
        self.add_class("-searching")
        self.query_one(SearchBar).ask(kind, text)

    def on_search_bar_changed(self, event: SearchBar.Changed) -> None:
        if event.kind == "find":
            self.set_find(event.text)
            return
        is_inverse = event.text.startswith("!")
        try:
            self.set_filter(grep="" if is_inverse else event.text, not_=event.text[1:] if is_inverse else "")
        except ConfigError as error:
            self.query_one(SearchBar).say(error.detail)
            return
        self.query_one(SearchBar).say("")

    def on_search_bar_switched(self, event: SearchBar.Switched) -> None:
        text = self.query_one(SearchBar).text
        if event.kind == "find":
            self.do_find()
            self.set_filter(grep="", not_="")
            self.query_one(SearchBar).ask("find", text)
        else:
            self.set_find("")
            self.do_filter()
            self.query_one(SearchBar).ask("filter", text)
        self.on_search_bar_changed(SearchBar.Changed(event.kind, text))

    def on_search_bar_submitted(self, _: SearchBar.Submitted) -> None:
        self.view.focus()
        self.set_class(bool(self.query_one(SearchBar).text), "-searching")

    def on_search_bar_stepped(self, event: SearchBar.Stepped) -> None:
        self._step(event.by)

    def back(self) -> bool:
        """One level back: find, the filter's text, the causes; False when there is nothing to leave."""
        if self._find_text:
            self.set_find("")
        elif text_of(self.filter):
            self.set_filter(grep="", not_="")
        elif not self.has_class("-searching"):
            if self.tab != "log":
                self.show_tab("log")
                return True
            return False
        self.remove_class("-searching")
        self.view.focus()
        return True

    def do_next_match(self) -> None:
        self._step(1)

    def do_previous_match(self) -> None:
        self._step(-1)

    def _step(self, by: int) -> None:
        """To the next match; without find each row is one."""
        if self.rows is None or self.rows.found is None:
            self.view.go_to(self.view.cursor + by)
        elif self.view.cursor < len(self.rows):
            self._jump = (self.rows.key(self.view.cursor), by)
            self._continue_jump()
            self._show_state()
            self._reader.wake()

    def do_level(self) -> None:
        self.set_filter(level=LEVELS[(LEVELS.index(self.filter.level) + 1) % len(LEVELS)])

    def do_source(self) -> None:
        self.set_filter(sources=next_sources(self.filter))

    def do_worker(self) -> None:
        self.set_filter(worker=_following(self.filter.worker, self._workers))

    def do_model(self) -> None:
        self.set_filter(model=_following(self.filter.model, tuple(name for name, _ in self._known)))

    def do_follow(self) -> None:
        self.view.set_follow(not self.view.is_following)
        self.view.wants_follow = self.view.is_following
        self._show_state()

    def do_wrap(self) -> None:
        self.view.set_wrap(not self.view.wrap)

    def do_causes(self) -> None:
        self.show_tab("log" if self.tab == "causes" else "causes")

    def do_changes(self) -> None:
        self.show_tab("log" if self.tab == "changes" else "changes")

    def show_tab(self, chosen: str) -> None:
        for tab in TABS:
            self.set_class(tab == chosen, f"-{tab}")
        self.take_focus()
        self.show_title()
        self._show_changes(self.session.state)
        self._show_state()

    def next_tab(self) -> None:
        tabs = ("log", *TABS)
        self.show_tab(tabs[(tabs.index(self.tab) + 1) % len(tabs)])

    @property
    def title(self) -> str:
        return "Logs" if self.tab == "log" else f"Logs · {self.tab}"

    def take_focus(self) -> None:
        shown = {"log": self.view, "causes": self.query_one(CausesList), "changes": self.query_one("#changes", Text)}
        shown[self.tab].focus()

    def around(self, cause: Cause, count: int = 12) -> tuple[list[LogRecord], int]:
        """The records around a traceback, whatever the filter hides, and its place among them.

        The cursor goes to the first one at or after it.
        """
        if self.rows is None:
            return [], 0
        if len(self.rows):
            self.view.go_to(self.rows.row_at(cause.last_at))
        if self.filter == DEFAULT:
            return around(self.rows, cause, count)
        rows = LogRows(self.rows.path, DEFAULT, self._known)
        until = time.monotonic() + AROUND_WITHIN
        while not rows.is_complete and not rows.reaches(cause.last_at) and time.monotonic() < until:
            rows.refresh()
        found = around(rows, cause, count)
        rows.close()
        return found

    def on_log_view_follow_changed(self, _: LogView.FollowChanged) -> None:
        self._show_state()


def around(rows: LogRows, cause: Cause, count: int) -> tuple[list[LogRecord], int]:
    if not len(rows):
        return [], 0
    row = rows.row_at(cause.last_at)
    # What is folded has the time of its head.
    near = range(row, max(-1, row - count), -1)
    place = next((number for number in near if cause.exception in rows.full_record(number).text), row)
    first = max(0, place - count)
    return [rows.record(number) for number in range(first, min(len(rows), place + count))], place - first


def _following(now: str | None, choices: tuple[str, ...]) -> str | None:
    """The next of the choices, None after the last one."""
    place = choices.index(now) + 1 if now in choices else 0
    return choices[place] if place < len(choices) else None
