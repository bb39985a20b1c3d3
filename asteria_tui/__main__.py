"""`asteria-tui`: without a command the screen, else the command. The one place that knows both."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # as typing has it, whose import takes a while in which nobody would catch an interruption
if TYPE_CHECKING:
    from asteria_tui.cli.options import Options


def main() -> None:
    _open_closed_streams()
    try:
        from asteria_tui.cli.output import guard_stdout

        guard_stdout()
        from asteria_tui.cli.main import main as run_command

        run_command(_screen)
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


def _screen(options: Options, up_first: bool) -> int:
    """The screen, where there is a terminal for it; raises the errors that keep it from opening."""
    from asteria_tui.errors import ExitCode, NoProjectError

    # Textual paints on stderr.
    if not all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        print("the screen needs a terminal; `asteria-tui --help` lists the commands", file=sys.stderr)  # noqa: T201
        return ExitCode.USAGE
    import gc

    gc.disable()  # until the screen is painted: a tenth of the imports was spent on looking for garbage
    from asteria_tui.projects import open_project
    from asteria_tui.tui.run import run

    try:
        project = open_project(options.project, options.overrides)
    except NoProjectError:
        from asteria_tui.tui.first_run import first_run

        if not first_run(options.project):
            return ExitCode.DONE
        project = open_project(options.project, options.overrides)
    return run(project, up_first=up_first)


if __name__ == "__main__":
    main()
