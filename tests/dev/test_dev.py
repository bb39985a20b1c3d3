"""`dev` on a real server: one for all tests that leave it as it was."""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path

import pytest

from tests.conftest import Folder
from tests.dev.running import Client, DevRun, replace
from tests.waiting import until

pytestmark = pytest.mark.torchserve

HANDLER = """
import helper

def handle(data, context):
    if data is None:
        return None
    return [{{"value": {value}, "helper": helper.VALUE}} for item in data]
"""
CLASS = """
import torch
from pathlib import Path

class Handler:
    def initialize(self, context):
        file = context.manifest["model"]["serializedFile"]
        self.weights = torch.load(Path(context.system_properties["model_dir"], file))

    def handle(self, data, context):
        return [{{"value": {value}, "weights": float(self.weights.sum())}} for _ in data]
"""


NET = """
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1, bias=False)

    def forward(self, x):
        return self.layer(x) * {factor}
"""
BASE = """
from pathlib import Path
from ts.torch_handler.base_handler import BaseHandler

class Handler(BaseHandler):
    def preprocess(self, data):
        return super().preprocess([[float(item["body"])] for item in data])

    def postprocess(self, data):
        words = sorted(file.name for file in Path(self.model_pt_path).parent.glob("*.txt"))
        return [{"y": y, "words": words} for [y] in data.tolist()]
"""
SILENT = "def answer(data, context):\n    return data and [{value} for _ in data]\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    import torch

    made = Folder(tmp_path_factory.mktemp("dev"))
    made.write("handler.py", HANDLER.format(value=0))
    made.write("helper.py", "VALUE = 'a'\n")
    made.write("other.py", CLASS.format(value=0))
    torch.save(torch.ones(3), made.path / "weights.pt")
    made.write("net.py", NET.format(factor=1))
    made.write("base.py", BASE)
    made.write("words/one.txt", "")
    torch.save({"layer.weight": torch.ones(1, 1)}, made.path / "net.pt")
    made.write("silent.py", SILENT.format(value=0))
    made.write("samples/first.json", "1")
    made.write("samples/second.json", "2")
    made.write(
        "asteria.toml",
        """
        [models.echo]
        handler = "handler.py"
        extra_files = ["helper.py"]
        samples = "samples"
        workers = 2

        [models.other]
        handler = "other.py"
        serialized_file = "weights.pt"
        samples = "samples"

        [models.base]
        handler = "base.py"
        model_file = "net.py"
        serialized_file = "net.pt"
        extra_files = ["words"]
        samples = "samples"

        [models.silent]
        handler = "silent.py:answer"
        """,
    )
    yield made
    made.kill()


@pytest.fixture(scope="module")
def run(folder):
    started = DevRun(folder, "first", "second")
    started.until("predicted", lambda event: event["model"] == "base" and event["sample"] == "second")
    yield started
    assert started.end() == 130
    assert folder.left_over() == []  # nothing ran before


@pytest.fixture
def dev(run, folder):
    """With the code of the beginning in service, for each test."""
    models = {"handler.py": "echo", "helper.py": "echo", "other.py": "other", "weights.pt": "other", "net.py": "base"}
    files = {name: (folder.path / name).read_bytes() for name in models}
    yield run
    for name, content in files.items():
        if not (folder.path / name).exists() or (folder.path / name).read_bytes() != content:
            model = models[name]
            after = len(run.events)
            (folder.path / name).write_bytes(content)
            run.until(
                "reloaded", lambda event, model=model: event["model"] == model and not event["cause"], after=after
            )


def value_of(event, sample="first"):
    [answer] = [one for one in event["samples"] if one["sample"] == sample]
    return answer["body"]["value"]


def test_a_save_is_one_line_with_what_it_changed(dev):
    event = dev.write("handler.py", HANDLER.format(value=41))
    assert (event["model"], event["file"], event["line"], event["depth"]) == ("echo", "handler.py", 7, "live")
    assert [answer["sample"] for answer in event["samples"]] == ["first", "second"]
    assert event["samples"][0]["differences"] == [{"path": "value", "before": 0, "after": 41}]
    predicted = [one for one in dev.all("predicted") if one["model"] == "echo"][-1]
    assert predicted["sources_sha256"] == event["sources_sha256"]


def test_status_says_that_it_is_served_by_dev(dev, folder):
    shown = folder.run("status").out
    assert "echo 1.0 (dev)" in shown
    models = json.loads(folder.run("status", "--json").out)["models"]
    assert {model["is_dev"] for model in models} == {True}


def test_a_hundred_edits_and_never_an_old_answer_after_a_new_one_was_announced(dev, folder):
    client = Client(folder)
    announced = [0]
    wrong: list[tuple[int, int]] = []
    is_over = threading.Event()

    def keep_asking() -> None:
        while not is_over.is_set():
            least = announced[0]
            status, body, _ = client.ask("echo", 1)
            if status != 200 or body["value"] < least:
                wrong.append((least, status if status != 200 else body["value"]))

    clients = [threading.Thread(target=keep_asking) for _ in range(3)]
    for one in clients:
        one.start()
    try:
        for value in range(1, 101):
            event = dev.write(
                "handler.py", HANDLER.format(value=value), lambda event, value=value: value_of(event) == value
            )
            announced[0] = value
            assert event["depth"] == "live"
            # Both workers, whichever answers.
            answers = [client.ask("echo", 1) for _ in range(2)]
            assert {(body["value"], sources) for _, body, sources in answers} == {(value, event["sources_sha256"])}
    finally:
        is_over.set()
        for one in clients:
            one.join()
    assert wrong == []


@pytest.mark.parametrize(
    ("name", "broken", "exception", "line"),
    [
        ("handler.py", "\n\ndef handle(:\n", "SyntaxError", 3),
        ("handler.py", "\nimport nothing_of_that_name\n", "ModuleNotFoundError", 2),
        ("helper.py", "VALUE = missing\n", "NameError", 1),
        (
            "other.py",
            "class Handler:\n    def initialize(self, c):\n        {}['x']\n    def handle(self): ...\n",
            "KeyError",
            3,
        ),
    ],
)
def test_what_does_not_load_is_told_with_its_line_and_the_old_code_answers(dev, folder, name, broken, exception, line):
    event = dev.write(name, broken)
    assert event["cause"]["exception"] == exception
    assert (event["cause"]["frame"]["file"], event["cause"]["frame"]["line"]) == (name, line)
    status, body, _ = Client(folder).ask(event["model"], 1)
    assert (status, body["value"]) == (200, 0)


def test_an_exception_in_inference_is_told_with_its_line(dev):
    event = dev.write("handler.py", HANDLER.format(value="{}['x']"))
    answer = event["samples"][0]
    assert (answer["status"], answer["cause"]["exception"]) == (503, "KeyError")
    assert (answer["cause"]["frame"]["file"], answer["cause"]["frame"]["line"]) == ("handler.py", 7)
    assert event["cause"] is None
    assert dev.write("handler.py", HANDLER.format(value=1))["samples"][0]["differences"] == [
        {"path": "value", "before": 0, "after": 1}
    ]


def test_two_saves_within_ten_milliseconds(dev, folder):
    def twice() -> None:
        replace(folder.path / "handler.py", HANDLER.format(value=1))
        replace(folder.path / "handler.py", HANDLER.format(value=2))

    assert value_of(dev.saved(twice, lambda event: value_of(event) == 2)) == 2


def test_an_editor_that_truncates_first_and_one_that_takes_its_time(dev, folder):
    text = HANDLER.format(value=3)

    def slowly() -> None:
        with (folder.path / "handler.py").open("w") as file:
            file.flush()
            os.fsync(file.fileno())
            file.write(text[:20])
            file.flush()
            file.write(text[20:])

    assert value_of(dev.saved(slowly, lambda event: event["samples"] and value_of(event) == 3)) == 3


def test_a_file_that_goes_and_comes_back(dev, folder):
    text = (folder.path / "helper.py").read_text()
    gone = dev.saved((folder.path / "helper.py").unlink)
    assert gone["cause"]["exception"] == "ModuleNotFoundError"
    assert Client(folder).ask("echo", 1)[1]["helper"] == "a"
    back = dev.write("helper.py", text.replace("a", "b"))
    assert back["samples"][0]["body"]["helper"] == "b"


def test_same_size_in_the_same_second(dev, folder):
    stat = (folder.path / "handler.py").stat()
    for value in (1, 2, 3):
        dev.saved(
            lambda value=value: (
                (folder.path / "handler.py").write_text(HANDLER.format(value=value)),
                os.utime(folder.path / "handler.py", (stat.st_mtime, stat.st_mtime + value / 1000)),
            ),
            lambda event, value=value: value_of(event) == value,
        )


def test_weights_are_loaded_anew(dev, folder):
    import torch

    def save() -> None:
        torch.save(torch.ones(3) * 2, folder.path / "weights.new")
        (folder.path / "weights.new").replace(folder.path / "weights.pt")

    event = dev.saved(save)
    assert (event["model"], event["file"], event["line"]) == ("other", "weights.pt", None)
    assert event["samples"][0]["differences"] == [{"path": "weights", "before": 3.0, "after": 6.0}]


def test_a_base_handler_whose_network_changes(dev):
    event = dev.write("net.py", NET.format(factor=2))
    assert (event["model"], event["file"], event["line"], event["depth"]) == ("base", "net.py", 10, "live")
    assert event["samples"][0]["differences"] == [{"path": "y", "before": 1.0, "after": 2.0}]


def test_a_file_that_is_added_to_a_folder_of_the_archive(dev, folder):
    event = dev.saved((folder.path / "words/two.txt").touch)
    assert (event["model"], event["file"]) == ("base", "words/two.txt")
    assert event["samples"][0]["body"]["words"] == ["one.txt", "two.txt"]
    gone = dev.saved((folder.path / "words/two.txt").unlink)
    assert gone["samples"][0]["body"]["words"] == ["one.txt"]


def test_a_model_without_samples_is_told_by_its_worker(dev, folder):
    event = dev.write("silent.py", SILENT.format(value=1))
    assert (event["model"], event["line"], event["samples"], event["cause"]) == ("silent", 2, [], None)
    assert Client(folder).ask("silent", 1)[1] == 1
    event = dev.write("silent.py", "def other(data, context):\n    return [1]\n")
    assert event["cause"]["exception"] == "ValueError"
    dev.write("silent.py", SILENT.format(value=0))


def test_what_can_be_registered_once_in_a_process_gets_a_new_one(dev):
    once = "import torch\ntorch.library.define('dev::once', '(Tensor x) -> Tensor')\n" + HANDLER
    dev.write("handler.py", once.format(value=1))
    event = dev.write("handler.py", once.format(value=2))
    assert (event["depth"], value_of(event)) == ("worker", 2)
    assert "multiple times" in event["reason"]


def test_one_broken_model_leaves_the_other_alone(dev, folder):
    assert dev.write("other.py", "class Handler(:\n")["model"] == "other"
    event = dev.write("handler.py", HANDLER.format(value=5))
    assert (event["model"], value_of(event)) == ("echo", 5)


def test_what_is_only_touched_is_not_announced(dev, folder):
    before = len(dev.all("reloaded"))
    os.utime(folder.path / "handler.py")
    dev.write("handler.py", HANDLER.format(value=6))
    assert len(dev.all("reloaded")) == before + 1


def test_a_client_hears_whose_sources_answered_it(dev, folder):
    _, _, sources = Client(folder).ask("echo", 1)
    done = folder.run("predict", "-m", "echo", "--json", "first")
    assert done.one("predicted")["sources_sha256"] == sources != ""


def test_the_chain_ends_at_the_stores(dev, folder):
    chain = folder.run("stores", "-m", "echo", "--json", code=None).one("stores_compared")["links"]
    assert "server" not in {link["place"] for link in chain}


def test_a_second_dev_is_refused(dev, folder):
    refused = folder.run("dev", "--json", code=1)
    assert str(dev.process.pid) in refused.one("operation_failed")["title"]


def test_package_holds_no_loader_and_disturbs_nothing(dev, folder):
    folder.run("package", "-m", "echo")
    members = folder.run("inspect", "model_store/echo.mar").out
    assert "asteria_loader" not in members
    assert Client(folder).ask("echo", 1)[0] == 200


def test_a_worker_that_ends_is_followed_by_one_that_is_heard(dev, folder):
    state = folder.state
    place = folder.path / ".asteria/server/tmp" if not state["temporary"] else Path(state["temporary"])
    killed = min(place.glob("dev-*.sock"))
    os.kill(int(killed.stem.partition("-")[2]), signal.SIGKILL)
    for value in (11, 12, 13):
        event = dev.write("handler.py", HANDLER.format(value=value), lambda event: event["samples"])
        assert value_of(event) == value
    until(lambda: not killed.exists())
