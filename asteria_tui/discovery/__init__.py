"""What `asteria-tui init` finds in a folder, and the asteria.toml that says it.

Files are read, never imported or run.
"""

from asteria_tui.discovery.project import Discovery, Guess, discover
from asteria_tui.discovery.toml import to_toml, write

__all__ = ["Discovery", "Guess", "discover", "to_toml", "write"]
