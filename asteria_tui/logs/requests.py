"""One row for each request of a log: what TorchServe itself says of one is left out, and found when it is asked for.

The access line stands for the request. The lines around it on the threads of its worker are searched only when the
reader unfolds it, so a log of any size costs nothing but a look at each line. See docs/torchserve.md section 4 for the
lines, and `traffic.py` for their order.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Iterable, Iterator

from asteria_tui.events import LogRecord
from asteria_tui.logs.folds import Fold
from asteria_tui.logs.parse import Parser
from asteria_tui.logs.rotated import RotatedLog
from asteria_tui.logs.search import Hits

MAX_LINES = 4_000
"""Lines around an access line in which the others of its request are searched."""
_WINDOW = 64
_NOISE_WORDS = (
    b"Backend re",
    b"Looping backend",
    b"Waiting time ns",
    b"Flushing req.cmd",
    b"jobId",
    b"[METRICS]",
    b'"GET /',
)
"""One of these stands in every line that is left out: a piece of the log without them is not looked through."""
_NOISE = re.compile(
    rb'\{"t":\d+,"l":"[A-Z]*","th":"[^"]*","lg":"(?:'
    rb'org\.pytorch\.serve\.wlm\.WorkerThread","m":"(?:Flushing req\.cmd \w*PREDICT|Looping back|Backend response time)'
    rb'|org\.pytorch\.serve\.wlm\.BatchAggregator","m":"Sending response for jobId'
    rb'|org\.pytorch\.serve\.job\.RestJob","m":"Waiting time ns'
    rb'|MODEL_LOG","m":"Backend received inference at'
    rb'|org\.pytorch\.serve\.wlm\.WorkerLifeCycle","m":"result=\[METRICS\]'
    # What asks how the server is, the monitor of this program above all; where that fails it is shown.
    rb'|ACCESS_LOG","m":"\S+ \\"GET /(?:models(?:[/?]\S*)?|ping) \S+\\" 2'
    rb")"
)
_OF_REQUEST = re.compile(
    rb'"lg":"(?:TS_METRICS|MODEL_METRICS|ACCESS_LOG'
    rb'|org\.pytorch\.serve\.(?:wlm\.(?:WorkerThread|BatchAggregator)|job\.RestJob))"'
    rb'|"lg":"MODEL_LOG","m":"Backend received inference at'
    rb'|"lg":"org\.pytorch\.serve\.wlm\.WorkerLifeCycle","m":"result=\[METRICS\]'
)
_BEGIN = re.compile(rb'"m":"Flushing req\.cmd')
_END = re.compile(rb'"m":"Waiting time ns')
_LAST = re.compile(rb'"m":"Backend response time')
_NEXT = re.compile(rb'"lg":"ACCESS_LOG"|"m":"(?:Flushing req\.cmd|Sending response for jobId)')
_ACCESS = re.compile(r'\S+ "(?P<method>\S+) (?P<path>.*) \S+" (?P<status>\d{3}) (?P<ms>\d{1,12})\Z')
_PREDICTION = re.compile(r"/(?:predictions|explanations)/(?P<model>[^?]+)")


def quiet_lines(first: int, data: bytes) -> set[int]:
    """The numbers of the lines to leave out; `data` begins with the line `first`."""
    if not any(word in data for word in _NOISE_WORDS):
        return set()
    return {number for number, line in enumerate(data.split(b"\n"), first) if _NOISE.match(line)}


def answered(record: LogRecord) -> tuple[str, int] | None:
    """An access line as people read it, `POST echo  200  9 ms`, and its status; None for any other record."""
    match = _ACCESS.match(record.text) if record.source == "access" else None
    if match is None:
        return None
    asked = _PREDICTION.match(match["path"])
    milliseconds = f"{int(match['ms']):,} ms" if int(match["ms"]) else "<1 ms"
    what = f"{match['method']} {asked['model'] if asked else match['path']}"
    return f"{what}  {match['status']}  {milliseconds}", int(match["status"])


def is_good(status: int) -> bool:
    return 200 <= status < 300  # noqa: PLR2004 the success class of RFC 9110


class RequestFold(Fold, gc=False, eq=False):
    """One request: `head` is its access line, `lines` are those that unfolding shows, before it and after it."""


class RequestFolds:
    """The requests whose lines are shown, among `hits`, which leave them out at first."""

    def __init__(self, log: RotatedLog, hits: Hits, record: Callable[[int], LogRecord]) -> None:
        self._log = log
        self._hits = hits
        self._record = record
        self._open: dict[int, RequestFold] = {}

    def at(self, line: int) -> RequestFold | None:
        """The request whose access line that is; of one that no worker answered there is nothing to unfold."""
        if line in self._open:
            return self._open[line]
        record = self._record(line)
        is_request = record.source == "access" and record.worker is not None
        return RequestFold(line, last=line, end=line + 1, lines=array("q")) if is_request else None

    def around(self, line: int) -> RequestFold | None:
        """The unfolded request that one of its lines stands in, or the one at the line."""
        return next((fold for fold in self._open.values() if line in fold.lines), None) or self.at(line)

    def toggle(self, fold: RequestFold) -> None:
        if fold.head in self._open:
            self._hits.hide(self._open.pop(fold.head).lines)
            fold.is_folded = True
            return
        lines = (line for line, data in request_lines(self._log, fold.head) if _OF_REQUEST.search(data))
        fold.lines = array("q", (line for line in lines if line != fold.head and line not in self._hits))
        fold.is_folded = False
        self._open[fold.head] = fold
        self._hits.show(fold.lines)

    def text(self, fold: Fold) -> str:
        """Every line of it, what the handler printed too."""
        parser = Parser()
        return "\n".join(self._log.record(line, parser).text for line, _ in request_lines(self._log, fold.head))

    def forget_deleted(self) -> None:
        self._open = {head: fold for head, fold in self._open.items() if head >= self._log.first}


def request_lines(log: RotatedLog, access: int) -> list[tuple[int, bytes]]:
    """The lines of the worker's threads that belong to the request of an access line, in order, with their bytes.

    Of a batch the first request has what came before the answers, and the last what came after them.
    """
    own = next(iter(_lines(log, range(access, access + 1))), None)
    worker = re.search(rb'"th":"W-\d+-', own[1]) if own is not None else None
    if own is None or worker is None:
        return []
    of_worker = [own]
    for number, line in _lines(log, range(access - 1, max(log.first, access - MAX_LINES) - 1, -1)):
        if worker[0] not in line:
            continue
        if _END.search(line) or _LAST.search(line):
            break
        of_worker.append((number, line))
        if _BEGIN.search(line):
            break
    of_worker.reverse()
    is_answered = False
    for number, line in _lines(log, range(access + 1, min(log.end, access + MAX_LINES))):
        if worker[0] not in line:
            continue
        if _NEXT.search(line):
            break
        of_worker.append((number, line))
        is_answered = is_answered or _END.search(line) is not None
        if is_answered and _LAST.search(line):
            break
    return of_worker


def _lines(log: RotatedLog, numbers: range) -> Iterator[tuple[int, bytes]]:
    """The lines of these numbers, read some at a time, through the parts of the log."""
    step = numbers.step
    at = 0
    while at < len(numbers):
        line = numbers[at]
        part = log.part(line)
        count = min(_WINDOW, len(numbers) - at, line - part.first + 1 if step < 0 else part.end - line)
        if count <= 0:
            return
        first = line - count + 1 if step < 0 else line
        found: Iterable[tuple[int, bytes]] = list(enumerate(part.lines(first, count), first))
        yield from reversed(list(found)) if step < 0 else found
        at += count
