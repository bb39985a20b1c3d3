"""`debug`: the handler in one process, and the same answer as the server's."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import time
import urllib.request

import pytest

from asteria_tui.config import load
from asteria_tui.errors import ConfigError
from asteria_tui.operations.debug import breakpoint_at
from tests.conftest import COMMAND, Folder

NET = """
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1, bias=False)

    def forward(self, x):
        return self.layer(x) * 2
"""
BASE = """
from ts.torch_handler.base_handler import BaseHandler

class Handler(BaseHandler):
    def preprocess(self, data):
        return super().preprocess([[float(item["body"])] for item in data])

    def postprocess(self, data):
        return [{"y": y, "batch": len(data)} for [y] in data.tolist()]
"""
KINDS = """
def answer(data, context):
    if data is None:
        return None
    body = data[0]["body"]
    if body == 13:
        raise KeyError("unlucky")
    context.metrics.add_counter("Asked", 1)
    context.set_response_header(0, "x-kind", type(body).__name__)
    if isinstance(body, (bytes, bytearray)):
        return [bytes(body)]
    return [{"kind": type(body).__name__, "body": body, "header": context.get_request_header(0, "Content-Type")}]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    import torch

    made = Folder(tmp_path_factory.mktemp("debug"))
    made.write("kinds.py", KINDS)
    made.write("net.py", NET)
    made.write("base.py", BASE)
    torch.save({"layer.weight": torch.ones(1, 1)}, made.path / "net.pt")
    made.write("samples/number.json", "7")
    made.write("samples/object.json", '{"a": [1, 2.5, null]}')
    made.write("samples/text.txt", "käse")
    (made.path / "samples/bytes.bin").write_bytes(b"\x00\xff\x89PNG")
    made.write("numbers/three.json", "3")
    made.write("numbers/four.json", "4")
    made.write(
        "asteria.toml",
        """
        [models.kinds]
        handler = "kinds.py:answer"
        samples = "samples"

        [models.base]
        handler = "base.py"
        model_file = "net.py"
        serialized_file = "net.pt"
        samples = "numbers"
        """,
    )
    yield made
    made.kill()


def raw(folder: Folder, *arguments: str) -> bytes:
    return subprocess.run(
        [*COMMAND, *arguments], cwd=folder.path, env=folder.env, capture_output=True, check=True, timeout=120
    ).stdout


@pytest.mark.torchserve
def test_its_answer_is_the_servers(folder):
    """For every sample, of a function and of a BaseHandler with a model file."""
    folder.run("up")
    state = folder.state
    token = json.loads((folder.path / ".asteria/server/key_file.json").read_text())["inference"]["key"]
    types = {".json": "application/json", ".txt": "text/plain", ".bin": "application/octet-stream"}
    samples = [("kinds", file) for file in sorted((folder.path / "samples").iterdir())]
    samples += [("base", file) for file in sorted((folder.path / "numbers").iterdir())]
    for model, file in samples:
        request = urllib.request.Request(
            f"http://127.0.0.1:{state['ports']['inference']}/predictions/{model}",
            file.read_bytes(),
            {"Authorization": f"Bearer {token}", "Content-Type": types[file.suffix]},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 our own server
            served = answer.read()
        assert raw(folder, "debug", "-m", model, file.stem) == served
    folder.down()


@pytest.mark.torch
def test_several_samples_are_one_batch(folder):
    [first, second] = raw(folder, "debug", "-m", "base", "three", "four").replace(b"}\n{", b"}|{").split(b"|")
    assert (b'"y": 6.0' in first, b'"y": 8.0' in second, b'"batch": 2' in first) == (True, True, True)


@pytest.mark.torch
def test_what_is_raised_is_shown_from_the_projects_own_frames_on(folder):
    ended = subprocess.run(
        [*COMMAND, "debug", "-d", "13"], cwd=folder.path, env=folder.env, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 6
    assert ended.stderr.splitlines()[1] == f'  File "{folder.path}/kinds.py", line 7, in answer'
    assert ended.stderr.endswith("KeyError: 'unlucky'\n")


@pytest.mark.torch
def test_shapes_and_times_from_step_to_step(folder):
    done = folder.run("debug", "-m", "base", "three", "--trace-shapes")
    steps = [line.split(maxsplit=3) for line in done.err.splitlines() if not line.startswith("WARNING:ts.")]
    assert [step[0] for step in steps] == ["preprocess", "inference", "postprocess"]
    assert steps[1][3] == "Tensor (1, 1) float32 cpu → Tensor (1, 1) float32 cpu"


@pytest.mark.torch
def test_where_the_time_goes(folder):
    assert "answer" in folder.run("debug", "--profile", "number").err


class Terminal:
    """A command on a terminal of its own, as a user types."""

    def __init__(self, folder: Folder, *arguments: str) -> None:
        self.seen = ""
        self.pid, self._terminal = pty.fork()
        if not self.pid:
            os.chdir(folder.path)
            os.execve(COMMAND[0], [*COMMAND, *arguments], folder.env)  # noqa: S606

    def until(self, text: str) -> str:
        """What came up to that text; it is not seen again."""
        end = time.monotonic() + 120
        while text not in self.seen:
            assert time.monotonic() < end, self.seen
            if select.select([self._terminal], [], [], 1)[0]:
                try:
                    self.seen += os.read(self._terminal, 65536).decode(errors="replace")
                except OSError:
                    raise AssertionError(self.seen) from None
        before, _, self.seen = self.seen.partition(text)
        return before

    def type(self, line: str) -> None:
        os.write(self._terminal, f"{line}\n".encode())

    def interrupt(self) -> None:
        os.write(self._terminal, b"\x03")

    def close(self) -> int:
        try:
            while os.read(self._terminal, 65536):
                pass
        except OSError:
            pass
        os.close(self._terminal)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@pytest.mark.torch
def test_a_breakpoint_is_where_the_user_stands_and_the_answer_follows(folder):
    terminal = Terminal(folder, "debug", "number", "--break", "kinds.py:5")
    assert "kinds.py(5)answer()" in terminal.until("(Pdb) ")
    terminal.type("p data[0]['body'] * 6")
    assert "42" in terminal.until("(Pdb) ")
    terminal.type("data[0]['body'] = 8")
    terminal.until("(Pdb) ")
    terminal.type("c")
    assert '"body": 8' in terminal.until("}")
    assert terminal.close() == 0


@pytest.mark.torch
def test_a_breakpoint_in_what_is_loaded_first(folder):
    terminal = Terminal(folder, "debug", "-m", "base", "three", "--break", "net.py:7")
    assert "net.py(7)__init__()" in terminal.until("(Pdb) ")
    terminal.type("q")
    assert terminal.close() == 0


@pytest.mark.torch
def test_no_line_of_code_is_no_breakpoint(folder):
    assert "no breakpoint at" in folder.run("debug", "number", "--break", "kinds.py:1", code=2).err


@pytest.mark.torch
def test_post_mortem_stands_in_the_frame_that_raised(folder):
    terminal = Terminal(folder, "debug", "-d", "13", "--post-mortem")
    assert "kinds.py(7)answer()" in terminal.until("(Pdb) ")
    terminal.type("p body")
    assert "13" in terminal.until("(Pdb) ")
    terminal.type("q")
    assert terminal.close() == 6


@pytest.mark.torch
def test_an_interruption_goes_to_the_debugger_not_to_us(folder):
    terminal = Terminal(folder, "debug", "number", "--break", "kinds.py:5")
    terminal.until("(Pdb) ")
    terminal.type("import time; time.sleep(60)")
    terminal.until("sleep(60)")
    terminal.interrupt()
    terminal.until("(Pdb) ")
    terminal.type("q")
    assert terminal.close() == 0


@pytest.mark.parametrize("given", ["handler.py", "handler.py:0", "handler.py:x", ":3", "missing.py:3"])
def test_no_place_in_a_file(tmp_path, given):
    (tmp_path / "asteria.toml").write_text('[models.m]\nhandler = "handler.py"\n')
    (tmp_path / "handler.py").write_text("")
    with pytest.raises(ConfigError):
        breakpoint_at(load(tmp_path), given)


def test_one_way_at_a_time_and_one_payload(make_folder):
    folder = make_folder('[models.m]\nhandler = "handler.py"\nsamples = "samples"\n')
    folder.write("samples/a.json", "1")
    assert "one way" in folder.run("debug", "--profile", "--post-mortem", code=2).err
    assert "two payloads" in folder.run("debug", "a", "-d", "1", code=2).err
