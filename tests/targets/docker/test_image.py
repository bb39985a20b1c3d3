from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asteria_tui.config import Project, settings_from
from asteria_tui.errors import ConfigError, ExitCode, TargetError
from asteria_tui.targets.docker import image
from asteria_tui.targets.docker.image import BuildContext, BuildProgress


def project_in(root: Path, **tables) -> Project:
    return Project(root=root, settings=settings_from(tables))


def packed(context: BuildContext) -> tarfile.TarFile:
    return tarfile.open(fileobj=io.BytesIO(b"".join(image.tar_stream(context))))


@pytest.fixture
def wheels(tmp_path) -> Path:
    directory = tmp_path / "wheels"
    directory.mkdir()
    (directory / "one-1.0-py3-none-any.whl").write_bytes(b"1" * 1000)
    (directory / "two-1.0-py3-none-any.whl").write_bytes(b"2" * (image.CHUNK + 1))
    (directory / "notes.txt").write_text("not a wheel")
    return directory


def test_context_holds_what_the_dockerfile_copies_and_nothing_else(tmp_path, wheels):
    (tmp_path / "secret.txt").write_text("not for an image")
    with packed(image.make_context(project_in(tmp_path), wheels)) as tar:
        assert set(tar.getnames()) == {
            "Dockerfile",
            "launch.py",
            "healthcheck.py",
            "config.properties",
            "constraints.txt",
            "requirements.txt",
            "wheels",
            "wheels/one-1.0-py3-none-any.whl",
            "wheels/two-1.0-py3-none-any.whl",
        }
        copied = {word for line in lines_of(tar, "Dockerfile") if line.startswith("COPY ") for word in line.split()}
    assert {"launch.py", "healthcheck.py", "config.properties", "constraints.txt", "requirements.txt"} < copied


def lines_of(tar: tarfile.TarFile, name: str) -> list[str]:
    return tar.extractfile(name).read().decode().splitlines()


@given(st.dictionaries(st.text("abcxyz", min_size=1), st.binary(max_size=2000), max_size=4))
def test_tar_round_trip(recipe):
    with packed(BuildContext(recipe=recipe)) as tar:
        members = {member.name: tar.extractfile(member).read() for member in tar if member.isfile()}
    assert members == recipe


def test_wheels_are_streamed_whole_and_in_bounded_chunks(tmp_path, wheels):
    seen: list[BuildProgress] = []
    context = image.make_context(project_in(tmp_path), wheels)
    chunks = list(image.tar_stream(context, seen.append))
    assert max(map(len, chunks)) <= image.CHUNK
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as tar:
        for wheel in context.wheels:
            assert tar.extractfile(f"wheels/{wheel.name}").read() == wheel.read_bytes()
    assert [(step.unit, step.done == step.total) for step in seen] == [("B", False), ("B", False), ("B", True)]


def test_same_inputs_give_the_same_bytes(tmp_path, wheels):
    first, second = (list(image.tar_stream(image.make_context(project_in(tmp_path), wheels))) for _ in range(2))
    assert first == second


RECIPES = st.dictionaries(st.text("ab\0", min_size=1, max_size=2), st.binary(max_size=3), max_size=3)


@given(RECIPES, RECIPES)
def test_recipe_hash_tells_recipes_apart(one, other):
    assert (BuildContext(recipe=one).recipe_hash == BuildContext(recipe=other).recipe_hash) == (one == other)


def test_wheels_hash_follows_names_and_sizes(tmp_path, wheels):
    project = project_in(tmp_path)
    before = image.make_context(project, wheels).wheels_hash
    (wheels / "notes.txt").write_text("still not a wheel")
    assert image.make_context(project, wheels).wheels_hash == before
    (wheels / "one-1.0-py3-none-any.whl").write_bytes(b"1" * 1001)
    assert image.make_context(project, wheels).wheels_hash != before
    assert image.make_context(project).wheels_hash == ""


def test_requirements_of_all_models_and_constraints_of_the_project(tmp_path):
    (tmp_path / "a.txt").write_text("numpy")
    (tmp_path / "b.txt").write_text("pandas")
    (tmp_path / "constraints.txt").write_text("numpy==2.4.6")
    named = ("a.txt", "b.txt", "a.txt")
    models = {f"m{i}": {"handler": "h.py", "requirements_file": file} for i, file in enumerate(named)}
    with packed(image.make_context(project_in(tmp_path, models=models))) as tar:
        assert lines_of(tar, "requirements.txt") == ["numpy", "pandas"]
        assert lines_of(tar, "constraints.txt") == ["numpy==2.4.6"]


def test_project_with_a_dockerfile_of_its_own(tmp_path):
    (tmp_path / "Dockerfile.torchserve").write_text("FROM mine\n")
    assert image.make_context(project_in(tmp_path)).recipe["Dockerfile"] == b"FROM mine\n"


def test_bundled_dockerfile_is_the_packaged_one():
    top_level = Path(image.__file__).parents[3] / "Dockerfile.torchserve"
    assert top_level.read_bytes() == (image.IMAGE_FILES / "Dockerfile").read_bytes()


@pytest.mark.parametrize(
    ("tables", "missing"),
    [
        ({"docker": {"dockerfile": "Dockerfile.mine"}}, "Dockerfile.mine"),
        ({"models": {"m": {"handler": "h.py", "requirements_file": "no.txt"}}}, "no.txt"),
    ],
)
def test_missing_file_is_named(tmp_path, tables, missing):
    with pytest.raises(ConfigError, match=f"cannot read {missing}"):
        image.make_context(project_in(tmp_path, **tables))


def test_wheelhouse_without_wheels(tmp_path):
    with pytest.raises(ConfigError, match="no wheels in") as caught:
        image.make_context(project_in(tmp_path), tmp_path / "none")
    assert "pip download" in caught.value.hint


def said(*lines: str) -> list[dict[str, str]]:
    return [{"stream": f"{line}\n"} for line in lines]


def test_follow_reports_steps_output_and_layers():
    seen: list[BuildProgress] = []
    lines = [
        *said("Step 1/2 : FROM base"),
        {"status": "Downloading", "id": "abc", "progressDetail": {"current": 5, "total": 10}},
        *said(" ---> 0123", "STEP 2/2: RUN make", "\x1b[91ma warning\x1b[0m"),
        {"aux": {"ID": "sha256:42"}},
    ]
    assert image.follow(lines, seen.append, {}) == "sha256:42"
    assert seen == [
        BuildProgress(text="FROM base", done=1, total=2, unit="step"),
        BuildProgress(text="abc Downloading", done=5, total=10, unit="B"),
        BuildProgress(text=" ---> 0123"),
        BuildProgress(text="RUN make", done=2, total=2, unit="step"),
        BuildProgress(text="a warning"),
    ]


def failure(lines, arguments=None) -> TargetError:
    with pytest.raises(TargetError) as caught:
        image.follow(lines, lambda _: None, arguments or {})
    assert caught.value.exit_code == ExitCode.TARGET
    return caught.value


def test_failing_step_shows_its_own_last_lines():
    output = [f"line {i}" for i in range(30)]
    error = failure([*said("Step 1/3 : RUN a", "of the first step", "Step 2/3 : RUN b", *output), {"error": "code 3"}])
    assert error.title == "building the image failed at step 2/3: RUN b"
    assert error.detail.splitlines() == [*output[-image.KEPT_LINES :], "code 3"]


@pytest.mark.parametrize(("arguments", "base"), [({}, "python:3.11"), ({"BASE_IMAGE": "mine:1"}, "mine:1")])
def test_missing_base_image_is_named(arguments, base):
    lines = said("Step 1/9 : ARG BASE_IMAGE=python:3.11", "Step 2/9 : FROM ${BASE_IMAGE} AS packages")
    error = failure([*lines, {"error": "pull access denied"}], arguments)
    assert error.title == f"the base image {base} is not to be had"
    assert error.detail == "pull access denied"
    assert "--base" in error.hint


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("ERROR: No matching distribution found for torch", "--wheelhouse"),
        ("write /x: no space left on device", "docker system df"),
    ],
)
def test_common_failures_have_a_hint(line, hint):
    assert hint in failure([*said("Step 1/1 : RUN x", line), {"error": "code 1"}]).hint


def test_stream_that_ends_without_an_image_is_an_error():
    assert "without an image" in failure(said("Step 1/9 : FROM x")).title


def test_the_wheelhouse_may_stand_in_the_project_file(tmp_path):
    """Read before the engine is asked for anything."""
    project = Project(root=tmp_path, settings=settings_from({"docker": {"wheelhouse": "wheels"}}))
    with pytest.raises(ConfigError, match="no wheels in"):
        image.build(None, project)
