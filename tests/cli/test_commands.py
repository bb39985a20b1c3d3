"""The commands on the shared real server."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.conftest import Folder
from tests.waiting import until


def test_status_shows_a_ready_worker(shared: Folder):
    [state] = shared.run("status", "--json").events
    assert state["server"]["state"] == "running"
    assert state["server"]["pid"] == shared.java.pid
    models = {model["name"]: model for model in state["models"]}
    assert [worker["status"] for worker in models["echo"]["workers"]] == ["READY"]
    assert len(models["echo"]["sha256"]) == 64


def test_keys_are_masked_unless_revealed(shared: Folder):
    revealed = {line.split()[0]: line.split()[1] for line in shared.run("keys", "--reveal").out.splitlines()}
    assert set(revealed) == {"inference", "management", "api"}
    everything = [
        shared.run("keys"),
        shared.run("keys", "--json"),
        shared.run("status", "--json"),
        shared.run("predict", "-v", "--json"),
    ]
    for done in everything:
        assert not any(token in done.out + done.err for token in revealed.values())
    assert "never expires" in shared.run("keys").out


def test_a_key_can_be_renewed(shared: Folder):
    def tokens() -> dict[str, str]:
        [keys] = shared.run("keys", "--reveal", "--json").all("keys_changed")
        return {key["kind"]: key["token"] for key in keys["keys"]}

    before = tokens()
    shared.run("keys", "--renew", "inference")
    after = tokens()
    assert before["inference"] != after["inference"]
    assert before["management"] == after["management"]


@pytest.mark.parametrize(
    ("arguments", "stdin", "answer"),
    [
        ((), "", {"echo": {"hello": "world"}}),
        (("second",), "", {"echo": {"hello": "again"}}),
        (("-d", "[1, 2]"), "", {"echo": [1, 2]}),
        (("@samples/second.json",), "", {"echo": {"hello": "again"}}),
        (("-",), '{"from": "stdin"}', {"echo": {"from": "stdin"}}),
        (("-d", "plain", "--content-type", "text/plain"), "", {"echo": "plain"}),
    ],
)
def test_predict_sends_what_it_was_given(shared: Folder, arguments, stdin, answer):
    assert json.loads(shared.run("predict", *arguments, stdin=stdin).out) == answer


def test_a_model_whose_name_looks_like_a_rotation_can_be_managed(shared: Folder):
    assert [model["modelVersion"] for model in shared.run("models", "show", "tokenizer").events] == ["2.1"]
    assert json.loads(shared.run("predict", "-m", "tokenizer", "-d", "1").out) == {"echo": 1}


def test_the_six_verbs_of_models(shared: Folder):
    listed = shared.run("models").out
    assert "echo 1.0  1 of 1 workers ready" in listed
    assert shared.run("models", "list").out == listed
    shared.run("models", "register", "tokenizer.mar", "--name", "extra", "--workers", "0")
    assert "extra 2.1  0 of 0 workers ready" in shared.run("models").out
    assert shared.run("models", "register", "tokenizer.mar", "--name", "extra", code=4).err.count("registered already")
    shared.run("models", "scale", "extra", "1")
    assert "extra 2.1  1 of 1 workers ready" in shared.run("models").out
    shared.run("models", "default", "extra", "2.1")
    shared.run("models", "unregister", "extra")
    assert "extra" not in shared.run("models").out


def test_management_errors_say_what_to_do(shared: Folder):
    done = shared.run("models", "show", "nobody", code=4)
    assert "no such model on the server" in done.err
    assert "asteria-tui models" in done.err
    assert "file name in the store" in shared.run("models", "register", "../secret.mar", code=2).err
    assert "only archives of the store" in shared.run("models", "register", "file:///tmp/x.mar", code=2).err
    assert shared.run("models", "default", "echo", "9.9", code=4).err.count("no such version")


def test_no_worker_and_a_full_queue_are_told_apart(shared: Folder, tmp_path: Path):
    shared.run("models", "scale", "tokenizer", "0")
    done = shared.run("predict", "-m", "tokenizer", "-d", "1", code=4)
    assert "tokenizer has no worker" in done.err
    shared.run("models", "scale", "tokenizer", "1")

    go = tmp_path / "go"
    with ExitStack() as stack:
        stack.callback(go.touch)
        slow = ("predict", "-m", "tokenizer", "-d", json.dumps({"wait_for": str(go)}))
        sent = [stack.enter_context(shared.started(*slow)) for _ in range(5)]
        # One is worked on and two wait, or one more is refused before the worker has taken the first.
        until(lambda: sum(process.poll() is not None for process in sent) >= 2)
        go.touch()
        ended = [process.communicate(timeout=60) for process in sent]
        codes = [process.returncode for process in sent]
    assert 0 in codes
    refused = [err for (_, err), code in zip(ended, codes, strict=True) if code != 0]
    assert len(refused) >= 2
    assert all("the queue of tokenizer is full" in err for err in refused), refused


def test_json_errors_are_events_too(shared: Folder):
    failed = shared.run("predict", "-d", '{"raise": "boom"}', "--json", code=6).one("stage_failed")
    assert failed["exit_code"] == 6
    assert failed["cause"]["exception"] == "ValueError"
    assert failed["cause"]["frame"]["file"] == "handler.py"
    assert failed["title"] == "ValueError: boom, handler.py:12 in handle"


def test_inspect_names_the_entry_point(shared: Folder):
    shown = shared.run("inspect").out
    assert "handler.py: function handle" in shown
    assert "MAR-INF/MANIFEST.json" in shown
    report = json.loads(shared.run("inspect", "--json").out)
    assert report["model_name"] == "echo"
    assert report["scan"]["dangerous"] == []
