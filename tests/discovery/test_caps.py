"""A folder that was made to take for ever, or to make a file that nobody could use: capped, skipped, and said."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from asteria_tui.config import load
from asteria_tui.discovery import discover, tree
from asteria_tui.discovery.tree import Tree
from asteria_tui.errors import ConfigError
from asteria_tui.projects import initialize, propose

HANDLER = "def handle(data, context): ...\n"
CALL = "torch-model-archiver --model-name cat --version 1.0 --handler cat.py"


def test_a_text_that_doubles_forty_times(make, tmp_path):
    doubled = "a = 'torch-model-archiver '\n" + "a = a + a\n" * 40 + "run([a, '--handler', f'{a}{a}'])\n"
    joined = "b = 'x' * 7\nb = 'model-archiver'\n" + "b = ','.join([b, b, b, b])\n" * 40
    make(tmp_path, {"cat.py": HANDLER, "double.py": doubled, "join.py": joined})
    tracemalloc.start()
    begun = time.process_time()
    found = discover(tmp_path)
    assert time.process_time() - begun < 5
    assert tracemalloc.get_traced_memory()[1] < 32 * 2**20
    tracemalloc.stop()
    assert found.settings.models["cat"].handler == "cat.py"


def test_a_link_in_a_circle_hides_nothing_beside_it(make, tmp_path):
    make(tmp_path, {"cat.py": HANDLER, "cat.pt": b"x"})
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "nowhere").symlink_to("gone")
    (tmp_path / "again").symlink_to(".")
    os.mkfifo(tmp_path / "pipe.py")
    assert discover(tmp_path).settings.models["cat"].serialized_file == "cat.pt"


def test_what_is_not_looked_at_is_said(make, tmp_path, monkeypatch):
    monkeypatch.setattr(tree, "MAX_FILES", 60)
    monkeypatch.setattr(tree, "MAX_FILES_OF_ONE_DIRECTORY", 20)
    make(tmp_path, {"cat.py": HANDLER, **{f"data/{number}.csv": b"" for number in range(50)}})
    make(tmp_path, {f"more/{one}/{number}.csv": b"" for one in range(5) for number in range(30)})
    left_out = {guess.value: guess.why for guess in discover(tmp_path).guesses if guess.what == "left out"}
    assert left_out["data/"] == "only the first 20 of its 50 files were looked at"
    assert any("60 files lie nearer" in reason for reason in left_out.values())


def test_thousands_of_files(tmp_path):
    many = tmp_path / "many"
    many.mkdir()
    for number in range(5_000):
        os.close(os.open(many / f"{number}.py", os.O_CREAT))
    (tmp_path / "cat.py").write_text(HANDLER)
    begun = time.process_time()
    found = discover(tmp_path)
    assert time.process_time() - begun < 10
    assert found.settings.models["cat"].handler == "cat.py"
    [left_out] = [guess for guess in found.guesses if guess.what == "left out"]
    assert left_out.why == "only the first 1,000 of its 5,000 files were looked at"


def test_so_much_python_is_not_parsed(make, tmp_path, monkeypatch):
    monkeypatch.setattr(tree, "MAX_BYTES_PARSED", 10_000)
    make(tmp_path, {"cat.py": HANDLER, **{f"z{number}.py": HANDLER + "#" * 3000 for number in range(10)}})
    guesses = discover(tmp_path).guesses
    assert any("MiB of Python" in guess.why for guess in guesses if guess.what == "left out")


def test_so_much_text_is_not_read(make, tmp_path, monkeypatch):
    monkeypatch.setattr(tree, "MAX_BYTES_OF_ALL_TEXTS", 1000)
    make(tmp_path, {"a.txt": "x" * 2000, "b.txt": "y"})
    files = Tree(tmp_path)
    assert files.text("a.txt")
    assert files.text("b.txt") == ""
    assert "the rest was not" in files.left_out["."]


PROPERTIES = {
    "one port twice": "inference_address=http://127.0.0.1:9000\nmanagement_address=http://127.0.0.1:9000\n",
    "the default of another": "inference_address=http://127.0.0.1:8081\n",
    "a port of grpc": "inference_address=http://127.0.0.1:7070\nmetrics_address=http://0.0.0.0:7071\n",
    "no port": "inference_address=http://127.0.0.1:99999\ngrpc_inference_port=" + "1" * 5000,
    "minutes": f"token_expiration_min={'9' * 400}\n",
    "a large number": f'models={{"cat": {{"1.0": {{"batchSize": {10**30}, "maxBatchDelay": {2**40}}}}}}}\n',
    "digits": f'models={{"cat": {{"1.0": {{"batchSize": {"1" * 5000}}}}}}}\n',
    "deep": "models=" + "[" * 100_000,
    "a long value": "job_queue_size=" + "1" * 200_000,
    "control characters": "job_queue_size=1\x002\x1b[31m\x7f\u202e\n",
}


@pytest.mark.parametrize("text", PROPERTIES.values(), ids=PROPERTIES)
def test_what_is_written_is_accepted(make, tmp_path, text):
    make(tmp_path, {"cat.py": HANDLER, "config.properties": text, "compose.yaml": f"torchserve\n- {'8' * 5000}:8080\n"})
    proposal = propose(tmp_path)
    initialize(proposal)
    assert load(tmp_path).settings == proposal.discovery.settings


CALLS = {
    "version": "--version '\x1b'",
    "dots": "--version ..",
    "long version": f"--version {'1' * 5000}",
    "long file": f"--serialized-file {'x' * 5000}",
    "long extra": f"--extra-files a,{'x' * 5000},b",
    "long name": f"--model-name {'m' * 5000}",
    "half a character": "--serialized-file \\ud800.pt",
    "NUL": "--serialized-file a\\x00b",
}


@pytest.mark.parametrize("flags", CALLS.values(), ids=CALLS)
def test_calls_that_no_archiver_would_take(make, tmp_path, flags):
    make(tmp_path, {"cat.py": HANDLER, "package.py": f'import os\nos.system("{CALL} {flags}")\n'})
    initialize(propose(tmp_path))
    project = load(tmp_path)
    [model] = project.settings.models.values()
    assert model.handler == "cat.py"
    for file in (model.serialized_file, *model.extra_files):
        if file is not None:
            project.path(file)


def test_a_proposal_that_would_be_refused_is_none(make, tmp_path, monkeypatch):
    monkeypatch.setattr("asteria_tui.config.MAX_BYTES", 100)
    make(tmp_path, {"cat.py": HANDLER})
    with pytest.raises(ConfigError, match=r"makes no asteria\.toml that could be used"):
        propose(tmp_path)


PIECES = st.sampled_from(
    [
        *("torch-model-archiver ", "--handler ", "--model-name ", "--version ", "--extra-files ", "cat.py ", '"', "'"),
        *("inference_address=http://127.0.0.1:", "8080", "8081", "models=", "{", "}", "[", "]", ":", ",", "\n", "\\"),
        *("a = a + a\n", "class A:\n", " def handle(self): ...\n", "for x in $a\n", "$x", "${a:-", "torchserve", "- "),
        *(
            "\x00",
            "\x1b",
            "\u202e",
            "cd ..",
            "minWorkers",
            "=",
            "import ",
            "$(",
            "`",
            "..",
            "/",
            "~root",
            "import cat\n",
        ),
    ]
)
TEXT = st.lists(PIECES, max_size=30).map("".join)
NAMES = st.sampled_from(
    ["cat.py", "a.sh", "Makefile", "README.md", "config.properties", "compose.yaml", "b.ps1", "c.pt"]
)


@seed(11)
@settings(max_examples=150)
@given(st.dictionaries(NAMES, TEXT, max_size=5))
def test_any_folder_makes_a_file_that_is_accepted_or_an_error_of_ours(files):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name, text in ({"cat.py": HANDLER} | files).items():
            (root / name).write_text(text)
        with contextlib.suppress(ConfigError):
            proposal = propose(root)
            initialize(proposal)
            assert load(root).settings == proposal.discovery.settings


def test_a_compose_file_that_unfolds_without_end(make, tmp_path):
    tenfold = "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]\n" for n in range(1, 30))
    services = "services: &s\n  torchserve:\n    ports: *l29\n  again:\n    ports: [*l29, '9000:8080']\n"
    make(tmp_path, {"cat.py": HANDLER, "compose.yaml": f"l0: &l0 [a]\n{tenfold}{services}"})
    begun = time.process_time()
    assert discover(tmp_path).settings.server.inference_port == 9000
    assert time.process_time() - begun < 5
