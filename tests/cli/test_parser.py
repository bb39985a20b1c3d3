"""An operation is a command by one row of the table: its fields are its arguments and flags."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal

import click
import msgspec
import pytest
from click.testing import CliRunner

from asteria_tui.cli import parser, run
from asteria_tui.cli.commands import COMMANDS
from asteria_tui.operations.base import Operation


class Ping(Operation, frozen=True, kw_only=True):
    name: ClassVar[str] = "ping"
    model: str
    times: Annotated[int, msgspec.Meta(description="How often.")] = 1
    kind: Literal["fast", "slow"] = "fast"
    log_file: Path | None = None
    is_loud: bool = False


@pytest.fixture
def called(monkeypatch):
    operations = []
    monkeypatch.setattr(run, "run", lambda options, operation: operations.append((options, operation)) or 0)
    return operations


def invoke(*arguments: str):
    return CliRunner().invoke(parser.command_of(Ping, "ping"), arguments, obj={})


def test_fields_are_arguments_and_flags(called):
    given = ("echo", "--times", "3", "--kind", "slow", "--log-file", "a.log", "--is-loud", "--json")
    assert invoke(*given).exit_code == 0
    [(options, operation)] = called
    assert operation == Ping(model="echo", times=3, kind="slow", log_file=Path("a.log"), is_loud=True)
    assert options.json


def test_what_is_not_given_is_the_default(called):
    invoke("echo")
    assert called[0][1] == Ping(model="echo")


@pytest.mark.parametrize("given", [(), ("echo", "--times", "often"), ("echo", "--kind", "odd"), ("echo", "--nonsense")])
def test_what_does_not_fit_is_refused(called, given):
    assert invoke(*given).exit_code == 2
    assert called == []


def test_the_help_describes_each_field():
    text = invoke("--help").output
    assert "--times INTEGER" in text
    assert "How often." in text
    assert "[fast|slow]" in text


@pytest.mark.parametrize("name", [name for name, row in COMMANDS.items() if ":" in row.module])
def test_every_such_row_of_the_table_is_a_command(name):
    found = parser.Program(lambda *_: 0).get_command(click.Context(click.Command("x")), name)
    assert isinstance(found, parser.Command)
