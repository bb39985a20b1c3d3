"""The tokens of key_file.json (facts/torchserve section 1): read, chosen, renewed before they expire."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from datetime import datetime

import msgspec

from asteria_tui.errors import ServerError, TokenError
from asteria_tui.events import Key, KeyKind

RENEW_BEFORE = 60.0
"""Seconds: a token with less than this left is renewed before it is used."""
CLOCK_SLACK = 2.0
"""Seconds by which a file system's times may lag behind the clock."""
START_MAXIMUM = 120.0
"""Seconds after its start in which a server may not have written its keys yet."""
# TorchServe names them so, the API key without an expiration.
_NAMES: dict[str, KeyKind] = {"inference": "inference", "management": "management", "API": "api"}

ReadKeyFile = Callable[[], Awaitable[tuple[bytes, float] | None]]


def parse_key_file(content: bytes) -> dict[KeyKind, Key]:
    """The keys by kind; raises TokenError when it is no key file."""
    try:
        data = msgspec.json.decode(content, type=dict[str, dict[str, str]])
        keys = {
            kind: Key(kind=kind, token=data[name]["key"], expires_at=_time(data[name].get("expiration time")))
            for name, kind in _NAMES.items()
            if name in data
        }
    except (msgspec.DecodeError, KeyError, ValueError) as error:
        raise TokenError("key_file.json is not what TorchServe writes", detail=str(error)) from error
    if not keys:
        raise TokenError("key_file.json holds no key")
    return keys


def _time(text: str | None) -> float | None:
    """UTC with up to nine digits of a second; Python reads six."""
    if text is None:
        return None
    whole, _, fraction = text.rstrip("Z").partition(".")
    return datetime.fromisoformat(f"{whole}+00:00").timestamp() + float(f"0.{fraction or 0}")


def masked(key: Key) -> Key:
    """The same key, fit to be shown: nothing of a token of eight characters can be spared."""
    return msgspec.structs.replace(key, token="•" * 8)


class KeyRing:
    """The keys of one running server, always as its file says now."""

    def __init__(self, read: ReadKeyFile, written_after: float) -> None:
        """`written_after`: the server's start; an older file is from an earlier server (section 0 item 8)."""
        self._read = read
        self._written_after = written_after
        self._keys: dict[KeyKind, Key] = {}

    async def keys(self) -> dict[KeyKind, Key]:
        """All keys, read again each time.

        Raises:
            ServerError: the server started just now and has not written them yet.
            TokenError: there is no file to believe.
        """
        found = await self._read()
        is_older = found is not None and found[1] < self._written_after - CLOCK_SLACK
        if (found is None or is_older) and time.time() - self._written_after < START_MAXIMUM:
            raise ServerError(
                "the server has no key_file.json of its own yet",
                detail="it writes one while it starts",
                hint="wait until `asteria-tui status` says that it runs; `asteria-tui restart` if it stays so",
            )
        if found is None:
            raise TokenError(
                "the server has no key_file.json",
                detail="either it runs without token authorization, or somebody removed the file",
                hint="`asteria-tui restart` writes a new one",
            )
        if is_older:
            raise TokenError(
                "key_file.json is older than the server",
                detail="it is left over from an earlier run, and its tokens are not valid",
                hint="`asteria-tui restart` writes a new one",
            )
        self._keys = parse_key_file(found[0])
        return self._keys

    async def token(self, kind: KeyKind) -> Key:
        """The key of that kind, from memory where it is known."""
        if kind not in self._keys:
            await self.keys()
        try:
            return self._keys[kind]
        except KeyError:
            raise TokenError(f"key_file.json has no {kind} key") from None


def is_due(key: Key) -> bool:
    """Whether the key is to be renewed before it is used."""
    return key.expires_at is not None and key.expires_at - time.time() < RENEW_BEFORE
