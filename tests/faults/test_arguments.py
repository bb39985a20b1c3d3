"""What is given on the command line, and where the output goes: a sentence and exit status 2, whatever it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from asteria_tui.cli.main import _guarded
from asteria_tui.discovery import discover
from asteria_tui.errors import ExitCode
from tests.conftest import COMMAND, Folder, MakeFolder

LONG = "x" * 100_000
DIGITS = "1" * 100_000


def no_screen(*_):
    raise AssertionError("no screen was asked for")


@pytest.fixture
def call(make_folder: MakeFolder, monkeypatch, capsys):
    """A command in this process, which is a hundred times quicker than one of its own."""
    folder = make_folder()
    monkeypatch.chdir(folder.path)
    for name, value in (folder.env | {"XDG_STATE_HOME": str(folder.path)}).items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str) -> tuple[int, str]:
        code = _guarded(list(arguments), no_screen)
        told = capsys.readouterr()
        assert "a bug in" not in told.out + told.err
        return code, told.out + told.err

    run.folder = folder
    return run


NAMES = ["", "..", ".", LONG, "a/b", "a\nb", "\x1b[31m", "../../etc", "\u202e"]


@pytest.mark.parametrize("name", NAMES, ids=lambda name: repr(name[:9]))
@pytest.mark.parametrize(
    "command", ["up -m", "package --model", "stores -m", "stores --sync -m", "restart -m", "predict -m", "inspect -m"]
)
def test_a_model_that_can_be_none_of_the_project(call, command, name):
    code, said = call(*command.split(), name)
    assert code == 2
    assert any(text in said for text in ("no model named", "is not of this project", "names no model"))
    assert len(said) < 3000


@pytest.mark.parametrize(
    "arguments",
    [
        ("predict", LONG),
        ("predict", ""),
        ("predict", f"@{LONG}"),
        ("predict", "@"),
        ("predict", "@."),
        ("predict", "first", "--content-type", LONG),
        ("predict", "first", "--content-type", "a\r\nX: y"),
        ("predict", "-d", f'{{"": {DIGITS}}}'),
        ("predict", "-d", "[" * 100_000),
        ("inspect", LONG),
        ("up", LONG),
        ("logs", LONG),
        ("logs", "--since", DIGITS),
        ("logs", "--since", DIGITS + "s"),
        ("logs", "-n", DIGITS),
        ("logs", "--run", DIGITS),
        ("logs", "--grep", "(" * 50_000),
        ("logs", "--grep", "["),
        ("logs", "--source", LONG),
        ("models", "scale", "m", DIGITS),
        ("models", "register", "a.mar", "--name", ".."),
        ("-C", LONG, "status"),
        ("-C", "a\nb", "status"),
        ("--target", LONG, "status"),
        ("export", "compose", "-o", LONG),
        ("image", "build", "--wheelhouse", LONG),
        (LONG,),
        ("",),
        ("--" + LONG,),
        ("keys", "--renew", LONG),
    ],
    ids=lambda arguments: " ".join(word[:9] for word in arguments),
)
def test_whatever_is_given_there_is_a_sentence(call, arguments):
    code, said = call(*arguments)
    assert code in {1, 2, 4}, said[:500]
    assert said.strip()
    assert len(said) < 4000


# Nothing that starts a server, waits for one, or goes on without end.
COMMANDS = [
    "status",
    "predict",
    "inspect",
    "logs",
    "stores",
    "keys",
    "models",
    "package",
    "export",
    "image",
    "nonsense",
]
WORDS = st.sampled_from(
    [
        *(
            "--json",
            "-q",
            "-v",
            "--help",
            "--",
            "-",
            "--all",
            "--model",
            "-m",
            "-d",
            "-n",
            "--since",
            "--run",
            "--grep",
        ),
        *("--level", "--source", "--request", "--content-type", "--target", "-C", "--tracebacks", "--model=", "-m=x"),
        *(
            "list",
            "show",
            "scale",
            "compose",
            "echo",
            "first",
            "handler.py",
            "local",
            "docker",
            ".",
            "..",
            "/",
            "~",
            "",
        ),
        *("0", "-1", "1e9", "nan", "5m", "9" * 400, "x" * 400, "{", "[]", '"', "@", "@first", "@/dev/null", "a\nb"),
        *("\x1b[31m", "\u202e", "\ud800", "%s", "$HOME", "`id`", "*", "(", "[a-"),
    ]
)


@seed(11)
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.sampled_from(COMMANDS), st.lists(WORDS, max_size=5))
def test_any_arguments_end_in_a_status_and_a_sentence(call, command, words):
    code, said = call(command, *words)
    assert code in set(ExitCode)
    assert code == ExitCode.DONE or said.strip()
    assert len(said) < 8000
    assert not {"\x1b", "\u202e"} & set(said)


def test_the_first_model_is_only_meant_where_none_is_named(call):
    assert "no model named ''" in call("up", "--model", "")[1]
    assert call("predict", "--model", "", "-d", "1")[0] in {2, 4}


def run_bytes(folder: Folder, *arguments: bytes, **streams) -> subprocess.CompletedProcess:
    return subprocess.run(
        [*COMMAND, *arguments], cwd=folder.path, env=folder.env, capture_output=not streams, check=False, **streams
    )


def test_arguments_that_are_not_utf8(make_folder: MakeFolder):
    folder = make_folder()
    ended = run_bytes(folder, b"predict", b"-d", b'"\xff"', b"--json")
    assert (ended.returncode, ended.stderr) == (2, b"")
    assert json.loads(ended.stdout)["title"] == "argument 3 is not UTF-8"
    other = Folder(Path(os.fsdecode(os.fsencode(folder.path) + b"/\xff")))
    other.path.mkdir()
    ended = run_bytes(other, b"status")
    assert ended.returncode == 2
    assert b"cannot be a project folder" in ended.stderr


def test_a_full_disk_where_the_output_goes(make_folder: MakeFolder):
    folder = make_folder()
    log = folder.write("ts_log.log", "2026-11-23T03:08:45,821 [INFO ] main a.B - said\n" * 1000)
    folder.run("package")
    calls = (
        "--help",
        "--version",
        "status",
        "status --json",
        "logs --help",
        f"logs {log}",
        "inspect",
        "stores",
        "init --json",
        "keys --json",
        "export compose --json",
        "nonsense",
    )
    for call in calls:
        with Path("/dev/full").open("wb") as full:
            ended = run_bytes(folder, *map(str.encode, call.split()), stdout=full, stderr=subprocess.PIPE)
        if call == "nonsense":
            assert (ended.returncode, b"nonsense" in ended.stderr) == (2, True)
            continue
        assert ended.returncode == 1, (call, ended)
        assert b"cannot write the output" in ended.stderr, call
        assert b"No space left on device" in ended.stderr, call
        assert b"bug" not in ended.stderr
        assert b"Exception ignored" not in ended.stderr
    with Path("/dev/full").open("wb") as full:
        assert run_bytes(folder, b"status", stdout=full, stderr=full).returncode == 1


def test_a_working_directory_that_was_deleted(make_folder: MakeFolder):
    folder = make_folder()
    script = 'mkdir gone && cd gone && rmdir ../gone && exec "$@"'
    for call in ("status", "init", "up", "inspect x.mar", "logs", "logs ts_log.log", "predict -d 1", "export compose"):
        ended = subprocess.run(
            ["sh", "-c", script, "sh", *COMMAND, *call.split()],
            cwd=folder.path,
            env=folder.env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode in {1, 2}, (call, ended)
        assert "bug" not in ended.stderr
        assert "Traceback" not in ended.stderr
        if call not in {"inspect x.mar", "logs ts_log.log"}:
            assert "the working directory was deleted" in ended.stderr, (call, ended)


def test_output_of_a_program_that_writes_ascii(make_folder: MakeFolder):
    folder = make_folder()
    folder.write("model_store/ä.mar", "")
    ended = folder.run("package", PYTHONIOENCODING="ascii", LC_ALL="C")
    assert ended.out.endswith("echo.mar\n")


def hostile_archive(path: Path) -> Path:
    manifest = {
        "runtime": "python\x9b",
        "model": {"modelName": "m\u202e\ud800", "modelVersion": "\x1b]0;t\x07", "handler": "\x1b[2J"},
    }
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("MAR-INF/MANIFEST.json", json.dumps(manifest))
        archive.writestr("a\nwarning      all is well", "")
        archive.writestr("\x1b[31m\x9b31m\u2028\u202e.pkl", b"cos\n\x1b[31msystem\n.")
        archive.writestr("x" * 60_000, "")
    return path


def test_inspect_escapes_also_to_a_pipe(make_folder: MakeFolder):
    folder = make_folder()
    hostile_archive(folder.path / "a.mar")
    done = folder.run("inspect", "a.mar", code=None)
    assert all(line.isprintable() for line in done.out.splitlines())
    assert max(map(len, done.out.splitlines())) < 12_000
    assert r"a\nwarning      all is well" in done.out
    assert r"\x1b[31m\x9b31m\u2028\u202e.pkl" in done.out
    done = folder.run("inspect", "a.mar", "--json", code=None)
    assert done.out.isprintable() or done.out.removesuffix("\n").isprintable()
    [report] = done.events
    assert report["members"][2]["name"] == "\x1b[31m\x9b31m\u2028\u202e.pkl"
    assert report["model_name"] == "m\u202e\ufffd"


def test_discovery_of_names_that_act(make_folder: MakeFolder, tmp_path):
    folder = make_folder()
    (folder.path / "asteria.toml").unlink()
    folder.write("config.properties", "job_queue_size=\x1b[31m\u202e\x9b\n")
    assert folder.path.is_dir()
    assert discover(folder.path)
    done = folder.run("init")
    assert all(line.isprintable() for line in (done.out + done.err).splitlines())
    assert all(line.isprintable() for line in (folder.path / "asteria.toml").read_text().splitlines())
    folder.run("package")


def test_an_environment_that_is_not_utf8(make_folder: MakeFolder):
    folder = make_folder()
    ended = subprocess.run(
        [*COMMAND, "status"],
        cwd=folder.path,
        env=folder.env | {"ASTERIA_SERVER_PYTHON": os.fsdecode(b"\xff")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert "ASTERIA_SERVER_PYTHON is not UTF-8" in ended.stderr
    assert sys.executable
