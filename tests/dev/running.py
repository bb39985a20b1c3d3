"""`asteria-tui dev --json` as a user runs it, and what it says."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.conftest import COMMAND, Folder
from tests.waiting import until


class DevRun:
    """One run in a folder, from its first answer on."""

    def __init__(self, folder: Folder, *arguments: str) -> None:
        self.folder = folder
        self.events: list[dict[str, Any]] = []
        self.process = subprocess.Popen(
            [*COMMAND, "dev", "--json", *arguments],
            cwd=folder.path,
            env=folder.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._news:
                self.events.append(json.loads(line))
                self._news.notify_all()
        with self._news:
            self._news.notify_all()

    def all(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["event"] == kind]

    def until(
        self, kind: str, holds: Callable[[dict[str, Any]], object] = bool, *, after: int = 0, seconds: float = 60
    ) -> Any:
        """The first such event, of those that come after the first `after` events of all."""
        end = time.monotonic() + seconds
        with self._news:
            while True:
                for event in self.events[after:]:
                    if event["event"] == kind and holds(event):
                        return event
                left = end - time.monotonic()
                assert left > 0, self.events[after:]
                if not self._reader.is_alive():
                    raise AssertionError((self.events[after:], self.process.wait()))
                self._news.wait(min(left, 1))

    def ready(self) -> DevRun:
        """When its first sample was answered."""
        self.until("predicted")
        return self

    def saved(self, do: Callable[[], object], holds: Callable[[dict[str, Any]], object] = bool) -> Any:
        """What is told of what `do` writes."""
        after = len(self.events)
        do()
        return self.until("reloaded", holds, after=after)

    def write(self, name: str, text: str, holds: Callable[[dict[str, Any]], object] = bool) -> Any:
        return self.saved(lambda: replace(self.folder.path / name, text), holds)

    def end(self, number: signal.Signals = signal.SIGINT) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        self._reader.join()
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None and not stream.closed:
                text = stream.read()
                stream.close()
                assert "Traceback" not in text, text
        return self.process.wait()


def replace(file: Path, text: str) -> None:
    """As most editors save: a new file, renamed over the old one."""
    partial = file.with_name(f".{file.name}.new")
    partial.write_text(text)
    partial.replace(file)


class Client:
    """Somebody else who sends requests: no part of asteria-tui."""

    def __init__(self, folder: Folder) -> None:
        state = folder.state
        self.base = f"http://127.0.0.1:{state['ports']['inference']}"
        keys = json.loads((folder.path / ".asteria/server/key_file.json").read_text())
        self.token = keys["inference"]["key"]

    def ask(self, model: str, body: Any = None, timeout: float = 60) -> tuple[int, Any, str]:
        """Status, body, and the hash of the sources that the answer was made by."""
        request = urllib.request.Request(  # noqa: S310 our own server
            f"{self.base}/predictions/{model}",
            json.dumps(body).encode(),
            {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:  # noqa: S310 our own server
                return answer.status, json.loads(answer.read()), answer.headers.get("x-asteria-sources", "")
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read()), ""


def plain_is_served(folder: Folder) -> bool:
    models = folder.state["models"]
    return all(model["sha256"] and not model["is_dev"] for model in models.values())


def wait_for_end(run: DevRun) -> int:
    until(lambda: run.process.poll() is not None)
    return run.end()
