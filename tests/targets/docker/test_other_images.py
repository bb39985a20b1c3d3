"""Images that asteria-tui did not build."""

from __future__ import annotations

import io
import json
import tarfile
import uuid
from collections.abc import Iterator

import pytest
from docker import DockerClient

from tests.targets.docker.conftest import MakeDockerFolder

pytestmark = pytest.mark.docker

# As the official image starts it (docs/torchserve.md section 9), on what our image holds.
DOCKERFILE = """
FROM {image}
USER root
RUN printf '#!/bin/sh\\ntorchserve --start --disable-token-auth\\ntail -f /dev/null\\n' \
    > /usr/local/bin/dockerd-entrypoint.sh && chmod +x /usr/local/bin/dockerd-entrypoint.sh \
    && rm -rf /home/model-server/* && mkdir /home/model-server/model-store /home/model-server/tmp \
    && chown 1000:1000 /home/model-server
LABEL asteria.recipe=
USER 1000
WORKDIR /home/model-server
ENV TEMP=/home/model-server/tmp
HEALTHCHECK NONE
ENTRYPOINT ["/usr/local/bin/dockerd-entrypoint.sh"]
CMD ["serve"]
"""


@pytest.fixture
def official_layout(docker_engine: DockerClient, torchserve_image: str) -> Iterator[str]:
    tag = f"asteria-tests:{uuid.uuid4().hex[:12]}"
    context = io.BytesIO()
    content = DOCKERFILE.format(image=torchserve_image).encode()
    with tarfile.open(fileobj=context, mode="w") as tar:
        member = tarfile.TarInfo("Dockerfile")
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    context.seek(0)
    docker_engine.images.build(fileobj=context, custom_context=True, tag=tag, rm=True)
    yield tag
    docker_engine.images.remove(tag, force=True)


def test_the_official_layout_is_recognized_said_and_started_with_tokens(
    make_docker_folder: MakeDockerFolder, official_layout: str
):
    folder = make_docker_folder(ASTERIA_DOCKER_IMAGE=official_layout)
    done = folder.run("up", "--json")
    said = done.one("noticed")["text"]
    assert "switches token authorization off" in said
    assert "/home/model-server/model-store" in said
    assert [key["kind"] for key in done.one("keys_changed")["keys"]] == ["inference", "management", "api"]
    assert done.one("predicted")["status"] == 200
    assert "java" in folder.container.top()["Processes"][0][-1].split()[0]
    assert json.loads(folder.run("predict", "-d", "1").out) == {"echo": 1}
    folder.down()


def test_image_build_skips_what_is_there_and_shows_the_steps_of_what_is_not(
    make_docker_folder: MakeDockerFolder, docker_engine: DockerClient
):
    folder = make_docker_folder()
    done = folder.run("image", "build", "--json").one("stage_finished")
    assert (done["stage"], done["unchanged"]) == ("image", True)
    tag = f"asteria-tests:{uuid.uuid4().hex[:12]}"
    folder.write("Dockerfile.torchserve", "FROM python:3.11-slim-bookworm\nRUN echo hello\n")
    built = folder.run("image", "build", "--json", ASTERIA_DOCKER_IMAGE=tag)
    steps = [event["text"] for event in built.all("stage_progressed") if event["unit"] == "step"]
    assert steps[:2] == ["FROM python:3.11-slim-bookworm", "RUN echo hello"]
    assert not built.one("stage_finished")["unchanged"]
    docker_engine.images.remove(tag)
