"""What TorchServe's answers mean: one table from status and type to an error that says what to do.

Source: docs/torchserve.md sections 1, 2 and 7, each row seen in a run.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from asteria_tui.errors import AsteriaError, ConfigError, InferenceError, ServerError, TokenError


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One HTTP answer."""

    status: int
    body: Any
    """Parsed JSON where it is JSON, else text, None where it is neither."""
    content: bytes = b""
    """The body as it came."""
    size: int
    milliseconds: float
    content_type: str
    request_id: str
    sources_sha256: str = ""
    """What the loader of a dev archive says of the code that made it."""

    @property
    def is_good(self) -> bool:
        return 200 <= self.status < 300  # noqa: PLR2004 the success class of RFC 9110

    @property
    def type(self) -> str:
        """TorchServe's own error type, such as `ModelNotFoundException`."""
        return str(self.body.get("type", "")) if isinstance(self.body, dict) else ""

    @property
    def message(self) -> str:
        if isinstance(self.body, dict) and "message" in self.body:
            return str(self.body["message"])
        return self.content[:2000].decode(errors="replace") if self.body is None else str(self.body)[:2000]


class BrokenAnswerError(InferenceError):
    """A good answer that did not come to its end."""

    def __init__(self, title: str, *, detail: str, answer: Answer) -> None:
        super().__init__(title, detail=detail, hint="`asteria-tui logs --tracebacks` shows what ended it")
        self.answer = answer
        """What had come of it."""

    @property
    def plain(self) -> InferenceError:
        """The same without the answer."""
        return InferenceError(self.title, detail=self.detail, hint=self.hint)


class ErrorRule(NamedTuple):
    error: type[AsteriaError]
    title: str
    hint: str = ""


# The most telling one counts: a part of the message, then the type, then the status.
_BY_TYPE = {
    "InvalidKeyException": ErrorRule(
        TokenError,
        "the server refused the token",
        "TorchServe does not say whether it is wrong, expired or of another kind; "
        "`asteria-tui keys` shows what is known, `asteria-tui restart` makes new ones",
    ),
    "MethodNotAllowedException": ErrorRule(
        ServerError,
        "the server does not allow registering models",
        "it was started without enable_model_api; a server that `asteria-tui up` started has it on",
    ),
    "ModelNotFoundException": ErrorRule(
        ServerError, "no such model on the server", "`asteria-tui models` lists what is registered"
    ),
    "ModelVersionNotFoundException": ErrorRule(
        ServerError,
        "no such version of the model on the server",
        "`asteria-tui models show NAME` lists the versions",
    ),
    "ConflictStatusException": ErrorRule(
        ServerError,
        "that name and version is registered already",
        "`asteria-tui models unregister NAME` first, or raise the version",
    ),
    "InvalidModelVersionException": ErrorRule(
        ServerError,
        "that is the default version",
        "`asteria-tui models default NAME VERSION` makes another one the default first",
    ),
    "InvalidModelException": ErrorRule(
        ServerError, "the server cannot read the archive", "`asteria-tui inspect ARCHIVE` shows what is in it"
    ),
    "DownloadArchiveException": ErrorRule(ServerError, "the server could not fetch the archive"),
}
_BY_MESSAGE = {
    "Prediction failed": ErrorRule(
        InferenceError,
        "the handler raised an exception",
        "`asteria-tui logs --tracebacks` shows every cause, but where the handler has closed or redirected its output",
    ),
    "Worker died": ErrorRule(
        InferenceError,
        "the worker ended while it worked on the request",
        "it was killed, ran out of memory, or took longer than response_timeout; TorchServe starts it again",
    ),
    "Invalid model predict output": ErrorRule(InferenceError, "the handler must return a list, one item per request"),
    "number of batch response mismatched": ErrorRule(
        InferenceError, "the handler returned another number of items than it was given"
    ),
    "Unsupported model output data type": ErrorRule(
        InferenceError,
        "the handler returned something that is neither dict, list, str nor bytes",
        "turn tensors and arrays into lists or numbers first",
    ),
    "Model file already exists": ErrorRule(
        ServerError, "an archive of that name lies in the store already", "register it by its file name"
    ),
    "Failed to start workers": ErrorRule(
        ServerError, "the model's worker did not start", "`asteria-tui logs --tracebacks` shows the cause"
    ),
    "Failed to save model": ErrorRule(
        ServerError,
        "the server cannot unpack the archive",
        "it is cut off or damaged: `asteria-tui inspect` checks it",
    ),
    "Relative path is not allowed": ErrorRule(ConfigError, "an archive is named by its file name in the store alone"),
    "does not match any allowed URL": ErrorRule(
        ConfigError, "only archives of the store can be registered", "copy it to the store, then use its file name"
    ),
}
_BY_STATUS = {
    400: ErrorRule(ServerError, "the server refused the request"),
    404: ErrorRule(ServerError, "the server knows no such thing"),
    405: ErrorRule(ServerError, "the server does not allow that"),
    408: ErrorRule(ServerError, "the server ran out of time"),
    413: ErrorRule(
        InferenceError,
        "the request is larger than the server takes",
        "the limit is 6553500 bytes: set max_request_size under [server.properties] in asteria.toml",
    ),
    500: ErrorRule(ServerError, "the server failed"),
    503: ErrorRule(InferenceError, "the model gave no answer"),
    507: ErrorRule(InferenceError, "the worker ran out of memory", "fewer workers, a smaller batch, or more memory"),
}


def error_of(answer: Answer, asked: str) -> AsteriaError:
    """The error that `answer` is; `asked` says what for, such as `POST /predictions/m`."""
    rule = (
        next((rule for part, rule in _BY_MESSAGE.items() if part in answer.message), None)
        or _BY_TYPE.get(answer.type)
        or _BY_STATUS.get(answer.status, ErrorRule(ServerError, f"the server answered {answer.status}"))
    )
    return rule.error(rule.title, detail=f"{asked}: {answer.status} {answer.message}".rstrip(), hint=rule.hint)
