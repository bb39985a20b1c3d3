"""The one screen: where its panels stand at which size, and how one moves among them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.events import DescendantFocus
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Static

from asteria_tui.errors import AsteriaError
from asteria_tui.events import Cause, LogRecord, StageFailed
from asteria_tui.inference.snippet import LANGUAGES, snippet
from asteria_tui.state import State
from asteria_tui.tui import presentation as pres
from asteria_tui.tui import wording
from asteria_tui.tui.actions import ACTIONS, Situation, bindings, shown_keys
from asteria_tui.tui.panels.logs import LogsPanel
from asteria_tui.tui.panels.panel import Panel
from asteria_tui.tui.panels.pipeline import PipelinePanel
from asteria_tui.tui.panels.request import RequestPanel
from asteria_tui.tui.panels.server import ServerPanel, heading
from asteria_tui.tui.widgets.dialogs import Choice, ChoiceDialog, Reader
from asteria_tui.tui.widgets.footer import Footer
from asteria_tui.tui.widgets.jump import Jump
from asteria_tui.tui.widgets.link import Link
from asteria_tui.tui.widgets.log_view import LogView

if TYPE_CHECKING:
    from asteria_tui.tui.app import AsteriaApp

AROUND = 12
"""Log records shown on each side of a failure."""


WIDTHS = [(0, "-too-narrow"), (40, "-narrow"), (80, "-medium"), (120, "-wide")]
HEIGHTS = [(0, "-too-short"), (10, "-short"), (20, "-tall")]


class Workbench(Screen[None]):
    HORIZONTAL_BREAKPOINTS = WIDTHS
    VERTICAL_BREAKPOINTS = HEIGHTS
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("screen")]
    app: AsteriaApp

    current = "logs"

    def compose(self) -> ComposeResult:
        yield Static(id="status", markup=False)
        with Horizontal(id="tabs"):
            for panel in (PipelinePanel, ServerPanel, LogsPanel, RequestPanel):
                yield Link(f"panel_{panel.TITLE.lower()}", f"{panel.NUMBER} {panel.TITLE}")
        with Horizontal(id="body"):
            with Vertical(id="left", classes="column"):
                yield PipelinePanel(id="pipeline", classes="panel")
                yield ServerPanel(id="server", classes="panel")
            with Vertical(id="right", classes="column"):
                yield LogsPanel(self.app.session, id="logs", classes="panel")
                yield RequestPanel(self.app.session.project, id="request", classes="panel")
        yield Footer(id="footer")
        yield Static("The screen needs 40 columns and 10 rows.\nMake the window larger.", id="too-small")

    def on_mount(self) -> None:
        self.panel("pipeline").take_focus()

    def panel(self, name: str) -> Panel:
        return self.query_one(f"#{name}", Panel)

    @property
    def logs(self) -> LogsPanel:
        return self.query_one(LogsPanel)

    @property
    def request(self) -> RequestPanel:
        return self.query_one(RequestPanel)

    def show(self, state: State, situation: Situation) -> None:
        for panel in self.query(Panel):
            panel.show(state)
        self.show_around(situation)

    def show_around(self, situation: Situation) -> None:
        """The lines above and below the panels."""
        status = self.query_one("#status", Static)
        line = _status_line(self.app, situation, self.size.width - 2)
        if not (isinstance(status.content, Content) and line.is_same(status.content)):
            status.update(line, layout=False)
        self.query_one(Footer).show(self.current, situation)

    def on_descendant_focus(self, event: DescendantFocus) -> None:
        panel = next((widget for widget in event.widget.ancestors_with_self if isinstance(widget, Panel)), None)
        if panel is None or panel.id is None:
            return
        self._make_current(panel.id)
        self.show_around(self.app.situation)

    def _make_current(self, name: str) -> None:
        """The panel that has the focus, and that is shown where there is room for one only."""
        if name == self.current and self.panel(name).has_class("-current"):
            return
        self.current = name
        for panel in self.query(Panel):
            panel.set_class(panel.id == name, "-current")
        for column in self.query("#left, #right"):
            column.set_class(bool(column.query(f"#{name}")), "-current")
        for tab in self.query("#tabs Link").results(Link):
            tab.set_class(tab.action == f"panel_{name}", "-current")

    def on_resize(self) -> None:
        self.call_after_refresh(self.app.show)

    # -- moving -------------------------------------------------------------------------------------------------

    def do_panel(self, name: str) -> None:
        self._make_current(name)
        self.panel(name).take_focus()

    def do_jump(self) -> None:
        targets = [widget for widget in self.focus_chain if widget.region and widget.is_on_screen]

        def jump(target: Widget | None) -> None:
            if target is not None:
                target.focus()

        self.app.push_screen(Jump(targets), jump)

    def do_zoom(self) -> None:
        self.toggle_class("-zoomed")

    def do_back(self) -> None:
        if self.current == "logs" and self.logs.back():
            return
        if self.has_class("-zoomed"):
            self.do_zoom()
        elif self.focused is not None and self.focused.id == "body":
            self.request.take_focus()
        else:
            self.clear_selection()

    # -- reading ------------------------------------------------------------------------------------------------

    def do_help(self) -> None:
        self.app.push_screen(Reader("Help", _help(self.panel(self.current), self.app.settings.keys)))

    def do_details(self) -> None:
        failure = self.app.state.failure
        if failure is not None:
            self._open_failure(failure)
        else:
            self.do_command_log()

    def _open_failure(self, failure: StageFailed) -> None:
        if failure.cause is not None:
            self.open_cause(failure.cause, pres.advice(failure))
            return
        hint = (f"→ {failure.hint}", "$accent") if failure.hint else ""
        text = Content.assemble((failure.title, "$text-error"), "\n\n", failure.detail, "\n\n", hint)
        self.app.push_screen(Reader(f"{failure.stage} failed", text))

    def open_cause(self, cause: Cause, advice: str = "") -> None:
        """The traceback whole, and the log around it."""
        around = self.logs.around(cause.last_at, AROUND)
        parts: list[Content | str | tuple[str, str]] = [(cause.headline, "$text-error"), "\n"]
        if advice:
            parts += [(f"→ {advice}", "$accent"), "\n"]
        parts += ["\n", cause.traceback, "\n\n", ("the log around it", "bold"), "\n"]
        parts += [(f"{_plain(record)}\n", "$foreground 60%") for record in around]
        frame = cause.frame
        source = (frame.file, frame.line) if frame and frame.is_project else None
        plain = f"{cause.headline}\n{cause.traceback}"

        def closed(answer: str | None) -> None:
            if answer == "open" and source:
                self.app.edit(*source)

        self.app.push_screen(Reader("Root cause", Content.assemble(*parts), plain, source=source), closed)

    def on_log_view_opened(self, event: LogView.Opened) -> None:
        record = event.record
        told = {"time": _absolute(record.time), "level": record.level, "thread": record.thread, "logger": record.logger,
                "worker": record.worker, "model": record.model, "pid": record.pid}  # fmt: skip
        head = [
            Content.assemble((f"{name:<8}", "$foreground 60%"), str(value), "\n")
            for name, value in told.items()
            if value
        ]
        self.app.push_screen(Reader("Record", Content.assemble(*head, "\n", record.text), record.text))

    def on_logs_panel_cause_opened(self, event: LogsPanel.CauseOpened) -> None:
        self.open_cause(event.cause)

    def do_command_log(self) -> None:
        commands = [Choice(command.command, "", command.command) for command in reversed(self.app.state.commands)]
        unique = list({choice.id: choice for choice in commands}.values())
        if not unique:
            self.notify("nothing was run yet", timeout=2)
            return
        self.app.push_screen(ChoiceDialog("Commands: Enter copies", unique), self._copied)

    # -- copying ------------------------------------------------------------------------------------------------

    def do_copy(self) -> None:
        selected = self.get_selected_text()
        if selected:
            self._copied(selected)
            return
        choices = [Choice(language, language[0], f"request as {name}") for language, name in LANGUAGES.items()]
        choices[-1] = Choice("python", "t", "request as Python")
        if self.app.state.predictions:
            choices.insert(0, Choice("response", "r", "response"))
        if self.logs.view.current is not None:
            choices.insert(0 if self.current == "logs" else len(choices), Choice("line", "l", "log record"))
        self.app.push_screen(ChoiceDialog("Copy", choices), self._copy_choice)

    def _copy_choice(self, choice: str | None) -> None:
        if not choice:
            return
        makers: dict[str, Callable[[], str]] = {
            "line": lambda: _plain(self.logs.view.current),
            "response": lambda: _body(self.app.state),
        }
        try:
            text = makers[choice]() if choice in makers else snippet(self.request.request(), choice)  # type: ignore[arg-type]
        except (AsteriaError, UnicodeDecodeError) as error:
            self.app.complain(str(error))
            return
        self._copied(text)

    def _copied(self, text: str | None) -> None:
        if text:
            where = self.app.copy(text)
            self.notify(f"copied{where}", timeout=2)


def _status_line(app: AsteriaApp, situation: Situation, width: int) -> Content:
    """Whose project it is at the left, how it is at the right."""
    state, project = situation.state, app.session.project
    server = state.server
    name = next(iter(project.settings.models), project.root.name)
    left = [name, server.target or project.settings.server.target, server.inference.removeprefix("http://")]
    right: list[Content | str] = [heading(server)]
    if state.models:
        ready, wanted = pres.workers(state.models)
        right.append(f" · {ready}/{wanted} {'worker' if wanted == 1 else 'workers'}")
    if server.started_at and server.state in {"running", "unwell"}:
        right.append(f" · {wording.uptime(server.started_at)}")
    if situation.job:
        right = [Content.styled(f"◌ {situation.job}", "$accent"), (" s cancels")]
    end = Content.assemble(*right)
    told = [part for part in left if part]
    while told and len(" · ".join(told)) + 16 + end.cell_length > width:
        told.pop()
    begin = Content.assemble(("asteria-tui", "bold $accent"), ("   " + " · ".join(told), "$foreground 60%"))
    return Content.assemble(begin, " " * max(1, width - begin.cell_length - end.cell_length), end)


def _help(panel: Panel, keys: dict[str, str]) -> Content:
    parts: list[Content | str | tuple[str, str]] = [(panel.TITLE, "bold"), "\n", panel.HELP, "\n"]
    groups = list(dict.fromkeys(action.group for action in ACTIONS))
    first = {"logs": "Logs", "request": "Request"}.get(panel.id or "", "Server")
    for group in sorted(groups, key=lambda name: name != first):
        parts += ["\n", (group, "bold"), "\n"]
        for action in ACTIONS:
            if action.group == group:
                shown = shown_keys(keys.get(action.id, action.keys))
                parts += [(f"  {shown:<18}", "$accent"), f"{action.help}\n"]
    return Content.assemble(*parts)


def _plain(record: LogRecord | None) -> str:
    if record is None:
        return ""
    return " ".join(filter(None, (_absolute(record.time), record.level, record.worker or record.source, record.text)))


def _absolute(at: float | None) -> str:
    if at is None:
        return ""
    return f"{time.strftime('%Y-%m-%d', time.localtime(at))} {wording.clock(at)}"


def _body(state: State) -> str:
    body = state.predictions[-1].body
    return body if isinstance(body, str) else json.dumps(body, indent=2, ensure_ascii=False)
