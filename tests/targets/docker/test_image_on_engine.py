"""Builds on the real engine."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from docker import DockerClient
from docker.errors import ImageNotFound

from asteria_tui.config import Project, settings_from
from asteria_tui.errors import ConfigError, TargetError
from asteria_tui.targets.docker import image
from asteria_tui.targets.docker.image import BuildProgress
from tests.waiting import until

pytestmark = pytest.mark.docker

BASE = "python:3.11-slim-bookworm"


@pytest.fixture
def project(docker_engine: DockerClient, tmp_path: Path) -> Iterator[Project]:
    """With a Dockerfile of its own, so that builds take a second."""
    tag = f"asteria-tests:{uuid.uuid4().hex[:12]}"
    (tmp_path / "Dockerfile.torchserve").write_text(f"ARG BASE_IMAGE={BASE}\nFROM $BASE_IMAGE\nRUN echo hello\n")
    yield Project(root=tmp_path, settings=settings_from({"docker": {"image": tag}}))
    with contextlib.suppress(ImageNotFound):
        docker_engine.images.remove(tag, force=True)


def write_dockerfile(project: Project, *lines: str) -> None:
    (project.root / "Dockerfile.torchserve").write_text("\n".join([f"FROM {BASE}", *lines]))


def test_second_build_of_the_same_is_skipped(docker_engine, project):
    first = image.build(docker_engine, project)
    second = image.build(docker_engine, project)
    assert (first.skipped, second.skipped) == (False, True)
    assert first.id == second.id == docker_engine.images.get(first.tag).id


def test_change_is_built_and_the_former_image_goes(docker_engine, project):
    first = image.build(docker_engine, project)
    write_dockerfile(project, "RUN echo changed")
    second = image.build(docker_engine, project)
    assert not second.skipped
    with pytest.raises(ImageNotFound):
        docker_engine.images.get(first.id)


def test_former_image_stays_while_it_has_another_name(docker_engine, project):
    first = image.build(docker_engine, project)
    kept = f"asteria-tests:{uuid.uuid4().hex[:12]}"
    docker_engine.images.get(first.id).tag(kept)
    write_dockerfile(project, "RUN echo changed again")
    image.build(docker_engine, project)
    assert docker_engine.images.get(kept).id == first.id
    docker_engine.images.remove(kept)


def test_option_that_is_not_given_is_not_compared(docker_engine, project):
    assert not image.build(docker_engine, project, base=BASE).skipped
    assert image.build(docker_engine, project).skipped
    assert image.build(docker_engine, project, base=BASE).skipped
    assert not image.build(docker_engine, project, torch_index="file:///none").skipped


def test_progress_tells_steps_and_their_output(docker_engine, project):
    seen: list[BuildProgress] = []
    image.build(docker_engine, project, progress=seen.append)
    steps = [step for step in seen if step.unit == "step"]
    assert [step.text for step in steps[:3]] == [f"ARG BASE_IMAGE={BASE}", "FROM $BASE_IMAGE", "RUN echo hello"]
    assert [step.done for step in steps] == list(range(1, len(steps) + 1))
    assert {step.total for step in steps} == {len(steps)}


def test_failing_step_is_shown_with_its_output(docker_engine, project):
    write_dockerfile(project, "RUN echo fine", f"RUN echo {uuid.uuid4()} why; exit 3")
    with pytest.raises(
        TargetError, match=r"building the image failed at step 3/\d+: RUN echo .* why; exit 3"
    ) as caught:
        image.build(docker_engine, project)
    assert " why\n" in caught.value.detail
    assert "returned a non-zero code: 3" in caught.value.detail
    assert image.find(docker_engine, project.settings.docker.image) is None


def test_missing_base_image(docker_engine, project):
    nowhere = "127.0.0.1:1/nobody/nothing:1"
    with pytest.raises(TargetError, match=f"the base image {nowhere} is not to be had") as caught:
        image.build(docker_engine, project, base=nowhere)
    assert "--base IMAGE" in caught.value.hint


def test_dockerfile_that_is_none(docker_engine, project):
    (project.root / "Dockerfile.torchserve").write_text("NONSENSE\n")
    with pytest.raises(TargetError) as caught:
        image.build(docker_engine, project)
    assert "NONSENSE" in caught.value.detail.upper()


def test_image_of_somebody_else_is_not_replaced(docker_engine, project):
    tag = project.settings.docker.image
    docker_engine.images.get(BASE).tag(tag)
    with pytest.raises(ConfigError, match="was not built by asteria-tui"):
        image.build(docker_engine, project)
    assert docker_engine.images.get(tag).id == docker_engine.images.get(BASE).id


class InterruptionError(Exception):
    """The user had enough."""


def test_progress_that_raises_ends_the_build_at_the_engine(docker_engine, project):
    mark = uuid.uuid4().hex
    write_dockerfile(project, f"RUN echo started; sleep 600; echo {mark}")

    def interrupt(step: BuildProgress) -> None:
        if step.text == "started":
            raise InterruptionError

    with pytest.raises(InterruptionError):
        image.build(docker_engine, project, progress=interrupt)
    until(lambda: not any(mark in str(one["Command"]) for one in docker_engine.api.containers()), seconds=30)


def test_torchserve_image_is_small_and_has_no_build_tools(docker_engine, torchserve_image):
    assert docker_engine.images.get(torchserve_image).attrs["Size"] <= 2.0e9
    found = docker_engine.containers.run(
        torchserve_image, ["-c", "command -v cc gcc g++ ld make; ls -d /build; true"], entrypoint="sh", remove=True
    )
    assert found == b""
