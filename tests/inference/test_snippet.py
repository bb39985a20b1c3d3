"""Snippets run: the shell, PowerShell's quoting rules and Python read back exactly the body."""

from __future__ import annotations

import ast
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asteria_tui.inference.snippet import LANGUAGES, TOKEN_VARIABLE, Request, snippet

URL = "http://127.0.0.1:8080/predictions/sample"
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


def _request(body: str) -> Request:
    return Request(url=URL, body=body.encode())


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_token_is_a_variable(language):
    text = snippet(_request("{}"), language)
    assert TOKEN_VARIABLE in text
    assert URL in text


@given(TEXTS)
def test_curl_gets_the_very_body(body):
    words = shlex.split(snippet(_request(body), "curl").replace("\\\n", " ", 3))
    assert words[words.index("--data-raw") + 1] == body


@given(TEXTS)
def test_python_gets_the_very_body(body):
    tree = ast.parse(snippet(_request(body), "python"))
    literals = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    assert body in literals


@given(TEXTS)
def test_powershell_doubles_every_kind_of_single_quote(body):
    text = snippet(_request(body), "powershell")
    literal = text.removeprefix("$body = '").partition("'\nInvoke-RestMethod")[0]
    for quote in "'\u2018\u2019\u201a\u201b":
        literal = literal.replace(quote * 2, quote)
    assert literal == body


def test_a_binary_body_is_no_text():
    with pytest.raises(UnicodeDecodeError):
        snippet(Request(url=URL, body=b"\xff\xfe"), "curl")
