"""key_file.json, by the schema of docs/torchserve.md section 1."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asteria_tui.errors import ServerError, TokenError
from asteria_tui.server.keys import KeyRing, masked, parse_key_file

CONTENT = b"""{"management": {"key": "MMMMMMMM", "expiration time": "2026-01-01T03:39:28.100084375Z"},
 "inference": {"key": "IIIIIIII", "expiration time": "2026-01-01T03:39:28Z"}, "API": {"key": "AAAAAAAA"}}"""


def test_kinds_tokens_and_times_in_nanoseconds():
    keys = parse_key_file(CONTENT)
    assert {kind: key.token for kind, key in keys.items()} == {
        "inference": "IIIIIIII",
        "management": "MMMMMMMM",
        "api": "AAAAAAAA",
    }
    assert keys["management"].expires_at == pytest.approx(1767238768.100084375)
    assert keys["inference"].expires_at == 1767238768
    assert keys["api"].expires_at is None


@given(st.binary(max_size=60) | st.sampled_from([b"{}", b"[]", b'{"API": {}}', CONTENT.replace(b"T03", b"T99")]))
def test_anything_else_is_said_to_be_no_key_file(content):
    with pytest.raises(TokenError):
        parse_key_file(content)


def test_nothing_of_a_token_is_shown():
    for key in parse_key_file(CONTENT).values():
        assert not set(masked(key).token) & set(key.token)


def ring(*contents, written_at=None, written_after=0.0, was_open=False):
    """Of a server whose file is read with these contents, one after the other, the last one for good."""
    left = list(contents)

    async def read():
        content = left.pop(0) if len(left) > 1 else left[0]
        return None if content is None else (content, written_at or time.time())

    return KeyRing(read, written_after=written_after, lock_file=Path("nowhere/keys.lock"), was_open=was_open)


def content(expires_at):
    text = datetime.fromtimestamp(expires_at, UTC).isoformat().replace("+00:00", "Z").encode()
    return CONTENT.replace(b"2026-01-01T03:39:28Z", text).replace(b"2026-01-01T03:39:28.100084375Z", text)


@pytest.mark.parametrize(
    ("lifetime", "left", "is_due"),
    [
        (3600, 61, False),
        (3600, 59, True),
        (60, 59, False),
        (60, 31, False),
        (60, 29, True),
        (3, 2, False),
        (3, 0, True),
    ],
)
async def test_due_before_it_expires_but_never_in_the_first_half_of_its_life(lifetime, left, is_due):
    now = time.time()
    keys = ring(content(now + left), written_at=now + left - lifetime)
    assert keys.is_due(await keys.token("inference")) is is_due
    assert not keys.is_due(await keys.token("api"))


async def test_a_file_that_is_just_being_written_is_read_again():
    assert (await ring(b"", CONTENT[:50], CONTENT).token("api")).token == "AAAAAAAA"
    with pytest.raises(TokenError, match="not what TorchServe writes"):
        await ring(b"", CONTENT, written_at=time.time() - 5).keys()


@pytest.mark.parametrize("found", [None, CONTENT], ids=["missing", "older"])
async def test_a_server_that_starts_has_no_keys_yet(found):
    now = time.time()
    with pytest.raises(ServerError, match="yet"):
        await ring(found, written_at=now - 600, written_after=now - 5).keys()


async def test_a_file_older_than_the_server_is_not_believed():
    now = time.time() - 200
    with pytest.raises(TokenError, match="older than the server"):
        await ring(CONTENT, written_at=now - 60, written_after=now).keys()
    with pytest.raises(TokenError, match="has no key_file"):
        await ring(None, written_after=now).keys()
    assert (await ring(CONTENT, written_at=now - 60, written_after=now - 120).token("api")).token == "AAAAAAAA"


async def test_a_key_file_that_is_removed_is_not_said_to_come_yet():
    with pytest.raises(TokenError, match="has no key_file"):
        await ring(None, written_after=time.time() - 5, was_open=True).keys()
