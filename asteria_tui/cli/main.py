"""`asteria-tui`: the entry point, and the outer edge where nothing may escape as a traceback.

Typer and its help cost ten times a bare Python; the command list is answered without them.
"""

from __future__ import annotations

import os
import sys

from asteria_tui import __version__
from asteria_tui.cli.commands import COMMANDS, COMPLETION
from asteria_tui.cli.style import Style
from asteria_tui.errors import AsteriaError, ExitCode

DESCRIPTION = "A workbench for TorchServe on your own machine: package, serve, read tokens, follow logs, predict."


def main() -> None:
    arguments = sys.argv[1:]
    if arguments in (["-h"], ["--help"]):
        print_help()
    elif arguments == ["--version"]:
        print(__version__)  # noqa: T201
    else:
        sys.exit(_guarded(arguments))


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
    is_verbose = bool({"-v", "--verbose"} & set(arguments))
    try:
        return _run(arguments)
    except AsteriaError as error:
        _tell(error, arguments)
        return error.exit_code
    except BrokenPipeError:
        # Whoever read our output has seen enough; without this Python complains once more while it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + 13
    except Exception as error:  # the outer edge: a bug of ours, told as one
        if is_verbose:
            raise
        hint = "run it again with -v for the traceback"
        _tell(AsteriaError(f"a bug in asteria-tui: {type(error).__name__}: {error}", hint=hint), arguments)
        return ExitCode.FAILED


def _tell(error: AsteriaError, arguments: list[str]) -> None:
    from asteria_tui.cli.options import Options
    from asteria_tui.cli.render import print_error

    print_error(error, Options(json="--json" in arguments))


def _run(arguments: list[str]) -> int:
    from asteria_tui.cli.app import make_app

    if COMPLETION in os.environ:
        make_app(list(COMMANDS))(prog_name="asteria-tui")
    name, *rest = arguments
    if name not in COMMANDS:
        make_app(list(COMMANDS))(arguments)
    default = COMMANDS[name].default
    if default and not {"-h", "--help"} & set(rest) and (not rest or rest[0].startswith("-")):
        rest = [default, *rest]
    make_app([name])([name, *rest])
    return ExitCode.DONE
