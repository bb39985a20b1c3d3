"""How `dev` begins and ends on a real server, and what is served then. The tests are steps on one server."""

from __future__ import annotations

import json
import signal

import pytest

from tests.conftest import Folder
from tests.dev.running import Client, DevRun, plain_is_served, wait_for_end

pytestmark = pytest.mark.torchserve

HANDLER = "def handle(data, context):\n    return data and [{{'value': {value}}} for _ in data]\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = Folder(tmp_path_factory.mktemp("ends"))
    made.write("handler.py", HANDLER.format(value=0))
    made.write("samples/first.json", "1")
    made.write("config.yaml", "batchSize: 1\nresponseTimeout: 7\n")
    made.write(
        "asteria.toml",
        '[models.echo]\nhandler = "handler.py"\nsamples = "samples"\nconfig_file = "config.yaml"\nversion = "2.0"\n',
    )
    made.run("up")
    yield made
    made.kill()


@pytest.fixture
def dev(folder):
    folder.write("handler.py", HANDLER.format(value=0))
    if not (folder.path / ".asteria/server/state.json").exists():
        folder.run("up")
    run = DevRun(folder).ready()
    yield run
    run.end()


def value(folder):
    return Client(folder).ask("echo", 1)[1]["value"]


def left_by_dev(folder):
    places = (folder.path / ".asteria/dev.json", *(folder.path / ".asteria/dev").glob("*"))
    return [path for path in (*places, *(folder.path / "model_store").glob("*.dev.mar")) if path.exists()]


def test_ctrl_c_leaves_the_plain_archive_of_the_new_code(dev, folder):
    java = folder.java.pid
    assert folder.state["models"]["echo"]["is_dev"]
    dev.write("handler.py", HANDLER.format(value=1))
    assert dev.end() == 130
    assert folder.java.pid == java
    assert plain_is_served(folder)
    assert value(folder) == 1
    assert Client(folder).ask("echo", 1)[2] == ""
    assert left_by_dev(folder) == []
    assert folder.run("up", "--json").one("predicted")["body"] == {"value": 1}


def test_ctrl_c_with_code_that_does_not_work_leaves_what_was_served_before(folder):
    before = value(folder)
    dev = DevRun(folder).ready()
    assert dev.write("handler.py", HANDLER.format(value=99))["samples"][0]["body"] == {"value": 99}
    dev.write("handler.py", "def handle(:\n")
    assert dev.end() == 130
    assert plain_is_served(folder)
    assert value(folder) == before
    assert left_by_dev(folder) == []


def test_the_timeouts_of_the_server_are_those_of_a_day(dev, folder):
    model = json.loads(folder.run("models", "show", "echo", "--json").out)
    assert (model["responseTimeout"], model["startupTimeout"]) == (86400, 86400)


def test_up_elsewhere_takes_the_server(dev, folder):
    folder.write("handler.py", HANDLER.format(value=2))
    done = folder.run("up", "--json")
    assert f"dev (pid {dev.process.pid}) had the server, and ends" in [one["text"] for one in done.all("noticed")]
    assert wait_for_end(dev) == 0
    assert "another asteria-tui has the server now" in dev.all("noticed")[-1]["text"]
    assert plain_is_served(folder)
    assert value(folder) == 2
    assert left_by_dev(folder) == []


def test_a_dev_that_was_killed_counts_for_nothing(dev, folder):
    dev.end(signal.SIGKILL)
    assert folder.state["models"]["echo"]["is_dev"]
    other = DevRun(folder).ready()
    assert other.write("handler.py", HANDLER.format(value=3))["samples"][0]["body"] == {"value": 3}
    other.end(signal.SIGKILL)
    folder.run("up")
    assert plain_is_served(folder)
    assert value(folder) == 3
    assert left_by_dev(folder) == []


def test_a_new_worker_where_the_config_of_the_model_changes(dev):
    event = dev.write("config.yaml", "batchSize: 1\nresponseTimeout: 8\n")
    assert (event["depth"], event["file"], event["line"]) == ("worker", "config.yaml", 2)
    assert "config.yaml is read when a worker starts" in event["reason"]
    assert event["samples"][0]["status"] == 200


def test_the_model_anew_where_its_settings_change(dev, folder):
    before = (folder.path / "asteria.toml").read_text()
    folder.write("other.py", HANDLER.format(value=7))
    event = dev.write("asteria.toml", before.replace('"handler.py"', '"other.py"'))
    assert (event["depth"], event["samples"][0]["body"]) == ("live", {"value": 7})
    assert dev.write("other.py", HANDLER.format(value=8))["file"] == "other.py"
    event = dev.write("asteria.toml", before)
    assert event["samples"][0]["differences"] == [{"path": "value", "before": 8, "after": 0}]
    event = dev.write("asteria.toml", before + "workers = 2\n")
    assert (event["depth"], event["reason"]) == ("roll", "settings of echo are others")
    java = folder.java.pid
    event = dev.write("asteria.toml", before + "[server]\ntoken_expiration_minutes = 61.0\n")
    assert event["depth"] == "restart"
    assert folder.java.pid != java
    assert event["samples"][0]["body"] == {"value": 0}
    dev.write("asteria.toml", before)


def test_a_new_worker_for_each_save_where_that_is_asked_for(folder):
    if not (folder.path / ".asteria/server/state.json").exists():
        folder.run("up")
    run = DevRun(folder, "--depth", "worker").ready()
    try:
        event = run.write("handler.py", HANDLER.format(value=4))
        assert (event["depth"], event["samples"][0]["body"]) == ("worker", {"value": 4})
    finally:
        run.end()


def test_a_request_that_takes_longer_than_the_project_allows(dev, folder):
    before = (folder.path / "asteria.toml").read_text()
    dev.write("asteria.toml", before + "response_timeout = 1\n")
    slow = "import time\n\ndef handle(data, context):\n    if data and data[0]['body'] == 5:\n        time.sleep(60)\n"
    dev.write("handler.py", slow + "    return data and [{'value': 9}]\n")
    status, body, _ = Client(folder).ask("echo", 5)
    assert (status, body["message"]) == (500, "Worker died.")
    late = next(one for one in dev.all("noticed") if "took longer than response_timeout (1 s)" in one["text"])
    assert "at handler.py:5 in handle" in late["text"]
    assert "in handle" in late["hint"]
    assert value(folder) == 9
    dev.write("asteria.toml", before)


def test_a_server_that_ends_under_it_is_started_again_as_it_was_before(dev, folder):
    folder.java.kill()
    assert wait_for_end(dev) == 4
    assert dev.all("operation_failed")[0]["title"] == "the server ended"
    assert plain_is_served(folder)
    assert value(folder) == 0


def test_down_elsewhere_ends_it(dev, folder):
    done = folder.run("down", "--json")
    assert str(dev.process.pid) in done.all("noticed")[0]["text"]
    assert wait_for_end(dev) == 0
    assert folder.left_over() == []
    assert left_by_dev(folder) == []


def test_where_nothing_ran_before_nothing_runs_after_it(folder):
    folder.write("handler.py", "def handle(:\n")  # it comes up all the same
    folder.run("down")
    run = DevRun(folder)
    event = run.until("reloaded")
    assert (event["cause"]["exception"], event["cause"]["frame"]["line"]) == ("SyntaxError", 1)
    event = run.write("handler.py", HANDLER.format(value=5))
    assert event["samples"][0]["body"] == {"value": 5}
    assert run.end() == 130
    assert folder.left_over() == []


def test_stopped_as_asked(folder):
    folder.write("handler.py", HANDLER.format(value=0))
    folder.run("up")
    run = DevRun(folder, "--stop").ready()
    assert run.end() == 130
    assert folder.left_over() == []


def test_elsewhere_than_on_this_machine_it_is_refused(folder):
    refused = folder.run("dev", "--target", "docker", "--json", code=None)
    assert refused.code == 3
    assert "this machine" in refused.one("operation_failed")["title"]
