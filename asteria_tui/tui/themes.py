"""Our own two themes: one accent, one colour for success, one for failure; all else is grey."""

from __future__ import annotations

from textual.theme import Theme

DARK = Theme(
    name="asteria",
    primary="#7aa2f7",
    secondary="#7aa2f7",
    accent="#7aa2f7",
    success="#7fb069",
    warning="#d9a441",
    error="#e0667a",
    foreground="#d5d8e0",
    background="#14161b",
    surface="#191c22",
    panel="#22262e",
    dark=True,
    variables={"footer-key-foreground": "#7aa2f7", "border": "#7aa2f7", "border-blurred": "#3a404c"},
)

LIGHT = Theme(
    name="asteria-light",
    primary="#2a5db0",
    secondary="#2a5db0",
    accent="#2a5db0",
    success="#3c7a2a",
    warning="#8a5a00",
    error="#b3243f",
    foreground="#23262d",
    background="#f7f7f5",
    surface="#f0f0ed",
    panel="#e4e4e0",
    dark=False,
    variables={"footer-key-foreground": "#2a5db0", "border": "#2a5db0", "border-blurred": "#b9bac0"},
)
