"""The tokens of key_file.json (docs/torchserve.md section 1): read, chosen, renewed before they expire."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from pathlib import Path

import msgspec

from asteria_tui.errors import ServerError, TokenError
from asteria_tui.events import Key, KeyKind
from asteria_tui.process import lock
from asteria_tui.state_dir import open_file

RENEW_BEFORE = 60.0
"""Seconds: a token with less than this left is renewed before it is used, or one with less than half of its life."""
REREAD = 0.02
"""Seconds until a key file that is just being written is read again."""
CLOCK_SLACK = 2.0
"""Seconds by which a file system's times may lag behind the clock."""
START_MAXIMUM = 120.0
"""Seconds after its start in which a server may not have written its keys yet."""
# TorchServe names them so, the API key without an expiration.
_NAMES: dict[str, KeyKind] = {"inference": "inference", "management": "management", "API": "api"}

_TOKEN = re.compile(r"[!-~]{1,4096}")

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
    except (ValueError, KeyError, OverflowError):  # whose text would quote what stands there
        raise TokenError("key_file.json is not what TorchServe writes") from None
    for key in keys.values():
        if not _TOKEN.fullmatch(key.token):
            raise TokenError(f"the {key.kind} key of key_file.json is not a valid token")
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

    def __init__(self, read: ReadKeyFile, written_after: float, lock_file: Path, *, was_open: bool = False) -> None:
        """`written_after`: the server's start; an older file is not its own (docs/torchserve.md section 0 item 8).

        `lock_file`: whoever renews a key of this server holds its lock. `was_open`: the server's ports were open, and
        before it opens them it writes its keys.
        """
        self._read = read
        self._written_after = written_after
        self._was_open = was_open
        self._lock_file = lock_file
        self._keys: dict[KeyKind, Key] = {}
        self._lifetime = 0.0

    async def keys(self) -> dict[KeyKind, Key]:
        """All keys, read again each time.

        Raises:
            ServerError: the server started just now and has not written them yet.
            TokenError: there is no file to believe.
        """
        found = await self._read()
        is_older = found is not None and found[1] < self._written_after - CLOCK_SLACK
        is_starting = not self._was_open and time.time() - self._written_after < START_MAXIMUM
        if (found is None or is_older) and is_starting:
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
        content, written_at = found
        try:
            self._keys = parse_key_file(content)
        except TokenError:
            if time.time() - written_at > CLOCK_SLACK:
                raise
            # TorchServe writes it in place: for a moment it is empty or cut off.
            await asyncio.sleep(REREAD)
            return await self.keys()
        # The key that was renewed last expires last.
        self._lifetime = max(key.expires_at or 0.0 for key in self._keys.values()) - written_at
        return self._keys

    async def token(self, kind: KeyKind) -> Key:
        """The key of that kind, from memory where it is known."""
        if kind not in self._keys:
            await self.keys()
        try:
            return self._keys[kind]
        except KeyError:
            raise TokenError(f"key_file.json has no {kind} key") from None

    def is_due(self, key: Key) -> bool:
        """Whether the key is to be renewed before it is used."""
        return key.expires_at is not None and key.expires_at - time.time() < min(RENEW_BEFORE, self._lifetime / 2)

    @contextlib.asynccontextmanager
    async def renewing(self) -> AsyncIterator[None]:
        """One process at a time: each renewal ends the key before it, and two at once leave a file that is wrong."""
        with contextlib.ExitStack() as opened:
            with contextlib.suppress(OSError):  # where no file can be made nobody else renews either
                await lock(opened.enter_context(open_file(self._lock_file.parent, self._lock_file.name)))
            yield
