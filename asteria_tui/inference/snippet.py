"""A request as a command or a program that somebody else can run; the token is always a variable, never in the text."""

from __future__ import annotations

import json
import shlex
from typing import Literal

import msgspec

Language = Literal["curl", "powershell", "python"]
LANGUAGES: dict[Language, str] = {"curl": "curl", "powershell": "PowerShell", "python": "Python"}
TOKEN_VARIABLE = "TORCHSERVE_TOKEN"  # noqa: S105 the name of a variable


class Request(msgspec.Struct, frozen=True, kw_only=True):
    url: str
    body: bytes
    content_type: str = "application/json"


def snippet(request: Request, language: Language) -> str:
    """The request in that language; raises UnicodeDecodeError for a body that is no text."""
    return _WRITERS[language](request, request.body.decode())


def _curl(request: Request, body: str) -> str:
    return (
        f"curl -sS {shlex.quote(request.url)} \\\n"
        f'  -H "Authorization: Bearer ${TOKEN_VARIABLE}" \\\n'
        f"  -H {shlex.quote(f'Content-Type: {request.content_type}')} \\\n"
        # --data would strip line ends and read a file after an @.
        f"  --data-raw {shlex.quote(body)}\n"
    )


def _powershell(request: Request, body: str) -> str:
    # Windows PowerShell 5.1 sends text as ISO 8859-1 unless it is given bytes.
    return (
        f"$body = {_single_quoted(body)}\n"
        f"Invoke-RestMethod -Method Post -Uri {_single_quoted(request.url)} `\n"
        f'  -Headers @{{ Authorization = "Bearer $env:{TOKEN_VARIABLE}" }} `\n'
        f"  -ContentType {_single_quoted(request.content_type)} `\n"
        "  -Body ([Text.Encoding]::UTF8.GetBytes($body))\n"
    )


def _python(request: Request, body: str) -> str:
    return (
        "import os\n"
        "import urllib.request\n\n"
        "request = urllib.request.Request(\n"
        f"    {json.dumps(request.url)},\n"
        f"    data={body!r}.encode(),\n"
        "    headers={\n"
        f'        "Authorization": f"Bearer {{os.environ[{TOKEN_VARIABLE!r}]}}",\n'
        f'        "Content-Type": {json.dumps(request.content_type)},\n'
        "    },\n"
        ")\n"
        "with urllib.request.urlopen(request) as response:\n"
        "    print(response.read().decode())\n"
    )


_LOW_QUOTES = ("\N{SINGLE LOW-9 QUOTATION MARK}", "\N{SINGLE HIGH-REVERSED-9 QUOTATION MARK}")


def _single_quoted(text: str) -> str:
    """A literal string of PowerShell; the typographic quotes end one too (about_Quoting_Rules)."""
    for quote in ("'", "\N{LEFT SINGLE QUOTATION MARK}", "\N{RIGHT SINGLE QUOTATION MARK}", *_LOW_QUOTES):
        text = text.replace(quote, quote * 2)
    return f"'{text}'"


_WRITERS = {"curl": _curl, "powershell": _powershell, "python": _python}
