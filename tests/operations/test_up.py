"""The main job on a real TorchServe: up, again, changed, down."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import ROOT, Folder, MakeFolder

pytestmark = pytest.mark.torchserve


def test_ends_with_a_prediction_for_each_model_that_has_a_sample(shared: Folder):
    done = shared.first_up
    stages = [(event["stage"], event["model"]) for event in done.all("stage_finished")]
    assert stages == [
        ("package", "echo"),
        ("package", "tokenizer"),
        ("store", None),
        ("start", None),
        ("ready", "echo"),
        ("ready", "tokenizer"),
        ("keys", None),
        ("predict", "echo"),
        ("predict", "tokenizer"),
    ]
    predicted = done.one("predicted")
    assert (predicted["status"], predicted["body"]) == (200, {"echo": {"hello": "world"}})
    assert predicted["sample"] == "first"


def test_a_model_without_a_sample_is_said_to_be_unproven(shared: Folder):
    last = shared.first_up.all("stage_finished")[-1]
    assert last["model"] == "tokenizer"
    assert "not tested" in last["summary"]


def test_a_second_up_finds_everything_right_and_still_predicts(shared: Folder):
    before = shared.java.pid
    done = shared.run("up", "--json")
    unchanged = {event["stage"] for event in done.all("stage_finished") if event["unchanged"]}
    assert unchanged == {"package", "store", "start", "ready"}
    assert done.one("predicted")["status"] == 200
    assert shared.java.pid == before


def test_a_changed_handler_is_loaded_into_the_running_server(make_folder: MakeFolder):
    folder = make_folder()
    folder.run("up")
    java = folder.java.pid
    folder.write("handler.py", 'def handle(data, context):\n    return ["changed"] * len(data or ())\n')
    done = folder.run("up", "--json")
    assert done.one("predicted")["body"] == "changed"
    assert folder.java.pid == java
    # Other settings of a model are applied too, without a new archive.
    toml = (folder.path / "asteria.toml").read_text()
    (folder.path / "asteria.toml").write_text(toml + "workers = 2\n")
    done = folder.run("up", "--json")
    assert [len(model["workers"]) for model in done.all("models_changed")[-1]["models"]] == [2]
    # A setting that only a restart applies, applied.
    (folder.path / "asteria.toml").write_text(toml + "[server]\ntoken_expiration_minutes = 30\n")
    folder.run("up")
    assert folder.java.pid != java


def test_serves_a_ready_made_archive_without_a_project(shared: Folder, make_folder: MakeFolder):
    folder = make_folder("bare")
    for name in ("asteria.toml", "handler.py"):
        (folder.path / name).unlink()
    archive = shared.path / "model_store/tokenizer.mar"
    done = folder.run("up", str(archive), "--json")
    assert "not tested" in done.all("stage_finished")[-1]["summary"]
    # Every later command finds that server without a project file too.
    answer = folder.run("predict", "-d", '{"a": 1}')
    assert json.loads(answer.out) == {"echo": {"a": 1}}
    assert folder.run("status").out.startswith("running")
    folder.down()


def test_the_bundled_project_scores_its_samples(make_folder: MakeFolder, tmp_path: Path):
    folder = Folder(tmp_path / "anomaly")
    folder.path.mkdir()
    for name in ("asteria.toml", "handler", "model"):
        (folder.path / name).symlink_to(ROOT / name)
    try:
        body = folder.run("up", "--json").one("predicted")["body"]
        assert 0 <= body["anomaly_score"] < 0.5
        assert json.loads(folder.run("predict", "outage").out)["anomaly_score"] > 0.5
    finally:
        folder.down()


def test_two_projects_run_side_by_side(shared: Folder, make_folder: MakeFolder):
    other = make_folder("other")
    other.run("up")
    assert other.java.pid != shared.java.pid
    assert json.loads(other.run("predict", "-d", "1").out) == {"echo": 1}
    assert json.loads(shared.run("predict", "-d", "2").out) == {"echo": 2}
    other.down()
    assert shared.run("status").code == 0
