"""A request whose code raised waits for its fix: in the loader alone, and on a real server."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from asteria_tui.dev.loader.hold import MAX_BYTES, OURS_HEADER
from asteria_tui.dev.messages import Held, decode
from tests.dev.loading import Loaded
from tests.dev.running import Client, DevRun, replace
from tests.waiting import until

BROKEN = """
def handle(data, context):
    if data is None:
        return None
    token = "abc"
    data[0]["seen"] = True
    return [data[0]["missing"]]
"""
FIXED = """
def handle(data, context):
    return data and ["seen" in item for item in data]
"""


@pytest.fixture
def broken(made):
    made.write("handler.py", BROKEN)
    made.link("handler.py")
    made.start()
    return made


class Asking(threading.Thread):
    """A request that is asked by another thread, which stands for the worker's main thread."""

    def __init__(self, served: Loaded, *bodies: Any) -> None:
        super().__init__()
        self._served, self._bodies = served, bodies
        self.answer: Any = None
        self.error: Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            self.answer = self._served.ask(*self._bodies)
        except Exception as error:  # noqa: BLE001 the test looks at it
            self.error = error


def held(served: Loaded, seconds: float = 60):
    """A `dev` that holds, and what it hears."""
    peer = served.connect()
    peer.say("hold", seconds=seconds)
    heard: list[dict[str, Any]] = []

    def until_heard(kind: str) -> dict[str, Any]:
        def look():
            heard.extend(peer.messages())
            return next((heard.pop(index) for index, one in enumerate(heard) if one["type"] == kind), None)

        return until(look)

    return peer, until_heard


def test_a_request_that_fails_is_answered_by_the_fix_as_it_came(broken):
    _, heard = held(broken)
    asking = Asking(broken, "x")
    told = heard("held")
    assert asking.is_alive()
    assert told["exception"] == "KeyError"
    frame = told["frames"][-1]
    assert (frame["function"], frame["locals"]["token"]) == ("handle", "(hidden)")
    assert frame["source"][frame["line"] - frame["first"]].strip().startswith("return [data")
    broken.write("handler.py", FIXED)
    asking.join(30)
    assert (asking.answer, asking.error) == (False, None)
    assert heard("answered")["requests"] == told["requests"]


def test_a_fix_that_does_not_load_or_fails_again_goes_on_waiting(broken):
    _, heard = held(broken)
    asking = Asking(broken, "x")
    heard("held")
    broken.write("handler.py", "def handle(")
    assert heard("load_failed")["exception"] == "SyntaxError"
    broken.write("handler.py", BROKEN.replace("missing", "lost"))
    assert heard("held")["message"] == "'lost'"
    broken.write("handler.py", FIXED)
    asking.join(30)
    assert asking.answer is False


def test_what_is_given_up_ends_with_its_error(broken):
    _, heard = held(broken)
    asking = Asking(broken, "x")
    heard("held")
    control = broken.connect("control")
    control.say("give_up")
    asking.join(30)
    assert isinstance(asking.error, KeyError)
    assert "given_up" in control.kinds()


@pytest.mark.parametrize("end", ["client", "time"])
def test_it_ends_with_its_dev_and_with_its_time(broken, end):
    peer, heard = held(broken, seconds=60 if end == "client" else 0.05)
    asking = Asking(broken, "x")
    heard("held")
    if end == "client":
        peer.close()
    asking.join(30)
    assert isinstance(asking.error, KeyError)


class Processor:
    """Of one request, as `ts/context.py` has it."""

    def __init__(self, **headers: str) -> None:
        self._headers = headers
        self.answered: dict[str, str] = {"left": "by the first try"}
        self.status = 418

    def get_request_properties(self) -> dict[str, str]:
        return self._headers

    def get_response_headers(self) -> dict[str, str]:
        return self.answered

    def report_status(self, code: int, reason_phrase: str | None = None) -> None:
        self.status = code


@pytest.mark.parametrize("headers", [{OURS_HEADER: "1"}, {"describe": "True"}], ids=["sample", "describe"])
def test_what_dev_itself_asks_is_never_held(broken, headers):
    held(broken)
    broken.context.request_processor = [Processor(**headers)]
    with pytest.raises(KeyError):
        broken.ask("x")


def test_headers_and_status_of_the_failed_try_are_not_those_of_the_answer(broken):
    _, heard = held(broken)
    processor = Processor(accept="*/*")
    broken.context.request_processor = [processor]
    asking = Asking(broken, "x")
    heard("held")
    broken.write("handler.py", FIXED)
    asking.join(30)
    assert (processor.answered, processor.status) == ({}, 200)


REFUSES = """
class PredictionException(Exception):
    error_code = {code}

def handle(data, context):
    if data is not None:
        raise PredictionException("no")
"""


def test_a_refusal_is_an_answer(made):
    made.write("handler.py", REFUSES.format(code=422))
    made.link("handler.py")
    made.start()
    _, heard = held(made)
    with pytest.raises(Exception, match="no"):
        made.ask("x")
    made.write("handler.py", REFUSES.format(code=503))
    asking = Asking(made, "x")
    heard("held")
    made.write("handler.py", FIXED)
    asking.join(30)
    assert asking.answer is False


@pytest.mark.parametrize("answers", ["1", "[]", "[1, 2]"])
def test_answers_that_torchserve_would_refuse_are_held_too(made, answers):
    made.write("handler.py", f"def handle(data, context):\n    return data and {answers}\n")
    made.link("handler.py")
    made.start()
    _, heard = held(made)
    asking = Asking(made, "x")
    assert "a list of 1 answers" in heard("held")["message"]
    made.write("handler.py", FIXED)
    asking.join(30)
    assert asking.answer is False


def test_what_is_too_large_to_be_copied_is_not_held_and_that_is_said(broken):
    _, heard = held(broken)
    with pytest.raises(KeyError):
        broken.ask("x" * (MAX_BYTES + 1))
    assert heard("failed")["is_too_large"]


def test_a_stream_that_has_begun_is_not_begun_anew(made):
    made.write(
        "handler.py",
        "def handle(data, context):\n    if data:\n        context.cl_socket.sendall(b'1')\n        raise KeyError\n",
    )
    made.link("handler.py")
    made.start()
    sent = []
    made.context.cl_socket = type("Socket", (), {"sendall": lambda _, part: sent.append(part)})()
    held(made)
    with pytest.raises(KeyError):
        made.ask("x")
    assert sent == [b"1"]


def test_what_a_worker_says_of_it_is_typed(broken):
    peer, heard = held(broken)
    asking = Asking(broken, "x")
    message = decode(json.dumps(heard("held")).encode())
    assert isinstance(message, Held)
    assert message.seconds == 60
    peer.close()
    asking.join(30)


# -- on a real server -----------------------------------------------------------------------------------------------

PROJECT = '[models.echo]\nhandler = "handler.py"\nsamples = "samples"\n'
WORKS = """
def handle(data, context):
    if data is None:
        return None
    return [1 / item["body"]["value"] for item in data]
"""
CAREFUL = WORKS.replace('1 / item["body"]["value"]', 'item["body"]["value"] and 1 / item["body"]["value"]')


@pytest.mark.torchserve
def test_a_caller_that_waits_gets_the_right_answer(make_folder):
    folder = make_folder(PROJECT)
    folder.write("handler.py", WORKS)
    folder.write("samples/two.json", '{"value": 2}')
    run = DevRun(folder, "--hold")
    try:
        run.ready()
        client = Client(folder)
        answers: list[Any] = []
        waiting = threading.Thread(target=lambda: answers.append(client.ask("echo", {"value": 0})))
        waiting.start()
        told = run.until("request_held")
        assert told["cause"]["exception"] == "ZeroDivisionError"
        assert told["frames"][-1]["file"] == "handler.py"
        assert told["is_last_worker"]
        after = len(run.events)
        replace(folder.path / "handler.py", CAREFUL)
        released = run.until("request_released", after=after)
        waiting.join(30)
        assert answers[0][:2] == (200, 0)
        assert released["is_good"]
        run.until("reloaded", lambda event: event["sources_sha256"] == answers[0][2], after=after)

        # Given up: the error, and the worker goes on.
        replace(folder.path / "handler.py", WORKS)
        run.until("reloaded", after=len(run.events) - 1)
        after = len(run.events)
        waiting = threading.Thread(target=lambda: answers.append(client.ask("echo", {"value": 0})))
        waiting.start()
        run.until("request_held", after=after)
        folder.run("release")
        waiting.join(30)
        assert answers[1][0] == 503
        assert client.ask("echo", {"value": 2})[:2] == (200, 0.5)
        assert "no request is held" in folder.run("release", code=4).err
    finally:
        run.end()
