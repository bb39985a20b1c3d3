"""Bytes go to a handler and come back as they are, on a real server."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterator

import pytest

from tests.conftest import COMMAND, Folder

pytestmark = pytest.mark.torchserve
TOML = """
[server.properties]
max_request_size = "20000000"
max_response_size = "20000000"
{models}"""
MODEL = '[models.{name}]\nhandler = "{name}.py"\n'
HANDLERS = {
    "echo": """
        def handle(data, context):
            return [bytes(item["body"]) for item in data or ()]
        """,
    "seen": """
        def plain(value):
            return {"type": type(value).__name__, "value": value if isinstance(value, (str, dict)) else value.hex()}

        def handle(data, context):
            if not data:
                return []
            names = ("x-one", "explain", "ts_request_sequence_id")
            headers = {name: context.get_request_header(0, name) for name in names}
            return [
                {"headers": headers, "fields": {name: plain(value) for name, value in item.items()}} for item in data
            ]
        """,
    "stream": """
        import time

        from ts.handler_utils.utils import send_intermediate_predict_response

        def handle(data, context):
            if not data:
                return []
            for number in range(3):
                send_intermediate_predict_response([f"part {number}\\n"], context.request_ids, "ok", 200, context)
            if data[0]["body"] == "raise":
                raise ValueError("after the first part")
            return ["end"]
        """,
}
BODIES = {
    "png": b"\x89PNG\r\n\x1a\n" + bytes(range(256)),
    "protobuf": b"\x08\x96\x01\x12\x07testing",
    "latin": "Grüße\r\n".encode("latin-1"),
    "json": b'{"b":  1.0,\n "a": 2}',
    "large": bytes(range(256)) * 40_000,
}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Folder]:
    folder = Folder(tmp_path_factory.mktemp("bytes"))
    for name, handler in HANDLERS.items():
        folder.write(f"{name}.py", handler)
    folder.write("asteria.toml", TOML.format(models="".join(MODEL.format(name=name) for name in HANDLERS)))
    for name, body in BODIES.items():
        (folder.path / name).write_bytes(body)
    folder.run("up")
    yield folder
    folder.down()


def out(folder: Folder, *arguments: str, code: int = 0) -> bytes:
    ended = subprocess.run(
        [*COMMAND, "predict", *arguments],
        cwd=folder.path,
        env=folder.env,
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert ended.returncode == code, ended.stderr
    return ended.stdout


def seen(folder: Folder, *arguments: str) -> dict:
    return json.loads(out(folder, "-m", "seen", *arguments))


@pytest.mark.parametrize("name", BODIES)
def test_a_pipe_gets_exactly_the_body(served: Folder, name: str):
    assert out(served, f"@{name}", "--raw") == BODIES[name]


def test_a_file_gets_it_whole(served: Folder):
    assert out(served, "@png", "-o", "out.png") == b""
    assert (served.path / "out.png").read_bytes() == BODIES["png"]
    failed = served.run("predict", "-m", "nobody", "-d", "1", "-o", "out.png", code=4)
    assert "no such model" in failed.err
    assert (served.path / "out.png").read_bytes() == BODIES["png"]


def test_json_carries_bytes_as_base64(served: Folder):
    answer = served.run("predict", "@png", "--json").one("predicted")
    assert answer["body"] is None
    assert base64.b64decode(answer["content"]) == BODIES["png"]


@pytest.mark.parametrize(
    ("arguments", "body"),
    [
        (("-d", '{"a": 1}'), {"type": "dict", "value": {"a": 1}}),
        (("-d", '{"a": 1}', "--raw"), {"type": "bytearray", "value": b'{"a": 1}'.hex()}),
        (("-d", "é", "--content-type", "text/plain"), {"type": "str", "value": "é"}),
        (("@latin", "--content-type", "image/png"), {"type": "bytearray", "value": BODIES["latin"].hex()}),
    ],
)
def test_what_a_handler_gets(served: Folder, arguments: tuple[str, ...], body: dict):
    assert seen(served, *arguments)["fields"] == {"body": body}


def test_a_form_its_headers_and_its_sequence(served: Folder):
    answer = seen(served, "-F", "image=@png", "-F", "text=hi", "-H", "x-one: 1", "--sequence", "s1")
    assert answer["fields"]["image"] == {"type": "bytearray", "value": BODIES["png"].hex()}
    assert answer["fields"]["text"]["value"] in {"hi", b"hi".hex()}
    assert (answer["headers"]["x-one"], answer["headers"]["ts_request_sequence_id"]) == ("1", "s1")


def test_paths(served: Folder):
    assert seen(served, "-d", "{}", "--model-version", "1.0")["fields"]
    assert seen(served, "-d", "{}", "--explain")["headers"]["explain"] == "True"
    assert seen(served, "-d", "{}", "--envelope", "kserve")["fields"]
    assert seen(served, "-d", "{}", "--envelope", "kservev2")["fields"]
    said = served.run("predict", "-m", "seen", "-d", "{}", "--model-version", "9", code=4).err
    assert "no such version of the model" in said


def test_a_stream_comes_as_it_is_and_what_came_before_a_failure_is_kept(served: Folder):
    plain = ("-m", "stream", "--content-type", "text/plain", "-d")
    assert out(served, *plain, "go") == b"part 0\npart 1\npart 2\nend"
    failed = served.run("predict", *plain, "raise", code=6)
    assert failed.out.startswith("part 0\n")
    assert "ValueError: after the first part" in failed.err
    answer = served.run("predict", *plain, "raise", "--json", code=6).one("predicted")
    assert answer["body"].startswith("part 0\n")
    assert answer["cause"]["exception"] == "ValueError"


def test_verbose_says_what_the_handler_gets(served: Folder):
    assert "the handler gets a bytearray" in served.run("predict", "-v", "@json", "--raw").err
