"""Panel 4: the request and what came back."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.events import Click, Resize
from textual.message import Message
from textual.widgets import Select, Static, TextArea

from asteria_tui import wording
from asteria_tui.bounds import read_small
from asteria_tui.errors import ConfigError
from asteria_tui.events import Cause, Predicted
from asteria_tui.inference.path import prediction_path
from asteria_tui.inference.payload import (
    JSON_TYPE,
    MAX_BYTES,
    UNTYPED,
    Payload,
    checked,
    chosen_type,
    from_file,
    sample_files,
    type_of,
)
from asteria_tui.inference.snippet import Request
from asteria_tui.logs.text import show_controls
from asteria_tui.session import Session
from asteria_tui.state import State
from asteria_tui.tui.actions import binding_of, bindings
from asteria_tui.tui.answer_text import body_of, notes_of, outcome
from asteria_tui.tui.panels.panel import Panel
from asteria_tui.tui.widgets.json_editor import MAX_CHARACTERS, Draft, JsonEditor
from asteria_tui.tui.widgets.text import Text

MAX_LINE = 50_000
"""Characters of a line that the editor takes: it wraps and colours whole lines at each key."""
MAX_DRAFTS = 16_000
"""Characters of edited samples that are kept for the next screen."""

Sample = tuple[str, str]
"""Model and sample."""


class RequestPanel(Panel):
    HELP = (
        "Send a payload to a model and see the answer: pick a saved sample or write the body, then {send} ({send_now} "
        "from inside the editor). Sending never moves the focus. {copy} copies the answer, or the request as curl, "
        "PowerShell or Python, with the token as an environment variable."
    )
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("request"), binding_of("details", "open_cause")]

    class CauseOpened(Message):
        """All of why the answer is no good is to be shown."""

        def __init__(self, cause: Cause) -> None:
            super().__init__()
            self.cause = cause

    def __init__(self, session: Session, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002
        super().__init__(session, id=id, classes=classes)
        self._state = State()
        self._offered: list[Sample] = []
        self._type: str | None = JSON_TYPE
        self._file: tuple[Path, Payload] | None = None
        """What is sent as long as nothing is written: a sample that the editor does not take."""
        self._refused = ""
        """Why such a sample cannot be sent."""
        self._said = ""
        self._answer: Predicted | None = None
        self._is_old = False
        self._drafts: dict[Sample | None, Draft] = {}
        """What was made of each sample, and written without one."""
        self._open: Sample | None = None
        """What the editor was filled with."""
        self._payload_sha256 = ""
        """Of what would be sent now."""

    def compose(self) -> ComposeResult:
        with Horizontal(id="exchange"):
            with Vertical(id="asked"):
                with Horizontal(id="endpoint"):
                    yield Static("POST", id="method", markup=False)
                    yield Select[Sample]([], id="sample", compact=True, prompt="a body of your own")
                yield JsonEditor(id="body", soft_wrap=True, compact=True, highlight_cursor_line=False)
            with Vertical(id="answered"):
                yield Static(id="outcome", markup=False)
                yield Text(id="answer")

    def on_mount(self) -> None:
        super().on_mount()
        self.do_next_sample()
        self.watch(self.query_one(Select), "expanded", self._picker_opened, init=False)
        self.show(self._state)

    def _picker_opened(self) -> None:
        self._offer()

    def _offer(self) -> list[Sample]:
        """Brings the picker up to the saved samples as they are now."""
        samples, picker = self._samples(), self.query_one(Select)
        if samples != self._offered:
            now = self.sample
            self._offered = samples
            with self.prevent(Select.Changed):
                picker.set_options(
                    [(Content(f"{model} · {show_controls(name)}"), (model, name)) for model, name in samples]
                )
                if now in samples:
                    picker.value = now
        return samples

    def _samples(self) -> list[Sample]:
        found = []
        for model, settings in self.session.project.settings.models.items():
            try:
                names = list(sample_files(self.session.project, settings))
            except ConfigError:
                names = []
            found += [(model, name) for name in names]
        return found

    # -- what is shown ------------------------------------------------------------------------------------------

    def show(self, state: State) -> None:
        self._state = state
        width = self.query_one("#answered").content_size.width
        last = state.predictions[-1] if state.predictions else None
        keys = self.app.key_names
        notes = notes_of(state, last, self._payload_sha256) if last else []
        shown_outcome = outcome(state, last, notes, width, keys)
        shown = self.query_one("#outcome", Static)
        if not (isinstance(shown.content, Content) and shown_outcome.is_same(shown.content)):
            shown.update(shown_outcome, layout=False)
        if last is not self._answer or bool(notes) != self._is_old:
            self._answer, self._is_old = last, bool(notes)
            self.query_one("#answer", Text).show(body_of(last, keys, is_old=self._is_old))

    def on_resize(self, _: Resize) -> None:
        self.show(self._state)

    def on_select_changed(self, event: Select.Changed) -> None:
        event.stop()
        if isinstance(event.value, tuple):
            self._load(event.value)
        else:
            self._begin_own()

    def _load(self, sample: Sample) -> None:
        model, name = sample
        editor = self.query_one(JsonEditor)
        self._put_aside(sample)
        self._file, self._refused = None, ""
        try:
            settings = self.session.project.settings.models[model]
            path = sample_files(self.session.project, settings)[name]
            content = read_small(path, MAX_BYTES)
            text = content.decode()
        except (OSError, KeyError, ConfigError) as error:
            self._say(f"cannot read the sample {name}: {error}")
            return
        except UnicodeDecodeError:
            text = ""
        self._type = chosen_type(settings.content_type, type_of(path))
        if not text or len(content) > MAX_CHARACTERS or max(map(len, text.splitlines())) > MAX_LINE:
            text, self._type = "", JSON_TYPE
            try:
                self._file = (path, from_file(path, name, settings.content_type))
            except ConfigError as error:
                self._refused = error.title
        editor.is_json = self._type == JSON_TYPE
        editor.begin(text, self._drafts.get(sample))
        self._check()

    @property
    def drafts(self) -> tuple[tuple[str, str, str], ...]:
        """Model, sample and text of each sample that was edited, the one in the editor too; as much as is kept."""
        draft = self.query_one(JsonEditor).draft
        now = {self._open: draft} if draft is not None else {}
        kept, room = [], MAX_DRAFTS
        for sample, one in (self._drafts | now).items():
            room -= len(one.text) if sample else 0
            if sample and room >= 0:
                kept.append((*sample, one.text))
        return tuple(kept)

    def restore(self, drafts: Iterable[tuple[str, str, str]]) -> None:
        """Those of an earlier screen."""
        self._drafts |= {(model, name): Draft(text) for model, name, text in drafts}
        if self._open in self._drafts:
            editor = self.query_one(JsonEditor)
            editor.begin(editor.saved, self._drafts[self._open])

    def _put_aside(self, following: Sample | None) -> None:
        """Keeps what was written before the editor is filled with something else."""
        draft = self.query_one(JsonEditor).draft
        if draft is not None:
            self._drafts[self._open] = draft
        else:
            self._drafts.pop(self._open, None)
        self._open = following

    def _begin_own(self) -> None:
        """A JSON sample is something to begin with, another text is not."""
        editor = self.query_one(JsonEditor)
        text = editor.text if editor.is_json else ""
        self._put_aside(None)
        self._file, self._refused, self._type, editor.is_json = None, "", JSON_TYPE, True
        editor.begin(text, self._drafts.get(None))
        self._check()

    def on_text_area_changed(self, event: TextArea.Changed) -> None:
        event.stop()
        self._check()

    def _check(self) -> None:
        self._hash()
        editor = self.query_one(JsonEditor)
        error = editor.check()
        if self._file is not None and not editor.text:
            path, payload = self._file
            self._say(f"{path.name}, {wording.size(len(payload.content))}: sent as it is; writing here replaces it")
        elif self._refused and not editor.text:
            self._say(self._refused)
        else:
            mark = "edited" if self._is_edited else ""
            self._say(" · ".join(filter(None, (mark, error if editor.is_json else self._type or ""))))

    @property
    def _is_edited(self) -> bool:
        """Whether the editor holds something else than the sample that it names."""
        return self.sample is not None and self.query_one(JsonEditor).draft is not None

    def _hash(self) -> None:
        editor = self.query_one(JsonEditor)
        content = editor.text.encode(errors="replace") if self._file is None or editor.text else self._file[1].content
        sha256 = hashlib.sha256(content).hexdigest()
        if sha256 != self._payload_sha256:
            self._payload_sha256 = sha256
            self.show(self._state)

    def _say(self, text: str) -> None:
        if text != self._said:
            self._said = text
            self.border_subtitle = Content(show_controls(text))

    # -- what is sent -------------------------------------------------------------------------------------------

    @property
    def sample(self) -> Sample | None:
        value = self.query_one(Select).value
        return value if isinstance(value, tuple) else None

    def choose(self, sample: Sample) -> None:
        """Puts a sample into the editor, where there is one of that name."""
        if sample in self._offer():
            self.query_one(Select).value = sample

    @property
    def model(self) -> str:
        """Which model is asked; raises ConfigError where the project has none."""
        return self.sample[0] if self.sample else self.session.project.model()[0]

    def payload(self) -> Payload:
        """What the editor holds; raises ConfigError when it should be JSON and is not."""
        editor = self.query_one(JsonEditor)
        if self._file is not None and not editor.text:
            return self._file[1]
        if error := editor.check():
            raise ConfigError("the body is not JSON", detail=error, hint=f"fix {error.split(':')[0]}")
        name = f"{self.sample[1]}{', edited' if self._is_edited else ''}" if self.sample else "editor"
        try:
            content = editor.text.encode()
        except UnicodeEncodeError as half:
            raise ConfigError("the body holds half of a character", detail=str(half)) from half
        return checked(Payload(name=name, content=content, content_type=self._type))

    def request(self) -> Request:
        """The request as it would be sent; raises ConfigError."""
        address = (
            self._state.server.inference or f"http://127.0.0.1:{self.session.project.settings.server.inference_port}"
        )
        payload = self.payload()
        url = address + prediction_path(self.model)
        return Request(url=url, body=payload.content, content_type=payload.content_type or UNTYPED)

    # -- actions ------------------------------------------------------------------------------------------------

    def do_next_sample(self) -> None:
        self._step_sample(1)

    def do_previous_sample(self) -> None:
        self._step_sample(-1)

    def _step_sample(self, by: int) -> None:
        samples = self._offer()
        if not samples:
            return
        now = samples.index(self.sample) if self.sample in samples else -max(by, 0)
        following = samples[(now + by) % len(samples)]
        if following == self.sample:
            self._load(following)  # it may have been edited elsewhere
        else:
            self.query_one(Select).value = following

    def action_open_cause(self) -> None:
        if self._answer is not None and self._answer.cause is not None:
            self.post_message(self.CauseOpened(self._answer.cause))

    def on_click(self, event: Click) -> None:
        if event.widget is not None and self.query_one("#answered") in event.widget.ancestors:
            self.action_open_cause()

    def do_edit_payload(self) -> None:
        self.query_one(JsonEditor).focus()

    def take_focus(self) -> None:
        self.query_one("#answer", Text).focus()
