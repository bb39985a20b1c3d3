"""The Textual app: shows the session's state, and turns actions into operations."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import subprocess
import time
from collections.abc import Coroutine, Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from rich.console import RenderableType
from textual.app import SuspendNotSupported, SystemCommand
from textual.binding import BindingType
from textual.screen import Screen

from asteria_tui.errors import AsteriaError, BusyError, ExitCode
from asteria_tui.events import CommandRan, KeyKind
from asteria_tui.logs.text import show_controls
from asteria_tui.session import Handle, Session
from asteria_tui.state_dir import write_file
from asteria_tui.tui.actions import ACTIONS, BY_ID, ActionContext, key_names, keys_of
from asteria_tui.tui.borders import borders_at
from asteria_tui.tui.editor import editor_command
from asteria_tui.tui.host import Host
from asteria_tui.tui.preferences import Settings, UiState
from asteria_tui.tui.screen import Workbench
from asteria_tui.tui.themes import DARK, use_theme

if TYPE_CHECKING:
    from asteria_tui.operations.base import Operation
    from asteria_tui.operations.predict import Predict

SHOW_WITHIN = 0.03
"""Seconds in which facts gather before they are shown together."""


class AsteriaApp(Host):
    """Its result says what to do with the server: `stop` or `leave`."""

    CSS_PATH = "asteria.tcss"
    TITLE = "asteria-tui"
    ENABLE_COMMAND_PALETTE = True
    COMMAND_PALETTE_BINDING = "ctrl+p"
    BINDINGS: ClassVar[list[BindingType]] = []

    def __init__(
        self,
        session: Session,
        settings: Settings | None = None,
        ui_state: UiState | None = None,
        *,
        up_first: bool = False,
    ) -> None:
        super().__init__()
        self.session = session
        self.settings = settings or Settings()
        self.key_names = key_names(self.settings.keys)
        self.ui_state = ui_state or UiState()
        self.up_first = up_first
        self.acted_at = 0.0
        self._failed: Predict | None = None
        """The last request of this screen, where it failed."""
        self._is_stale = False
        self._watching: list[asyncio.Task[None]] = []
        # Now, not on mount: then all styles would be parsed twice before the first paint.
        use_theme(self, self.settings.theme or self.ui_state.theme)

    @property
    def action_context(self) -> ActionContext:
        rows = self.workbench.logs.rows if self.is_filled else None
        return ActionContext(
            state=self.state,
            workflow=self.workflow,
            has_models=bool(self.session.project.settings.models),
            has_log=rows is not None and rows.lines > 0,
            keys=self.key_names,
            can_heighten=bool(self.is_filled and self.workbench.border_of(self.workbench.current, "height")),
            can_widen=bool(self.is_filled and self.workbench.border_of(self.workbench.current, "width")),
            can_zoom=bool(borders_at(self.size)),
        )

    @property
    def workflow(self) -> str:
        """The name of the workflow that runs here; empty when there is none."""
        running = self.state.running("workflow")
        return running.name if running and not running.origin else ""

    @property
    def is_filled(self) -> bool:
        return bool(self.screen_stack) and getattr(self.screen_stack[0], "is_filled", False)

    @property
    def workbench(self) -> Workbench:
        screen = self.screen_stack[0]
        if not isinstance(screen, Workbench):
            raise TypeError("the workbench is the first screen")
        return screen

    def get_default_screen(self) -> Workbench:
        return Workbench()

    def on_mount(self) -> None:
        self.animation_level = "none"
        self.set_keymap(self.settings.keys)
        self.call_after_refresh(self._begin)

    async def _begin(self) -> None:
        """What may cost time: after the first paint."""
        if self.return_value:  # told to go before
            return
        await self.workbench.fill()
        gc.freeze()  # what stays for good: looking through it took 60 ms, in the middle of a key
        gc.enable()
        logs = self.workbench.logs
        logs.view.wants_follow, logs.view.wrap = self.ui_state.follow, self.ui_state.wrap
        self.workbench.request.restore(self.ui_state.drafts)
        if self.ui_state.sample:
            self.workbench.request.choose(self.ui_state.sample)
        self.session.restore()
        self.show()
        self.run_later(self._consume())
        self.run_later(self.session.log_waker.watch())
        self.run_later(self.session.watch_others())
        self.run_later(logs.watch_log())
        if self.up_first:
            self.do_up()
        from asteria_tui.operations.monitor import Monitor
        from asteria_tui.operations.traffic import WatchTraffic
        from asteria_tui.operations.watch import WatchSources

        self.start(Monitor())
        self.start(WatchTraffic())
        self.start(WatchSources())

    def run_later(self, work: Coroutine[Any, Any, None]) -> None:
        """Something that goes on beside the screen; what it raises is shown as any bug of the screen."""
        task = asyncio.ensure_future(work)
        task.add_done_callback(self._watch_ended)
        self._watching.append(task)

    def _watch_ended(self, task: asyncio.Task[None]) -> None:
        self._watching.remove(task)
        if not task.cancelled() and task.exception() is not None:
            self.call_later(task.result)  # raises it where Textual shows it

    def on_unmount(self) -> None:
        for task in self._watching:
            task.cancel()

    async def stop_watching(self) -> None:
        for task in self._watching:
            task.cancel()
        await asyncio.gather(*self._watching, return_exceptions=True)

    # -- what comes ---------------------------------------------------------------------------------------------

    async def _consume(self) -> None:
        async for _ in self.session.changes():
            if not self._is_stale:
                self._is_stale = True
                self.set_timer(SHOW_WITHIN, self.show)

    def show(self) -> None:
        """Brings the screen up to the session's state; panels repaint what differs."""
        self._is_stale = False
        if self.is_filled and self.workbench.is_mounted:
            self.workbench.show(self.state, self.action_context)

    # -- actions ------------------------------------------------------------------------------------------------

    async def action_act(self, id_: str) -> None:
        """Does the action of that id, or says why not."""
        self.acted_at = time.monotonic()
        action = BY_ID[id_]
        if why_not := action.why_not(self.action_context):
            self.notify(why_not, title=f"not now: {action.label}", severity="warning", timeout=4, markup=False)
            return
        if action.command:
            self.session.emit(CommandRan(command=f"asteria-tui {action.command}"))
        if id_.startswith("panel_"):
            self.workbench.do_panel(id_.removeprefix("panel_"))
            return
        owners = {"app": self, "screen": self.workbench, "pipeline": self.workbench}
        owner = owners.get(action.owner) or self.workbench.panel(action.owner)
        getattr(owner, f"do_{id_}")()

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        context = self.action_context
        for action in ACTIONS:
            why_not = action.why_not(context)
            refusal = f" Not now: {why_not}." if why_not else ""
            help_ = f"{keys_of(action, self.settings.keys)}  {action.help}{refusal}"
            title = f"{action.group} · {action.label}"
            yield SystemCommand(title, help_, lambda id_=action.id: self.call_later(self.action_act, id_))
        yield from (command for command in super().get_system_commands(screen) if command.title == "Theme")

    def start(self, operation: Operation) -> Handle | None:
        """Begins an operation; where it is refused that is said."""
        try:
            return self.session.start(operation)
        except BusyError as error:
            self.complain(error.title, error.hint)
            return None

    async def _run(self, operation: Operation, done: str) -> None:
        """Begins it and says when it is done."""
        handle = self.start(operation)
        if handle is not None and await handle.done() == ExitCode.DONE and self.is_running:
            self.notify(done, timeout=2)

    async def _run_serving(self, operation: Operation) -> None:
        """And what one wants to see next: the request that failed, else the one in the editor, sent to what serves now.

        Not where the smoke test has sent that already.
        """
        handle = self.start(operation)
        if handle is None or await handle.done() != ExitCode.DONE or not self.is_running:
            return
        self.notify(f"{operation.name}: done", timeout=2)
        wanted = self._failed or self._request()
        if wanted is None or not wanted.payload.content or BY_ID["send"].why_not(self.action_context):
            return
        sha256 = hashlib.sha256(wanted.payload.content).hexdigest()
        asked = [(one.model, one.payload_sha256) for one in self.state.predictions if one.operation == handle.id]
        if (wanted.model, sha256) not in asked:
            await self._send(wanted)

    def _request(self) -> Predict | None:
        """What the editor holds; None where it cannot be sent."""
        from asteria_tui.operations.predict import Predict

        request = self.workbench.request
        try:
            return Predict(payload=request.payload(), model=request.model)
        except AsteriaError:
            return None

    async def _send(self, predict: Predict) -> None:
        handle = self.start(predict)
        if handle is not None:
            is_good = await handle.done() in {ExitCode.DONE, ExitCode.INTERRUPTED}
            self._failed = None if is_good else predict

    def do_up(self) -> None:
        from asteria_tui.operations.up import Up

        self.run_later(self._run_serving(Up()))

    def do_restart(self) -> None:
        from asteria_tui.operations.restart import Restart

        self.run_later(self._run_serving(Restart()))

    def do_dev(self) -> None:
        self._toggle_dev(hold=False)

    def do_hold(self) -> None:
        if self.state.held:
            self.workbench.open_held()
        else:
            self._toggle_dev(hold=True)

    def _toggle_dev(self, *, hold: bool) -> None:
        from asteria_tui.operations.dev import Dev

        if not self.session.cancel(Dev.name):
            self.workbench.logs.show_tab("changes")
            self.start(Dev(hold=hold))

    def do_release(self) -> None:
        from asteria_tui.operations.held import Release

        self.start(Release())

    def do_package(self) -> None:
        from asteria_tui.operations.package import Package

        self.run_later(self._run(Package(), "package: done"))

    def do_stop(self) -> None:
        from asteria_tui.operations.down import Down

        if self.workflow:
            self.session.cancel(self.workflow)
        else:
            self.start(Down())

    def do_send(self) -> None:
        from asteria_tui.operations.predict import Predict

        if self.session.cancel(Predict.name):
            return
        request = self.workbench.request
        try:
            payload, model = request.payload(), request.model
        except AsteriaError as error:
            self.complain(error.title, error.detail)
            return
        self.run_later(self._send(Predict(payload=payload, model=model)))

    do_send_now = do_send

    def do_choose_target(self) -> None:
        from asteria_tui.targets.registry import TARGETS
        from asteria_tui.tui.widgets.dialogs import Choice, ChoiceDialog

        choices = [Choice(entry.name, entry.name[0], entry.name, entry.label) for entry in TARGETS.values()]

        def chosen(name: str | None) -> None:
            if not name:
                return
            try:
                self.session.choose_target(TARGETS[name].name)
            except AsteriaError as error:
                self.complain(error.title, error.hint)

        self.push_screen(ChoiceDialog("Where TorchServe runs", choices), chosen)

    def do_keys(self) -> None:
        from asteria_tui.operations.keys import RenewKey, ShowKeys
        from asteria_tui.tui.widgets.dialogs import Choice, ChoiceDialog

        is_shown = any("•" not in key.token for key in self.state.keys)
        choices = [
            Choice("reveal", "v", "hide the keys" if is_shown else "reveal the keys"),
            Choice("renew_inference", "i", "renew the inference key", "the old one is dead at once"),
            Choice("renew_management", "m", "renew the management key", "the old one is dead at once"),
            Choice("copy", "y", "copy the inference key"),
        ]

        def chosen(choice: str | None) -> None:
            if choice == "reveal":
                self.start(ShowKeys(reveal=not is_shown))
            elif choice == "copy":
                self.run_later(self._copy_key())
            elif choice:
                kind: KeyKind = "inference" if choice == "renew_inference" else "management"
                self.start(RenewKey(kind=kind, reveal=is_shown))

        self.push_screen(ChoiceDialog("Keys", choices), chosen)

    async def _copy_key(self) -> None:
        from asteria_tui.operations.keys import ShowKeys

        was_hidden = all("•" in key.token for key in self.state.keys)
        if await self.session.run(ShowKeys(reveal=True)) != ExitCode.DONE:
            return
        token = next((key.token for key in self.state.keys if key.kind == "inference"), "")
        if was_hidden:
            await self.session.run(ShowKeys())
        self.copy(token)
        self.notify("inference key copied", timeout=2)

    def do_palette(self) -> None:
        self.action_command_palette()

    def do_quit(self) -> None:
        from asteria_tui.tui.widgets.dialogs import Choice, ChoiceDialog

        if not self.workflow and self.state.server.state == "stopped":
            self.exit("leave")
            return
        choices = [
            Choice("leave", "l", "leave it running", "this screen finds it again"),
            Choice("stop", "s", "stop it"),
        ]
        note = f"{self.workflow} is under way and will be interrupted" if self.workflow else ""

        def chosen(choice: str | None) -> None:
            if choice:
                self.exit(choice)

        self.push_screen(ChoiceDialog("The server is running", choices, note), chosen)

    async def action_quit(self) -> None:
        self.do_quit()

    def _fatal_error(self) -> None:
        """A bug in a widget or handler ends the screen: with one sentence, not with Textual's traceback and locals."""
        from asteria_tui.crashes import sentence, write_crash_report

        bug = self._exception or RuntimeError("unknown")
        file = write_crash_report(self.session.project.state_dir, bug, doing="the screen")
        self.bell()
        self._exit_renderables.append(f"{sentence(bug)}\n → {file} has what a report needs")
        self._close_messages_no_wait()

    def exit(self, result: str | None = None, return_code: int = 0, message: RenderableType | None = None) -> None:
        self.remember()
        super().exit(result, return_code, message)

    # -- the world outside --------------------------------------------------------------------------------------

    def complain(self, title: str, detail: str = "") -> None:
        text, title = show_controls(detail or title), show_controls(title) if detail else ""
        self.notify(text, title=title, severity="error", timeout=6, markup=False)

    def copy(self, text: str) -> str:
        """To the clipboard through the terminal (OSC 52) and to a file, for terminals that do not take it."""
        self.copy_to_clipboard(text)
        project = self.session.project
        try:
            write_file(project.state_dir, "clipboard", text.encode())
        except OSError:
            return ""
        return f", also in {project.relative(project.state_dir / 'clipboard')}"

    def edit(self, file: str, line: int) -> None:
        """Opens the user's editor in place of the screen; the screen comes back when it ends."""
        command = editor_command(self.settings.editor, str(self.session.project.path(file)), line)
        try:
            with self.suspend():
                subprocess.run(command, check=False)
        except (SuspendNotSupported, OSError) as error:
            self.complain(f"cannot run {command[0]}", str(error))
        self.refresh()

    def remember(self) -> None:
        """Takes down how the user has set the screen."""
        if not self.is_filled:
            return
        logs, request = self.workbench.logs, self.workbench.request
        self.ui_state = UiState(
            theme=self.theme if self.theme != (self.settings.theme or DARK.name) else "",
            wrap=logs.view.wrap,
            follow=logs.view.wants_follow,
            sample=request.sample,
            drafts=request.drafts,
            sizes=self.workbench.sizes,
        )
