"""The command line from its words to an exit status: the outer edge where nothing may escape as a traceback.

A parser costs more than a bare Python takes to start: the list of commands is answered without it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

from asteria_tui import __version__
from asteria_tui.cli.commands import COMMANDS, COMPLETION
from asteria_tui.cli.options import Options, default_project
from asteria_tui.cli.output import OutputError
from asteria_tui.cli.style import Style
from asteria_tui.errors import MAX_TITLE, AsteriaError, ConfigError, ExitCode, shortened

DESCRIPTION = "A workbench for TorchServe on your own machine: package, serve, read tokens, follow logs, predict."


BROKEN_PIPE = 128 + 13
"""What a shell makes of a program that SIGPIPE ends."""


def main(open_screen: Callable[[Options, bool], int]) -> None:
    """`open_screen` shows the screen, and begins with `up` where it is told so."""
    sys.exit(_guarded(sys.argv[1:], open_screen))


def help_page() -> str:
    style = Style(sys.stdout)
    lines = [
        f"{style.strong('Usage:')} asteria-tui [COMMAND] [OPTIONS]",
        "",
        DESCRIPTION,
        "Without a command, the screen.",
    ]
    for group in dict.fromkeys(command.group for command in COMMANDS.values()):
        lines += ["", style.strong(group)]
        lines += [
            f"  {style.accent(f'{name:<9}')} {command.summary}"
            for name, command in COMMANDS.items()
            if command.group == group
        ]
    lines += [
        "",
        style.strong("Options"),
        f"  {style.accent('--help')}    Of a command: asteria-tui COMMAND --help",
        f"  {style.accent('--version')}",
        f"  {style.accent('--install-completion')}  Teach your shell the commands.",
    ]
    return "\n".join(lines)


def _guarded(arguments: list[str], open_screen: Callable[[Options, bool], int]) -> int:
    """Runs a command; whatever it raises becomes a message and an exit status, unless nothing can be written."""
    try:
        code = _reported(arguments, open_screen)
        sys.stdout.flush()  # so that a broken pipe is met here
    except OutputError as error:
        return _unwritten(error)
    except BrokenPipeError:
        return _unread()
    return code


def _reported(arguments: list[str], open_screen: Callable[[Options, bool], int]) -> int:
    flags: dict[str, Any] = {}
    try:
        flags["json"] = "--json" in arguments  # until they are parsed
        _refuse_other_bytes(arguments)
        flags.clear()
        return _run(arguments, flags, open_screen)
    except (OutputError, BrokenPipeError):
        raise
    except AsteriaError as error:
        _report(error, flags, arguments)
        return error.exit_code
    except Exception as bug:  # the outer edge: a bug of ours, reported as one
        if flags.get("verbose"):
            raise
        from asteria_tui.crashes import sentence, write_crash_report

        project = Options(**flags).project
        file = write_crash_report(project / ".asteria", bug, doing=_command_of(arguments))
        hint = f"{file} has what a report needs" if file else "run it again with -v for the traceback"
        _report(AsteriaError(sentence(bug), hint=hint), flags, arguments)
        return ExitCode.FAILED


def _refuse_other_bytes(arguments: list[str]) -> None:
    for number, word in enumerate(arguments, 1):
        if any("\ud800" <= one <= "\udfff" for one in word):  # how Python passes what is not UTF-8
            raise ConfigError(f"argument {number} is not UTF-8", hint="go into a folder of such a name instead")


def _unread() -> int:
    """Whoever read our output has seen enough."""
    _forget_output(1, 2)
    return BROKEN_PIPE


def _unwritten(error: OutputError) -> int:
    """Reported on standard error alone, also with --json."""
    _forget_output(1)
    try:
        _report(error, {}, [])
    except OSError:  # nor can this be written
        _forget_output(2)
    return error.exit_code


def _forget_output(*descriptors: int) -> None:
    """What is left to be written goes nowhere: without this Python complains once more while it exits."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in descriptors:
        os.dup2(nowhere, descriptor)


def _report(error: AsteriaError, flags: dict[str, Any], arguments: list[str]) -> None:
    from asteria_tui.cli.render import print_error

    print_error(error, Options(**flags), _command_of(arguments))


def _command_of(arguments: list[str]) -> str:
    return next((word for word in arguments if word in COMMANDS), "asteria-tui")


def _run(arguments: list[str], flags: dict[str, Any], open_screen: Callable[[Options, bool], int]) -> int:
    """`flags` takes down those that every command has, as they are read."""
    if arguments in (["-h"], ["--help"], ["--version"]):
        print(__version__ if arguments == ["--version"] else help_page())  # noqa: T201
        return ExitCode.DONE
    if COMPLETION not in os.environ and not arguments:
        return open_screen(Options(project=default_project()), False)
    import click

    from asteria_tui.cli.parser import Program

    program = Program(open_screen)
    if COMPLETION in os.environ:
        from click.shell_completion import shell_complete

        return shell_complete(program, {}, "asteria-tui", COMPLETION, os.environ[COMPLETION])
    try:
        # Not `main`, which would make an exit of an interruption and of a broken pipe.
        with program.make_context("asteria-tui", arguments, obj=flags) as context:
            return int(program.invoke(context))
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except click.ClickException as error:
        short = click.UsageError(shortened(error.message, MAX_TITLE), getattr(error, "ctx", None))
        short.show()
        return error.exit_code
