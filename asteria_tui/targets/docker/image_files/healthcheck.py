"""Says whether the models of this container can answer: exit status 0, or 1 with the reason.

`/ping` says Healthy without models and while workers crash-loop (docs/torchserve.md section 0), so the management
API is asked: every model that is meant to have workers has one that is READY, and there is at least one such.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import sys
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

CONFIG = Path(__file__).resolve().parent / "config" / "config.properties"
KEY_FILE = Path("key_file.json")
"""In the working directory, which a health check shares with the server."""
TIMEOUT_SECONDS = 4


def management_url(config: str) -> str:
    found = re.search(r"^management_address\s*=\s*https?://[^:\s]*:(\d+)", config, re.MULTILINE)
    return f"http://127.0.0.1:{found[1] if found else 8081}"


def get(url: str, token: str | None) -> Any:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with urllib.request.urlopen(  # noqa: S310 our own loopback address
        urllib.request.Request(url, headers=headers),  # noqa: S310
        timeout=TIMEOUT_SECONDS,
    ) as answer:
        return json.loads(answer.read() or b"null")


def part(name: str) -> str:
    """A name in a path: with `/token` in it the call would be taken for a renewal (docs/torchserve.md section 1)."""
    quoted = urllib.parse.quote(name, safe="")
    return f"%74{quoted[1:]}" if quoted.startswith("token") else quoted


def has_expired(key: dict[str, str], now: dt.datetime) -> bool:
    """Java writes nanoseconds and `Z`, which Python before 3.11 can't read: seconds are enough."""
    expires = dt.datetime.strptime(key["expiration time"][:19], "%Y-%m-%dT%H:%M:%S")  # noqa: DTZ007 made aware below
    return expires.replace(tzinfo=dt.timezone.utc) <= now  # noqa: UP017 Python 3.9


def management_token(management: str) -> str | None:
    """None where authorization is off. An expired token is renewed; a live one is left to its users."""
    try:
        keys = json.loads(KEY_FILE.read_text())
        if has_expired(keys["management"], dt.datetime.now(dt.timezone.utc)):  # noqa: UP017
            get(f"{management}/token?type=management", keys["API"]["key"])
            keys = json.loads(KEY_FILE.read_text())
    except FileNotFoundError:
        return None
    return str(keys["management"]["key"])


def complaint(descriptions: list[dict[str, Any]]) -> str:
    """Why not all of these model versions, as the management API describes them, are served; empty if they are."""
    wanted = [model for model in descriptions if model["minWorkers"] > 0]
    if not wanted:
        return "no model with workers is registered"
    for model in wanted:
        if not any(worker["status"] == "READY" for worker in model["workers"]):
            return f"{model['modelName']} {model['modelVersion']}: no worker is READY"
    return ""


def main() -> str:
    management = management_url(CONFIG.read_text())
    try:
        token = management_token(management)
        names = [model["modelName"] for model in get(f"{management}/models", token)["models"]]
        described = [
            description for name in names for description in get(f"{management}/models/{part(name)}/all", token)
        ]
    except urllib.error.HTTPError as error:
        return f"the management API answered {error.code}: {error.read()[:200].decode(errors='replace')}"
    except (OSError, ValueError, KeyError) as error:
        return f"the management API did not answer: {error}"
    return complaint(described)


if __name__ == "__main__":
    sys.exit(main() or 0)
