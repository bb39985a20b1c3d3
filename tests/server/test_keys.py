"""key_file.json, by the schema of facts/torchserve section 1."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asteria_tui.errors import ServerError, TokenError
from asteria_tui.server.keys import KeyRing, is_due, masked, parse_key_file

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


def test_due_before_it_expires():
    [inference, *_] = (parse_key_file(CONTENT)["inference"],)
    assert is_due(inference)
    assert not is_due(parse_key_file(CONTENT)["api"])


@pytest.mark.parametrize("found", [None, (CONTENT, time.time() - 600)], ids=["missing", "older"])
async def test_a_server_that_starts_has_no_keys_yet(found):
    async def read():
        return found

    with pytest.raises(ServerError, match="yet"):
        await KeyRing(read, written_after=time.time() - 5).keys()


async def test_a_file_older_than_the_server_is_not_believed():
    now = time.time() - 200

    async def old():
        return CONTENT, now - 60

    async def missing():
        return None

    with pytest.raises(TokenError, match="older than the server"):
        await KeyRing(old, written_after=now).keys()
    with pytest.raises(TokenError, match="has no key_file"):
        await KeyRing(missing, written_after=now).keys()
    assert (await KeyRing(old, written_after=now - 120).token("api")).token == "AAAAAAAA"
