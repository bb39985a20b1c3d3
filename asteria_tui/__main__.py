"""`python -m asteria_tui`."""

from asteria_tui.cli.main import main

main()
