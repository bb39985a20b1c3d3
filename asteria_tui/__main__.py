"""`asteria-tui`: without a command the screen, else the command. The one place that knows both."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # as typing has it, whose import takes a while in which nobody would catch an interruption
if TYPE_CHECKING:
    import argparse


def main() -> None:
    _open_closed_streams()
    try:
        _main()
    except KeyboardInterrupt:
        # Before a command has made its own arrangements for an interruption there is nothing to end.
        from asteria_tui.errors import ExitCode

        sys.exit(ExitCode.INTERRUPTED)


def _open_closed_streams() -> None:
    """What the shell closed (`>&-`) leads nowhere: the next file to be opened must not take its number."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_RDWR)  # gets the lowest free number: the one that was closed
            os.set_inheritable(nowhere, True)
            if name != "stdin":  # which stays None, for whoever wants to read it to say so
                setattr(sys, name, os.fdopen(nowhere, "w"))


def _main() -> None:
    from asteria_tui.cli.main import main as run_command
    from asteria_tui.errors import ExitCode

    given = None if _is_command() else _for_the_screen()
    if given is None:
        run_command()
    elif sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty():
        sys.exit(_screen(given))
    else:
        print("the screen needs a terminal; `asteria-tui --help` lists the commands", file=sys.stderr)  # noqa: T201
        sys.exit(ExitCode.USAGE)


def _is_command() -> bool:
    """Most calls name one, or a shell asks for completions: they need not wait for what the screen's flags cost."""
    from asteria_tui.cli.commands import COMMANDS, COMPLETION

    words = {*COMMANDS, "-h", "--help", "--version"}
    return COMPLETION in os.environ or (len(sys.argv) > 1 and sys.argv[1] in words)


def _for_the_screen() -> argparse.Namespace | None:
    """The flags of a call without a command; None for any other call, which typer refuses in its own words."""
    import argparse
    from pathlib import Path
    from typing import get_args

    from asteria_tui.config import TargetName

    arguments = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    arguments.add_argument("-C", "--project", type=Path)
    arguments.add_argument("--target", choices=get_args(TargetName))
    arguments.add_argument("--up", action="store_true")
    try:
        given, rest = arguments.parse_known_args()
    except argparse.ArgumentError:
        return None
    return None if rest else given


def _screen(given: argparse.Namespace) -> int:
    """The screen, and the errors that keep it from opening."""
    import gc

    gc.disable()  # until the screen is painted: a tenth of the imports was spent on looking for garbage
    from pathlib import Path

    from asteria_tui.errors import AsteriaError, ExitCode, NoProjectError
    from asteria_tui.projects import open_project
    from asteria_tui.tui.run import run

    root = given.project or Path(os.environ.get("ASTERIA_PROJECT") or ".")
    overrides = {"server.target": given.target}
    try:
        try:
            project = open_project(root, overrides)
        except NoProjectError:
            from asteria_tui.tui.first_run import first_run

            if not first_run(root):
                return ExitCode.DONE
            project = open_project(root, overrides)
        return run(project, up_first=given.up)
    except AsteriaError as error:
        from asteria_tui.cli.options import Options
        from asteria_tui.cli.render import print_error

        print_error(error, Options(), "asteria-tui")
        return int(error.exit_code)


if __name__ == "__main__":
    main()
