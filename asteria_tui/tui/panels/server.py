"""Panel 2: the server, its traffic, its models and workers, its keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.events import DescendantBlur, DescendantFocus, Resize
from textual.message import Message

from asteria_tui.events import Model, Worker
from asteria_tui.state import State
from asteria_tui.tui.actions import bindings
from asteria_tui.tui.panels.panel import Panel
from asteria_tui.tui.server_text import Subject, rows, strip, subjects
from asteria_tui.tui.widgets.rows import Rows

if TYPE_CHECKING:
    from asteria_tui.tui.widgets.dialogs import Choice


class ServerPanel(Panel):
    HELP = (
        "The TorchServe of this project: where it answers, whether it is well and why not, what it uses. Of each "
        "model the requests of the last minute, whoever sent them: how many a second, the middle and the slowest "
        "twentieth of the times, a chart of latency above and requests below, seconds with a failure in red. Then the "
        "workers. The arrows choose a model or a worker, {details} shows what can be done with it; {more_workers} and "
        "{fewer_workers} change the number of its workers, {end} ends it. Keys stay hidden until you press {keys}; "
        "they are renewed by themselves when a request needs it."
    )
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("server")]

    class LogAsked(Message):
        """The log of one model or worker is to be shown."""

        def __init__(self, model: str | None, worker: str | None) -> None:
            super().__init__()
            self.model = model
            self.worker = worker

    _state = State()
    chosen: Subject = ()
    """The model or the worker that the keys are about."""
    _shows_all = False
    _has_focus = False

    def compose(self) -> ComposeResult:
        yield Rows(classes="takes-focus")

    def show(self, state: State) -> None:
        self._state = state
        body = self.query_one(Rows)
        width, height = body.scrollable_content_region.width, self.content_size.height
        if not width:
            return
        keys = self.app.key_names
        if height <= 1:
            body.show(strip(state, width, keys))
            return
        made = rows(state, width, keys, chosen=self.chosen if self._has_focus else (), all_workers=self._shows_all)
        self._subjects = [row.subject for row in made]
        if self.chosen not in subjects(made):
            self.chosen = ()
        body.show(Content("\n").join(row.text for row in made))

    def on_resize(self, _: Resize) -> None:
        self.show(self._state)

    # -- choosing -----------------------------------------------------------------------------------------------

    def on_descendant_focus(self, _: DescendantFocus) -> None:
        self._has_focus = True
        self.show(self._state)

    def on_descendant_blur(self, _: DescendantBlur) -> None:
        self._has_focus = False
        self.show(self._state)

    def choose(self, subject: Subject) -> None:
        self.chosen = subject
        self.show(self._state)
        if subject in self._subjects:
            self.query_one(Rows).reveal(self._subjects.index(subject))

    def on_rows_moved(self, event: Rows.Moved) -> None:
        choices = list(dict.fromkeys(filter(None, self._subjects)))
        if not choices:
            return
        place = choices.index(self.chosen) + event.by if self.chosen in choices else (0 if event.by > 0 else -1)
        self.choose(choices[max(0, min(place, len(choices) - 1))] if place >= 0 else choices[place])

    def on_rows_clicked(self, event: Rows.Clicked) -> None:
        subject = self._subjects[event.line] if event.line < len(self._subjects) else ()
        if subject:
            self.choose(subject)
            if event.is_double or subject == ("more",):
                self.on_rows_opened()

    # -- what can be done ---------------------------------------------------------------------------------------

    def on_rows_opened(self) -> None:
        """A menu of what can be done with the row that is chosen."""
        from asteria_tui.tui.widgets.dialogs import Choice

        keys = self.app.key_names
        if self.chosen == ("more",):
            self._shows_all = True
            self.show(self._state)
        elif model := self._model():
            worker = self._worker()
            choices = [Choice("log", "l", "show its log"), *self._scaling(model)]
            if worker is not None:
                choices.insert(1, Choice("end", keys["end"], "end it", "TorchServe starts another one in its place"))
                self._ask(f"W-{worker.id} of {model.name}", choices)
                return
            if sum(one.name == model.name for one in self._state.models) > 1:
                choices.append(Choice("default", "d", "make it the default version"))
            choices.append(Choice("unregister", keys["end"], "unregister it", "its workers end, the archive stays"))
            self._ask(f"{model.name} {model.version}", choices)

    def _scaling(self, model: Model) -> list[Choice]:
        from asteria_tui.tui.widgets.dialogs import Choice

        count = len(model.workers)
        fewer = [Choice("fewer", "", "one worker fewer", f"{count} → {count - 1}")] if count else []
        return [Choice("more", "", "one more worker", f"{count} → {count + 1}"), *fewer]

    def _ask(self, title: str, choices: Sequence[Choice], note: str = "") -> None:
        from asteria_tui.tui.widgets.dialogs import ChoiceDialog

        self.app.push_screen(ChoiceDialog(title, choices, note), self._do)

    def _do(self, choice: str | None) -> None:
        model, worker = self._model(), self._worker()
        if not choice or model is None:
            return
        from asteria_tui.operations.models import SetDefaultVersion, UnregisterModel
        from asteria_tui.operations.worker import EndWorker

        if choice == "log":
            self.post_message(self.LogAsked(None if worker else model.name, f"W-{worker.id}" if worker else None))
        elif choice in {"more", "fewer"}:
            self._scale(1 if choice == "more" else -1)
        elif choice == "default":
            self.app.start(SetDefaultVersion(model=model.name, version=model.version))
        elif choice == "unregister":
            self.app.start(UnregisterModel(model=model.name, version=model.version))
        elif choice == "end" and worker is not None and worker.pid is not None:
            self.app.start(EndWorker(worker=worker.id, pid=worker.pid))

    def do_more_workers(self) -> None:
        self._scale(1)

    def do_fewer_workers(self) -> None:
        self._scale(-1)

    def do_end(self) -> None:
        """Asks first."""
        from asteria_tui.tui.widgets.dialogs import Choice

        model, worker = self._model(), self._worker()
        if model is None:
            self.notify("choose a model or a worker first", timeout=3)
        elif worker is not None:
            note = "what it works on is answered with an error"
            choices = [Choice("end", self.app.key_names["end"], "end it", "TorchServe starts another one in its place")]
            self._ask(f"End worker W-{worker.id} of {model.name}?", choices, note)
        else:
            choices = [Choice("unregister", self.app.key_names["end"], "unregister it", "the archive stays")]
            self._ask(f"Unregister {model.name} {model.version}?", choices)

    def _scale(self, by: int) -> None:
        model = self._model()
        if model is None:
            self.notify("choose a model first", timeout=3)
            return
        from asteria_tui.operations.models import ScaleModel

        count = max(0, len(model.workers) + by)
        self.app.start(ScaleModel(model=model.name, workers=count, version=model.version))

    def _model(self) -> Model | None:
        """The model that is chosen, or that the chosen worker is of; the only one where there is one."""
        kind, *names = self.chosen or ("",)
        for model in self._state.models:
            is_it = names == [model.name, model.version] if kind == "model" else self._worker() in model.workers
            if is_it:
                return model
        return self._state.models[0] if len(self._state.models) == 1 and kind in {"", "more"} else None

    def _worker(self) -> Worker | None:
        kind, *names = self.chosen or ("",)
        everyone = (worker for model in self._state.models for worker in model.workers)
        return next((one for one in everyone if kind == "worker" and names == [one.id]), None)
