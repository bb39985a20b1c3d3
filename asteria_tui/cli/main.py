"""`asteria-tui`: the entry point, and the outer edge where nothing may escape as a traceback.

Typer and its help cost ten times a bare Python; the command list is answered without them.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from asteria_tui import __version__
from asteria_tui.cli.commands import COMMANDS, COMPLETION
from asteria_tui.cli.style import Style
from asteria_tui.errors import AsteriaError, ExitCode

DESCRIPTION = "A workbench for TorchServe on your own machine: package, serve, read tokens, follow logs, predict."


PLAIN_FLAGS = ("--json", "-q", "--quiet", "-v", "--verbose")
VALUED_FLAGS = ("-C", "--project", "--target")
"""What every command takes, and what may stand before its name, too."""
BROKEN_PIPE = 128 + 13
"""What a shell makes of a program that SIGPIPE ends."""


def main() -> None:
    sys.exit(_guarded(sys.argv[1:]))


def print_help() -> None:
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
    print("\n".join(lines))  # noqa: T201


def _guarded(arguments: list[str]) -> int:
    """Runs a command; whatever it raises becomes a message and an exit status."""
    try:
        code = _run(arguments)
        print(end="", flush=True)  # noqa: T201 so that a broken pipe is met here
    except AsteriaError as error:
        _tell(error, arguments)
        return error.exit_code
    except BrokenPipeError:
        return _unread()
    except SystemExit as ended:
        # Click makes an exit of every broken pipe, and one that it does not tell from other failures.
        if isinstance(ended.__context__, BrokenPipeError):
            return _unread()
        raise
    except Exception as bug:  # the outer edge: a bug of ours, reported as one
        if {"-v", "--verbose"} & set(arguments):
            raise
        from asteria_tui.crashes import sentence, write_crash_report

        file = write_crash_report(Path(".asteria"), bug, doing=_command_of(arguments))
        hint = f"{file} has what a report needs" if file else "run it again with -v for the traceback"
        _tell(AsteriaError(sentence(bug), hint=hint), arguments)
        return ExitCode.FAILED
    return code


def _unread() -> int:
    """Whoever read our output has seen enough; without this Python complains once more while it exits."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(nowhere, descriptor)
    return BROKEN_PIPE


def _tell(error: AsteriaError, arguments: list[str]) -> None:
    from asteria_tui.cli.options import Options
    from asteria_tui.cli.render import print_error

    print_error(error, Options(json="--json" in arguments), _command_of(arguments))


def _command_of(arguments: list[str]) -> str:
    return next((word for word in arguments if word in COMMANDS), "asteria-tui")


def _run(arguments: list[str]) -> int:
    if arguments in (["-h"], ["--help"]):
        print_help()
        return ExitCode.DONE
    if arguments == ["--version"]:
        print(__version__)  # noqa: T201
        return ExitCode.DONE
    from asteria_tui.cli.app import make_app

    if COMPLETION in os.environ:
        make_app(list(COMMANDS))(prog_name="asteria-tui")
    flags, words = _leading_flags(arguments)
    if not words or words[0] not in COMMANDS:
        make_app(list(COMMANDS))(words or arguments)
    name, *rest = words
    command = COMMANDS[name]
    if command.default and not {"-h", "--help"} & set(rest) and (not rest or rest[0].startswith("-")):
        rest = [command.default, *rest]
    if command.is_group and not rest:
        flags = []  # there is only help to show
    verb, rest = (rest[:1], rest[1:]) if command.is_group else ([], rest)
    make_app([name])([name, *verb, *flags, *rest])
    return ExitCode.DONE


def _leading_flags(arguments: list[str]) -> tuple[list[str], list[str]]:
    """The common flags, with their values, that stand before the command; and what follows them."""
    end = 0
    while end < len(arguments):
        flag = arguments[end]
        if flag in VALUED_FLAGS and end + 1 < len(arguments):
            end += 2
        elif flag in PLAIN_FLAGS or flag.startswith(("--project=", "--target=")):
            end += 1
        else:
            break
    return arguments[:end], arguments[end:]
