"""`asteria-tui`: without a command the screen, else the command. The one place that knows both."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def main() -> None:
    arguments = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    arguments.add_argument("-C", "--project", type=Path)
    arguments.add_argument("--target", choices=("local", "docker"))
    arguments.add_argument("--up", action="store_true")
    try:
        given, rest = arguments.parse_known_args()
    except argparse.ArgumentError:
        rest = ["a command line that typer refuses in its own words"]
    if not rest and sys.stdin.isatty() and sys.stdout.isatty():
        sys.exit(_screen(given))
    from asteria_tui.cli import main as commands

    commands.main()


def _screen(given: argparse.Namespace) -> int:
    """The screen, and the errors that keep it from opening."""
    import os

    from asteria_tui.errors import AsteriaError
    from asteria_tui.session import open_project
    from asteria_tui.tui.app import run

    root = given.project or Path(os.environ.get("ASTERIA_PROJECT") or ".")
    try:
        return run(open_project(root, {"server.target": given.target}), up_first=given.up)
    except AsteriaError as error:
        from asteria_tui.cli.options import Options
        from asteria_tui.cli.render import print_error

        print_error(error, Options())
        return int(error.exit_code)


if __name__ == "__main__":
    main()
