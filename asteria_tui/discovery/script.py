"""Just enough of sh, make, PowerShell, Dockerfile and YAML to read the arguments of one program in a script.

Nothing is run. What only running could tell (`$1`, `$(pwd)`) becomes `UNKNOWN`.
"""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Iterator

UNKNOWN = "$?"
# Bounds for variables that name each other, and for files that are no scripts at all.
MAX_ROUNDS = 5
MAX_CHARACTERS = 8000
MAX_CHARACTERS_OF_A_VALUE = 1000
MAX_LOOP_TURNS = 50

_CONTINUED = re.compile(r"(?:\\|(?<=\s)`)\s*$")
_OPTION_LINE = re.compile(r"\s+--[a-z]")
_ASSIGNMENT = re.compile(
    r"\s*(?:(?:export|local|readonly|declare|set|ARG|ENV)\s+)?\$?(?:env:)?(\w+)(\s*)([:?+]?)=\s*(.*)$"
)
_LOOP = re.compile(r"\s*[@-]?(?:for\s+(\w+)\s+in\s+([^;]*)|foreach\s*\(\s*\$(\w+)\s+in\s+([^)]*)\))")
_REFERENCE = re.compile(
    r"""
      "?\$\{ (?P<array>\w+) \[[@*]\] \} "?                  # "${NAME[@]}"
    | (?<!\S)@(?P<splat>\w+)                                # @NAME of PowerShell
    | \$\{ (?P<braces>\w+) (?: :?[-=] (?P<default>[^{}]*) )? \}
    | \$\( (?P<make>\w+) \)
    | \$ (?:env:)? (?P<plain>\w+)
    """,
    re.VERBOSE,
)
_SUBSTITUTION = re.compile(r"\$\((?:[^()]*)\)")


class Script:
    """Reads a script from top to bottom and remembers its variables."""

    def __init__(self, text: str, *, is_powershell: bool = False, is_make: bool = False) -> None:
        self._is_powershell = is_powershell
        self._is_make = is_make
        self._text = text.replace("\\", "/") if is_powershell else text
        self._values: dict[str, str] = {}
        self._loops: dict[str, list[str]] = {}

    def lines(self) -> Iterator[tuple[int, str]]:
        """Number and text of each line that is no comment: continued lines joined, variables replaced."""
        for number, line in _logical_lines(self._text):
            if line.lstrip().startswith("#"):
                continue
            plain = self._expanded(line.replace("$$", "$") if self._is_make else line)
            self._remember(plain)
            for turn in self._turns(plain):
                yield number, turn

    def _expanded(self, text: str) -> str:
        for _ in range(MAX_ROUNDS):
            before, text = text, _REFERENCE.sub(self._value, text[:MAX_CHARACTERS])
            if text == before:
                break
        for _ in range(MAX_ROUNDS):
            text = _SUBSTITUTION.sub(UNKNOWN, text)
        return text

    def _value(self, reference: re.Match[str]) -> str:
        name = next(reference[kind] for kind in ("array", "splat", "braces", "make", "plain") if reference[kind])
        unresolved: str = reference[0]
        if name in self._loops:
            return unresolved
        return self._values.get(name, unresolved if reference["default"] is None else reference["default"])

    def _remember(self, line: str) -> None:
        if (loop := _LOOP.match(line)) is not None:
            values = words((loop[2] or loop[4] or "").replace(",", " "))
            if values and not any(mark in value for value in values for mark in "*$?"):
                self._loops[loop[1] or loop[3]] = values[:MAX_LOOP_TURNS]
        elif (assignment := _ASSIGNMENT.match(line)) is not None:
            name, blank, operator, given = assignment.groups()
            value = _assigned(given, is_spaced=bool(blank or operator))
            if operator == "+":
                value = f"{self._values.get(name, '')} {value}"
            if operator != "?" or name not in self._values:
                self._values[name] = value[:MAX_CHARACTERS_OF_A_VALUE]

    def _turns(self, line: str) -> Iterator[str]:
        """The line once for each turn of the loops whose variables it names."""
        names = [name for name in self._loops if re.search(rf"\$[{{(]?{name}\b", line)]
        turns = itertools.product(*(self._loops[name] for name in names))
        for values in itertools.islice(turns, MAX_LOOP_TURNS):
            turn = line
            for name, value in zip(names, values, strict=True):
                pattern = rf"\$\{{{name}\}}|\$\({name}\)|\${name}\b"
                turn = re.sub(pattern, lambda _, value=value: value, turn)  # type: ignore[misc]
            yield turn


def words(text: str) -> list[str]:
    """The words of one command, up to an operator of the shell or a comment."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars=";&|<>()")
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        found = list(lexer)
    except ValueError:  # a quote that opened before this text
        found = re.sub(r"[\"']", " ", text).split()
    return list(itertools.takewhile(lambda word: word[:1] not in set(";&|<>()#"), found))


def options(tokens: list[str]) -> dict[str, str]:
    """`--name value` and `--name=value`; values that are not known are left out."""
    found: dict[str, str] = {}
    for token, following in itertools.zip_longest(tokens, tokens[1:], fillvalue=""):
        if not token.startswith("-"):
            continue
        name, equal, value = token.partition("=")
        if not equal and not following.startswith("-"):
            value = following
        value = known_part(value)
        if value:
            found[name] = value
    return found


def known_part(value: str) -> str:
    """`$?/handler/x.py` is `handler/x.py` below some base; other unknown values are empty."""
    if value.startswith("$"):
        value = value.partition("/")[2]
    return "" if "$" in value else value


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines with those that continue them: after a backslash or backtick, in an array, or options on their own."""
    first, joined, is_open, is_array = 0, "", False, False
    for number, line in enumerate(text.splitlines(), 1):
        part = _CONTINUED.sub("", line)
        if joined and (is_open or is_array or _OPTION_LINE.match(line)) and len(joined) < MAX_CHARACTERS:
            joined += f" {part.strip()}"
        else:
            if joined:
                yield first, joined
            first, joined = number, part
            is_array = re.search(r"=\s*@?\($", line.split(" #")[0].rstrip()) is not None
        is_array = is_array and ")" not in line
        is_open = part != line
    if joined:
        yield first, joined


def _assigned(given: str, *, is_spaced: bool) -> str:
    """The value behind `=`: an array's words, a quoted text, the rest of the line, or one word of sh."""
    if (array := re.match(r"(@?)\((.*)\)", given)) is not None:
        return re.sub(r",(?=\s*[\"'$])", " ", array[2]) if array[1] else array[2]
    if (quoted := re.match(r"\"([^\"]*)\"|'([^']*)'", given)) is not None:
        return quoted[1] or quoted[2] or ""
    if is_spaced:
        return re.split(r"\s#", given)[0].strip()
    return re.split(r"[\s;&]", given, maxsplit=1)[0]
