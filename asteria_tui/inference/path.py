"""Where a model takes requests: names and versions as parts of a path."""

from __future__ import annotations

from urllib.parse import quote

from asteria_tui.errors import ConfigError


def prediction_path(model: str, version: str | None = None) -> str:
    """What follows a server's inference address."""
    return model_path("/predictions", model, version)


def model_path(start: str, model: str, version: str | None = None) -> str:
    """Raises ConfigError for what would lead to another path."""
    return "/".join((start, *map(_quoted, (model, version) if version else (model,))))


def _quoted(text: str) -> str:
    """One part of a path.

    A management call whose text contains `/token` is taken for a rotation (docs/torchserve.md section 1), and there
    are models named `tokenizer`: their `t` is written as `%74`, which is the same name (RFC 3986, section 2.3).
    """
    if text in {"", ".", ".."} or not text.isprintable():
        raise ConfigError(f"{text!r} names no model and no version of one")
    quoted = quote(text, safe="")
    return f"%74{quoted[1:]}" if quoted.startswith("token") else quoted
