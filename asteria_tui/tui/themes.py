"""Our own two themes: one accent, one colour for success, one for failure; all else is grey."""

from __future__ import annotations

from typing import Any

from textual.app import App
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
    variables={
        "border": "#7aa2f7",
        "border-blurred": "#3a404c",
        "footer-key-foreground": "#7aa2f7",
        "text-accent": "#7aa2f7",
        "text-error": "#e0667a",
        "text-muted": "#8b92a0",
        "text-success": "#7fb069",
        "text-warning": "#d9a441",
    },
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
    variables={
        "border": "#2a5db0",
        "border-blurred": "#b9bac0",
        "footer-key-foreground": "#2a5db0",
        "text-accent": "#2a5db0",
        "text-error": "#b3243f",
        "text-muted": "#6a6e78",
        "text-success": "#3c7a2a",
        "text-warning": "#8a5a00",
    },
)


def use_theme(app: App[Any], wanted: str) -> None:
    """Adds our themes to an app and takes the wanted one, the dark one of ours where there is none of that name."""
    app.register_theme(DARK)
    app.register_theme(LIGHT)
    app.theme = wanted if wanted in app.available_themes else DARK.name
