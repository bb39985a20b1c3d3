"""The one screen: where its panels stand at which size, and how one moves among them."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.events import DescendantFocus
from textual.reactive import Reactive
from textual.widget import Widget
from textual.widgets import Static

from asteria_tui.errors import AsteriaError
from asteria_tui.events import Cause
from asteria_tui.state import Failure, State
from asteria_tui.tui import details
from asteria_tui.tui import presentation as pres
from asteria_tui.tui.actions import INSIDE, PANELS, ActionContext, PanelEntry, bindings
from asteria_tui.tui.borders import MEDIUM, TALL, WIDE, MovableBorders
from asteria_tui.tui.host import Host
from asteria_tui.tui.panels.panel import Panel, Waiting
from asteria_tui.tui.widgets.footer import Footer
from asteria_tui.tui.widgets.link import Link

if TYPE_CHECKING:
    from asteria_tui.tui.panels.logs import LogsPanel
    from asteria_tui.tui.panels.request import RequestPanel
    from asteria_tui.tui.panels.server import ServerPanel
    from asteria_tui.tui.widgets.causes_list import CausesList
    from asteria_tui.tui.widgets.log_view import LogView

AROUND = 12
"""Log records shown on each side of a failure."""
PANEL_STYLES = Path(__file__).parent / "panels.tcss"
WIDTHS = [(0, "-too-narrow"), (40, "-narrow"), (MEDIUM, "-medium"), (WIDE, "-wide")]
HEIGHTS = [(0, "-too-short"), (10, "-short"), (TALL, "-tall")]


class Workbench(MovableBorders):
    HORIZONTAL_BREAKPOINTS = WIDTHS
    VERTICAL_BREAKPOINTS = HEIGHTS
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("screen")]
    app: Host
    focused: Reactive[Widget | None] = Reactive(None, repaint=False)
    """Textual repaints the whole screen for it; here each widget shows its own focus."""
    current = "pipeline"
    is_filled = False

    def compose(self) -> ComposeResult:
        yield Static(id="status", markup=False)
        with Horizontal(id="tabs"):
            for number, entry in enumerate(PANELS, start=1):
                yield Link(f"panel_{entry.name}", f"{number} {entry.name.title()}")
        with Horizontal(id="body"):
            for column in ("left", "right"):
                with Vertical(id=column, classes="column"):
                    yield from self._panels(column)
        yield Footer(self.app.key_names, id="footer")
        yield Static("The screen needs 40 columns and 10 rows.\nMake the window larger.", id="too-small")

    def _panels(self, column: str) -> Iterator[Panel]:
        for entry in PANELS:
            if entry.column == column and entry.loads_late:
                yield Waiting(self.app.session, id=entry.name, classes="panel")
            elif entry.column == column:
                yield self._make(entry)

    def _make(self, entry: PanelEntry) -> Panel:
        module = importlib.import_module(f"asteria_tui.tui.panels.{entry.name}")
        panel: Panel = getattr(module, f"{entry.name.title()}Panel")(self.app.session, id=entry.name, classes="panel")
        return panel

    def on_mount(self) -> None:
        self.sizes = self.app.ui_state.sizes
        self.place_borders()
        self.panel("pipeline").take_focus()

    async def fill(self) -> None:
        """Brings the panels whose widgets take long to import: the first paint does not wait for them."""
        late = {
            column: [self._make(entry) for entry in PANELS if entry.loads_late and entry.column == column]
            for column in ("left", "right")
        }
        self.app.stylesheet.read(PANEL_STYLES)
        async with self.batch():
            await self.query(Waiting).remove()
            for column, panels in late.items():
                await self.query_one(f"#{column}", Vertical).mount(*panels)
            self.place_borders()
            self.is_filled = True  # before it is painted: a key may come at once

    def panel(self, name: str) -> Panel:
        return self.query_one(f"#{name}", Panel)

    @property
    def logs(self) -> LogsPanel:
        from asteria_tui.tui.panels.logs import LogsPanel

        return self.query_one(LogsPanel)

    @property
    def request(self) -> RequestPanel:
        from asteria_tui.tui.panels.request import RequestPanel

        return self.query_one(RequestPanel)

    def show(self, state: State, context: ActionContext) -> None:
        for panel in self.query(Panel):
            panel.show(state)
        self.show_around(context)

    def show_around(self, context: ActionContext) -> None:
        """The lines above and below the panels."""
        status = self.query_one("#status", Static)
        line = details.status_line(self.app.session.project, context, self.size.width - 2)
        if not (isinstance(status.content, Content) and line.is_same(status.content)):
            status.update(line, layout=False)
        inside = INSIDE.get(self.focused.id or "", ()) if self.focused is not None else ()
        self.query_one(Footer).show(self.current, context, inside)

    def on_descendant_focus(self, event: DescendantFocus) -> None:
        panel = next((widget for widget in event.widget.ancestors_with_self if isinstance(widget, Panel)), None)
        if panel is None or panel.id is None:
            return
        self._make_current(panel.id)
        self.query_one(Footer).show(self.current, self.app.action_context, INSIDE.get(event.widget.id or "", ()))

    def _make_current(self, name: str) -> None:
        """The panel that has the focus, and that is shown where there is room for one only."""
        if name == self.current and self.panel(name).has_class("-current"):
            return
        self.current = name
        mine = {self.panel(name), self.panel(name).parent}
        marks = [(widget, widget in mine) for widget in self.query(".panel, .column")]
        marks += [(tab, tab.action == f"panel_{name}") for tab in self.query("#tabs Link").results(Link)]
        changed = [widget for widget, is_current in marks if widget.has_class("-current") != is_current]
        for widget in changed:
            widget.set_class(not widget.has_class("-current"), "-current", update=False)
        # Only these: Textual's own update would go through all that they hold, which no style of ours needs.
        self.app.stylesheet.update_nodes(changed)
        for panel in changed:
            if isinstance(panel, Panel):
                panel.show_title()
        self.show_around(self.app.action_context)

    def on_resize(self) -> None:
        self.place_borders()
        self.call_after_refresh(self.app.show)

    # -- moving -------------------------------------------------------------------------------------------------

    def do_panel(self, name: str) -> None:
        if self.current == name and self.focused in self.panel(name).walk_children():
            self.panel(name).next_tab()
            return
        self._make_current(name)
        self.panel(name).take_focus()

    def open_held(self) -> None:
        """The request that waits for its fix, the first of several."""
        held = next(iter(self.app.state.held.values()), None)
        if held is not None:
            frame = held.cause.frame
            source = (frame.file, frame.line) if frame is not None and frame.is_project else None
            self._read("A request waits for its fix", details.held_text(held), "", source)

    def do_jump(self) -> None:
        from asteria_tui.tui.widgets.jump import Jump

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
        from asteria_tui.tui.widgets.dialogs import Reader

        panel, width = self.panel(self.current), Reader.room(self.size)
        self._read("Help", details.help_text(panel.title, panel.HELP, self.app.settings.keys, width))

    def do_details(self) -> None:
        failure = self.app.state.failure
        if failure is not None:
            self._open_failure(failure)
        else:
            self.do_command_log()

    def _open_failure(self, failure: Failure) -> None:
        if failure.cause is not None:
            self.open_cause(failure.cause, pres.advice(failure, self.app.key_names))
        else:
            advice = pres.advice(failure, self.app.key_names)
            place = pres.source(failure)
            source = place if place and self.app.session.project.path(place[0]).is_file() else None
            self._read(f"{pres.place(failure)} failed", details.failure_text(failure, advice), source=source)

    def open_cause(self, cause: Cause, advice: str = "") -> None:
        """The traceback whole, and the log around it."""
        text = details.cause_text(cause, advice, *self.logs.around(cause, AROUND))
        frame = cause.frame
        source = (frame.file, frame.line) if frame and frame.is_project else None
        self._read("Root cause", text, f"{cause.headline}\n{cause.traceback}", source)

    def _read(self, title: str, text: Content, plain: str = "", source: tuple[str, int] | None = None) -> None:
        from asteria_tui.tui.widgets.dialogs import Reader

        def closed(answer: str | None) -> None:
            if answer == "open" and source:
                self.app.edit(*source)

        self.app.push_screen(Reader(title, text, plain, source=source), closed)

    async def on_log_view_opened(self, event: LogView.Opened) -> None:
        """The source line of a traceback that is shown as one row; else the record, with the way to that line."""
        record = event.record
        source = None
        if event.traceback:
            source = await asyncio.to_thread(self.app.session.source_of, event.traceback, record.model)
        if source is not None and event.is_head:
            self.app.edit(*source)
        else:
            self._read("Record", details.record_text(record), record.text, source)

    def on_server_panel_log_asked(self, event: ServerPanel.LogAsked) -> None:
        self.logs.set_filter(model=event.model, worker=event.worker)
        self.do_panel("logs")

    def on_request_panel_cause_opened(self, event: RequestPanel.CauseOpened) -> None:
        self.open_cause(event.cause)

    def on_causes_list_opened(self, event: CausesList.Opened) -> None:
        self.open_cause(event.cause)

    def do_command_log(self) -> None:
        from asteria_tui.tui.widgets.dialogs import Choice, ChoiceDialog

        commands = [Choice(command.command, "", command.command) for command in reversed(self.app.state.commands)]
        unique = list({choice.id: choice for choice in commands}.values())
        if not unique:
            self.notify("nothing was run yet", timeout=2)
            return
        self.app.push_screen(ChoiceDialog("Commands: choose one to copy it", unique), self._copied)

    # -- copying ------------------------------------------------------------------------------------------------

    def do_copy(self) -> None:
        from asteria_tui.inference.snippet import LANGUAGES
        from asteria_tui.tui.widgets.dialogs import Choice, ChoiceDialog

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
        from asteria_tui.inference.snippet import snippet

        makers: dict[str, Callable[[], str]] = {
            "line": lambda: details.plain(self.logs.view.current),
            "response": lambda: details.answer_text(self.app.state.predictions[-1]),
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
