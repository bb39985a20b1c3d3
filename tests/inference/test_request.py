"""What goes out: paths, headers, forms, and what TorchServe makes of a type."""

from __future__ import annotations

import email
import email.policy
from pathlib import Path

import pytest

from asteria_tui.errors import ConfigError
from asteria_tui.inference.request import form, headers_of, path_of, what_the_handler_gets


@pytest.mark.parametrize(
    ("how", "path"),
    [
        ({}, "/predictions/m"),
        ({"version": "2.0"}, "/predictions/m/2.0"),
        ({"call": "explain"}, "/explanations/m"),
        ({"envelope": "kserve"}, "/v1/models/m:predict"),
        ({"envelope": "kserve", "call": "explain"}, "/v1/models/m:explain"),
        ({"envelope": "kservev2"}, "/v2/models/m/infer"),
        ({"envelope": "kservev2", "call": "explain"}, "/v2/models/m/explain"),
    ],
)
def test_where_a_request_goes(how, path):
    assert path_of("m", **how) == path


def test_a_version_has_no_place_in_the_paths_of_kserve():
    with pytest.raises(ConfigError, match="no place for a version"):
        path_of("m", version="1.0", envelope="kserve")


def test_headers():
    assert headers_of(["X-One: 1", "x-two:a: b "], "7") == {
        "X-One": "1",
        "x-two": "a: b",
        "ts_request_sequence_id": "7",
    }


@pytest.mark.parametrize(
    "given", ["secret", "X y: secret", "X: secret\r\nY: z", "X: sécret", "Authorization: Bearer secret", "Host: secret"]
)
def test_a_header_that_is_refused_is_not_quoted(given):
    with pytest.raises(ConfigError) as raised:
        headers_of([given])
    assert "cret" not in raised.value.title + raised.value.detail + raised.value.hint


def test_a_form_holds_its_fields_byte_for_byte(tmp_path: Path):
    image = tmp_path / 'a "b".png'
    image.write_bytes(b"\x89PNG\r\n\x1a\n\x00\xff")
    made = form(["text=é=1", f"image=@{image}"])
    message = email.message_from_bytes(
        f"Content-Type: {made.content_type}\r\n\r\n".encode() + made.content, policy=email.policy.HTTP
    )
    text, file = message.iter_parts()
    assert (text.get_param("name", header="content-disposition"), text.get_payload(decode=True)) == (
        "text",
        "é=1".encode(),
    )
    assert (file.get_content_type(), file.get_payload(decode=True)) == ("image/png", image.read_bytes())


@pytest.mark.parametrize(
    ("fields", "said"), [(["x"], "a field is none"), (["a=1", "a=2"], "given twice"), (["a=@nothing"], "cannot read")]
)
def test_a_form_that_cannot_be_sent(fields, said):
    with pytest.raises(ConfigError, match=said):
        form(fields)


@pytest.mark.parametrize(
    ("content_type", "said"),
    [
        ("application/json; charset=utf-8", "parsed JSON"),
        ("text/plain", "a str"),
        ("image/png", "a bytearray"),
        (None, "a bytearray"),
        ("multipart/form-data; boundary=x", "one entry"),
    ],
)
def test_what_torchserve_makes_of_a_type(content_type, said):
    assert said in what_the_handler_gets(content_type, b"1")
    assert "empty bytearray" in what_the_handler_gets(content_type, b"")
