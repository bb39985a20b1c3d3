"""`keys`: shown masked or whole, and renewed."""

from __future__ import annotations

import pytest

from asteria_tui.errors import TokenError
from asteria_tui.events import KeysChanged
from asteria_tui.operations.keys import RenewKey, ShowKeys
from tests.fake_server import error


@pytest.fixture
async def rig(rig):
    await rig.up()
    return rig


def shown(rig):
    return {key.kind: key.token for key in rig.one(KeysChanged).keys}


async def test_masked_unless_asked(rig):
    await rig.run(ShowKeys())
    assert set(shown(rig).values()) == {"•" * 8}
    await rig.run(ShowKeys(reveal=True))
    assert shown(rig) == {"inference": "IIIIIII0", "management": "MMMMMMM0", "api": "AAAAAAA0"}


async def test_a_renewal_replaces_that_key_alone(rig):
    await rig.run(RenewKey(kind="inference", reveal=True))
    assert shown(rig) == {"inference": "IIIIIII1", "management": "MMMMMMM0", "api": "AAAAAAA0"}
    assert rig.server.calls == ["GET /token"]


async def test_a_renewal_that_is_refused(rig):
    refused = "Token Authentication failed. Token either incorrect, expired, or not provided correctly"
    rig.server.replies["GET /token"] = lambda _: error(400, "InvalidKeyException", refused)
    await rig.fail(RenewKey(kind="management"), TokenError, "refused the token")
    assert rig.all(KeysChanged) == []


async def test_a_server_without_token_authorization_has_none(rig):
    rig.settings('[models.echo]\nhandler = "handler.py"\n[server.properties]\ndisable_token_authorization = "true"\n')
    rig.server.has_tokens = False
    await rig.up()
    assert next(stage.summary for stage in rig.state.stages if stage.stage == "keys") == "token authorization is off"
    await rig.run(ShowKeys())
    assert rig.events == []
    await rig.fail(RenewKey(kind="inference"), TokenError, "without token authorization")
