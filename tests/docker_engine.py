"""The real engine of the tests marked `docker`; tests/conftest.py imports the fixtures and the hook.

Without an engine these tests are skipped in one visible line; where ASTERIA_REQUIRE_DOCKER=1 that is a failure.
"""

from __future__ import annotations

import functools
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from docker import DockerClient

from asteria_tui.config import Project, settings_from
from asteria_tui.errors import TargetError
from asteria_tui.targets.docker import engine, image

REPOSITORY = Path(__file__).parents[1]


@functools.cache
def _client_or_refusal() -> DockerClient | str:
    """Of the engine that the tool itself would choose."""
    try:
        return engine.connect()
    except TargetError as error:
        return f"{error.title} ({error.detail.splitlines()[0]})"


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("docker") and isinstance(refusal := _client_or_refusal(), str):
        _do_without(refusal)


@pytest.fixture(scope="session")
def docker_engine() -> Iterator[DockerClient]:
    client = _client_or_refusal()
    if isinstance(client, str):
        _do_without(client)
    yield client
    client.close()


@pytest.fixture(scope="session")
def wheelhouse() -> Path:
    """What the image is built from without a network; `.ci/engine up DIR` fills DIR/wheels."""
    named = os.environ.get("ASTERIA_TEST_WHEELHOUSE")
    if not named:
        _do_without("ASTERIA_TEST_WHEELHOUSE names no wheelhouse")
    return Path(named)


@pytest.fixture(scope="session")
def torchserve_image(docker_engine: DockerClient, wheelhouse: Path) -> Iterator[str]:
    """The name of an image built from Dockerfile.torchserve; its layers stay on the engine as the cache."""
    tag = f"asteria-tests:{uuid.uuid4().hex[:12]}"
    project = Project(root=REPOSITORY, settings=settings_from({"docker": {"image": tag}}))
    image.build(docker_engine, project, wheelhouse=wheelhouse)
    yield tag
    docker_engine.api.remove_image(tag, force=True, noprune=True)


def _do_without(reason: str) -> NoReturn:
    if os.environ.get("ASTERIA_REQUIRE_DOCKER") == "1":
        pytest.fail(f"ASTERIA_REQUIRE_DOCKER=1, but {reason}", pytrace=False)
    pytest.skip(reason)
