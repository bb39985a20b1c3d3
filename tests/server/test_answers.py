"""Every answer of docs/torchserve.md sections 2 and 7 becomes an error that says what to do."""

from __future__ import annotations

import pytest

from asteria_tui.errors import ConfigError, InferenceError, ServerError, TokenError
from asteria_tui.server.answers import Answer, error_of


def answer(status: int, type_: str = "", message: str = "") -> Answer:
    body = {"code": status, "type": type_, "message": message} if type_ else message
    return Answer(status=status, body=body, size=0, milliseconds=0.0, content_type="", request_id="")


@pytest.mark.parametrize(
    ("status", "type_", "message", "error", "says"),
    [
        (400, "InvalidKeyException", "Token Authorization failed. Token either …", TokenError, "refused the token"),
        (404, "ModelNotFoundException", "Model not found: z", ServerError, "no such model"),
        (404, "ModelNotFoundException", "Relative path is not allowed in url: ../x", ConfigError, "file name"),
        (404, "ModelVersionNotFoundException", "Model version: 9.9 does not exist", ServerError, "no such version"),
        (405, "MethodNotAllowedException", "Requested method is not allowed", ServerError, "registering"),
        (409, "ConflictStatusException", "Model version 1.0 is already registered", ServerError, "already"),
        (403, "InvalidModelVersionException", "Cannot remove default version", ServerError, "default version"),
        (400, "InvalidModelException", "Model name is not defined.", ServerError, "cannot read the archive"),
        (500, "InternalServerException", "Model file already exists x.mar", ServerError, "lies in the store"),
        (500, "InternalServerException", "Failed to start workers for model n version: v", ServerError, "worker"),
        (500, "InternalServerException", "Failed to save model: x.mar", ServerError, "unpack"),
        (503, "InternalServerException", "Prediction failed", InferenceError, "handler raised"),
        (500, "InternalServerException", "Worker died.", InferenceError, "worker ended"),
        (503, "InternalServerException", "Invalid model predict output", InferenceError, "return a list"),
        (503, "InternalServerException", "number of batch response mismatched", InferenceError, "number of items"),
        (503, "InternalServerException", "Unsupported model output data type.", InferenceError, "dict, list, str"),
        (507, "InternalServerException", "Out of resources", InferenceError, "memory"),
        (413, "", "", InferenceError, "larger than the server takes"),
        (418, "", "teapot", ServerError, "418"),
    ],
)
def test_each_answer_has_its_meaning(status, type_, message, error, says):
    told = error_of(answer(status, type_, message), "GET /x")
    assert type(told) is error
    assert says in told.title
    assert f"GET /x: {status} {message}".rstrip() == told.detail
