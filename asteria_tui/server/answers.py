"""What TorchServe's answers mean: one table from status and type to an error that says what to do.

Source: facts/torchserve sections 1, 2 and 7, each row seen in a run.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from asteria_tui.errors import AsteriaError, ConfigError, InferenceError, ServerError, TokenError


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One HTTP answer."""

    status: int
    body: Any
    """Parsed JSON where it is JSON, else text."""
    size: int
    milliseconds: float
    content_type: str
    request_id: str

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
        return str(self.body)[:2000]


class Meaning(NamedTuple):
    error: type[AsteriaError]
    title: str
    hint: str = ""


# The most telling one counts: a part of the message, then the type, then the status.
_BY_TYPE = {
    "InvalidKeyException": Meaning(
        TokenError,
        "the server refused the token",
        "TorchServe does not say whether it is wrong, expired or of another kind; "
        "`asteria-tui keys` shows what is known, `asteria-tui restart` makes new ones",
    ),
    "MethodNotAllowedException": Meaning(
        ServerError,
        "the server does not allow registering models",
        "it was started without enable_model_api; a server that `asteria-tui up` started has it on",
    ),
    "ModelNotFoundException": Meaning(
        ServerError, "no such model on the server", "`asteria-tui models` lists what is registered"
    ),
    "ModelVersionNotFoundException": Meaning(
        ServerError,
        "no such version of the model on the server",
        "`asteria-tui models show NAME` lists the versions",
    ),
    "ConflictStatusException": Meaning(
        ServerError,
        "that name and version is registered already",
        "`asteria-tui models unregister NAME` first, or raise the version",
    ),
    "InvalidModelVersionException": Meaning(
        ServerError,
        "that is the default version",
        "`asteria-tui models default NAME VERSION` makes another one the default first",
    ),
    "InvalidModelException": Meaning(
        ServerError, "the server cannot read the archive", "`asteria-tui inspect ARCHIVE` shows what is in it"
    ),
    "DownloadArchiveException": Meaning(ServerError, "the server could not fetch the archive"),
}
_BY_MESSAGE = {
    "Prediction failed": Meaning(
        InferenceError, "the handler raised an exception", "`asteria-tui logs --tracebacks` shows every cause"
    ),
    "Worker died": Meaning(
        InferenceError,
        "the worker ended while it worked on the request",
        "it was killed, ran out of memory, or took longer than response_timeout; TorchServe starts it again",
    ),
    "Invalid model predict output": Meaning(InferenceError, "the handler must return a list, one item per request"),
    "number of batch response mismatched": Meaning(
        InferenceError, "the handler returned another number of items than it was given"
    ),
    "Unsupported model output data type": Meaning(
        InferenceError,
        "the handler returned something that is neither dict, list, str nor bytes",
        "turn tensors and arrays into lists or numbers first",
    ),
    "Model file already exists": Meaning(
        ServerError, "an archive of that name lies in the store already", "register it by its file name"
    ),
    "Failed to start workers": Meaning(
        ServerError, "the model's worker did not start", "`asteria-tui logs --tracebacks` shows the cause"
    ),
    "Failed to save model": Meaning(
        ServerError,
        "the server cannot unpack the archive",
        "it is cut off or damaged: `asteria-tui inspect` tells",
    ),
    "Relative path is not allowed": Meaning(ConfigError, "an archive is named by its file name in the store alone"),
    "does not match any allowed URL": Meaning(
        ConfigError, "only archives of the store can be registered", "copy it to the store, then use its file name"
    ),
}
_BY_STATUS = {
    400: Meaning(ServerError, "the server refused the request"),
    404: Meaning(ServerError, "the server knows no such thing"),
    405: Meaning(ServerError, "the server does not allow that"),
    408: Meaning(ServerError, "the server ran out of time"),
    413: Meaning(
        InferenceError,
        "the request is larger than the server takes",
        "the limit is 6553500 bytes: set max_request_size under [server.properties] in asteria.toml",
    ),
    500: Meaning(ServerError, "the server failed"),
    503: Meaning(InferenceError, "the model gave no answer"),
    507: Meaning(InferenceError, "the worker ran out of memory", "fewer workers, a smaller batch, or more memory"),
}


def error_of(answer: Answer, asked: str) -> AsteriaError:
    """The error that `answer` is; `asked` says what for, such as `POST /predictions/m`."""
    meaning = (
        next((told for part, told in _BY_MESSAGE.items() if part in answer.message), None)
        or _BY_TYPE.get(answer.type)
        or _BY_STATUS.get(answer.status, Meaning(ServerError, f"the server answered {answer.status}"))
    )
    return meaning.error(meaning.title, detail=f"{asked}: {answer.status} {answer.message}".rstrip(), hint=meaning.hint)
