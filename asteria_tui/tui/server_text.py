"""What the server panel shows: State in, rows of styled text out; some rows stand for a model or a worker."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
from textual.content import Content

from asteria_tui import wording
from asteria_tui.events import Key, Model, ModelTraffic, ServerChanged, Worker
from asteria_tui.state import State
from asteria_tui.tui import presentation as pres
from asteria_tui.tui.actions import KeyNames
from asteria_tui.tui.details import heading
from asteria_tui.tui.served import chain
from asteria_tui.tui.widgets.chart import area, ceiling
from asteria_tui.tui.widgets.sparkline import sparkline

MODELS_SHOWN = 3
WORKERS_SHOWN = 10
KIND_WIDTH = 12
DIM = "$foreground 60%"
NONE = "—"
UNITS = {
    "Count": "",
    "unit": "",
    "Milliseconds": "ms",
    "Seconds": "s",
    "Percent": "%",
    "Megabytes": "MB",
    "Gigabytes": "GB",
}
LATENCY_ROWS, RATE_ROWS = 3, 2
LABEL_WIDTH = 9
STRIP_BARS = 10
Subject = tuple[str, ...]
"""What a row stands for: ("model", name, version), ("worker", id), ("more",), or nothing."""


class ServerRow(msgspec.Struct, frozen=True):
    text: Content
    subject: Subject = ()


def strip(state: State, width: int, keys: KeyNames) -> Content:
    """The panel in one line."""
    server = state.server
    if server.state == "stopped":
        return _cut(Content.assemble(heading(server), (f"  press {keys['up']} to start it", DIM)), width)
    if server.reason:
        return _cut(Content.assemble(heading(server), "  ", (server.reason, "$text-error")), width)
    glyph, style = pres.SERVER_GLYPHS[server.state]
    parts: list[Content | str | tuple[str, str]] = [(f"{glyph} ", style)]
    if server.state != "running" or not state.models:
        parts.append(f"{server.state} ")
    traffic = busiest(state)
    model = next((one for one in state.models if traffic is None or one.name == traffic.model), None)
    if model is not None:
        parts.append((model.name if traffic else f"{model.name} {model.version}", "bold"))
        parts.append(f" +{len(state.models) - 1}" if len(state.models) > 1 else "")
    if traffic is not None:
        bars = sparkline(traffic.counts, STRIP_BARS)
        parts.append(f" {number(traffic.per_second)}/s p95 {number(traffic.p95)} ms ")
        parts.append((bars, "$accent"))
        parts.append((f" {traffic.failures} err", "$text-error" if traffic.failures else DIM))
    rest = []
    if state.models:
        ready, wanted = pres.workers(state.models)
        rest.append(wording.workers(ready, wanted))
    if traffic is None:
        rest += _usage(server)
    expiring = [key.expires_at for key in state.keys if key.expires_at is not None]
    if expiring:
        rest.append(f"keys {pres.key_time(min(expiring))}")
    parts.append((" · ".join(["", *rest]), DIM))
    return _cut(Content.assemble(*parts), width)


def rows(
    state: State, width: int, keys: KeyNames, *, chosen: Subject = (), all_workers: bool = False
) -> list[ServerRow]:
    """All of it; the row of `chosen` is marked, and the chart is of the model that it is about."""
    server = state.server
    if server.state == "stopped":
        return [ServerRow(line) for line in _stopped(state, width, keys)]
    made = [ServerRow(line) for line in _head(server, width)]
    if state.models:
        made += [*_models(state, width), *(ServerRow(line) for line in _chart(state, chosen, width))]
        made += _workers(state, width, all_workers=all_workers)
    made += [ServerRow(line) for line in (*_metrics(state, width), *_chain(state, width), *_keys(state.keys, width))]
    return [_marked(row, width) if row.subject and row.subject == chosen else row for row in made]


def subjects(made: Sequence[ServerRow]) -> list[Subject]:
    """What can be chosen, from above to below."""
    return list(dict.fromkeys(row.subject for row in made if row.subject))


def busiest(state: State) -> ModelTraffic | None:
    """The model with the most requests in the last minute."""
    return max(state.traffic.models, key=lambda one: one.requests, default=None)


def number(value: float) -> str:
    """`0.8`, `8.2`, `51`, `1,204`: whole ones without a point."""
    return f"{value:,.0f}" if value == int(value) else f"{value:g}"


def _stopped(state: State, width: int, keys: KeyNames) -> Iterator[Content]:
    yield heading(state.server)
    if state.server.reason:
        yield _cut(Content.styled(state.server.reason, "$text-error"), width)
    yield Content.assemble(("press ", DIM), (keys["up"], "$accent"), (" to package, start and predict", DIM))


def _head(server: ServerChanged, width: int) -> Iterator[Content]:
    uptime = wording.uptime(server.started_at) if server.started_at else ""
    yield _both(heading(server), uptime, width)
    if server.reason:
        yield from Content.styled(server.reason, "$text-error").wrap(max(10, width))
    yield _both(Content(server.inference.removeprefix("http://")), server.target, width)
    usage = "   ".join(_usage(server))
    if usage or server.pid:
        yield _both(Content(usage), f"pid {server.pid}" if server.pid else "", width)


def _usage(server: ServerChanged) -> list[str]:
    usage = []
    if server.memory_bytes:
        usage.append(wording.size(server.memory_bytes))
    if server.cpu_percent is not None:
        usage.append(f"cpu {server.cpu_percent:.0f} %")
    return usage


def _models(state: State, width: int) -> Iterator[ServerRow]:
    """A table; the figures are of the name, whichever of its versions answered."""
    yield ServerRow(Content(""))
    yield ServerRow(_both(Content.styled("model", DIM), f"{'req/s':>6}{'p50':>6}{'p95 ms':>8}", width))
    outdated = {source.model for source in state.outdated()}
    for model in state.models[:MODELS_SHOWN]:
        traffic = state.traffic.of(model.name)
        figures = (traffic.per_second, traffic.p50, traffic.p95) if traffic else (0.0, None, None)
        rate, p50, p95 = (number(one) if one is not None else NONE for one in figures)
        notes = [
            ("  dev" if model.is_dev else "", "$accent"),
            ("  older code" if model.name in outdated else "", "$text-warning"),
            ("  no worker" if not model.workers else "", "$text-error"),
        ]
        name = Content.assemble((model.name, "bold"), (f" {model.version}", DIM), *notes)
        style = "" if traffic else DIM
        line = _both(name, f"{rate:>6}{p50:>6}{p95:>8}", width, style)
        yield ServerRow(line, ("model", model.name, model.version))
    if len(state.models) > MODELS_SHOWN:
        yield ServerRow(Content.styled(f"+ {wording.plural(len(state.models) - MODELS_SHOWN, 'model')}", DIM))


def _chart(state: State, chosen: Subject, width: int) -> Iterator[Content]:
    """The last minute of the model that is chosen, else of the busiest: latency above, requests below."""
    name = chosen[1] if chosen[:1] == ("model",) else ""
    traffic = state.traffic.of(name) if name else busiest(state)
    counts, latencies, failed = (traffic.counts, traffic.latencies, traffic.failed) if traffic else ((), (), ())
    columns = width - LABEL_WIDTH
    above = area(latencies, columns, LATENCY_ROWS, "$accent")
    marked = {index for index, count in enumerate(failed) if count}
    below = area(counts, columns, RATE_ROWS, "$text-success", marked, "$text-error")
    labels = [""] * (LATENCY_ROWS + RATE_ROWS)
    if traffic is not None:
        labels[0] = f"{number(ceiling(max(latencies)))} ms"
        labels[LATENCY_ROWS] = f"{number(ceiling(max(counts)))}/s"
    for line, label in zip([*above, *below], labels, strict=True):
        yield Content.assemble(line, (f"{label:>{LABEL_WIDTH}}", DIM))
    waiting = sum(one.waiting for one in state.traffic.models)
    queued = max((model.pending_requests for model in state.models), default=0)
    errors = traffic.failures if traffic else 0
    text = Content.assemble(
        (wording.plural(errors, "error"), "$text-error" if errors else DIM),
        (f"   {max(waiting, queued)} waiting" if traffic or queued else "   no request", DIM),
    )
    several = len(state.models) > 1 and traffic is not None
    yield _both(text, f"{traffic.model}, last minute" if several and traffic else "last minute", width)


def _workers(state: State, width: int, *, all_workers: bool) -> Iterator[ServerRow]:
    everyone = [(model, worker) for model in state.models for worker in model.workers]
    if not everyone:
        return
    shown = everyone if all_workers else everyone[:WORKERS_SHOWN]
    several = len(state.models) > 1
    yield ServerRow(Content(""))
    head = f"{'model' if several else 'pid':>8}{'memory':>7}{'cpu':>6}"
    yield ServerRow(_cut(Content.styled(f"{'worker':<7}{'state':<6}{head}", DIM), width))
    for model, worker in shown:
        yield ServerRow(_worker(state, model, worker, width, several=several), ("worker", worker.id))
        if worker.cause:
            yield ServerRow(_cut(Content.styled(f"  {worker.cause.headline}", "$text-error"), width))
    if len(everyone) > len(shown):
        yield ServerRow(Content.styled(f"+ {wording.plural(len(everyone) - len(shown), 'worker')}", DIM), ("more",))


def _worker(state: State, model: Model, worker: Worker, width: int, *, several: bool) -> Content:
    style = "$text-success" if worker.is_ready else "$text-warning"
    usage = state.usage.get(worker.pid or 0)
    memory = (usage.memory_bytes if usage else None) or worker.memory_bytes
    percents = usage.cpu_percents if usage else ()
    third = wording.short(model.name, 8) if several else str(worker.pid or NONE)
    cpu = f"{percents[-1]} %" if percents else NONE
    curve = sparkline(percents, max(0, width - 35)) if any(percents) else ""
    return _cut(
        Content.assemble(
            f"{f'W-{worker.id}':<7}",
            (f"{wording.short(worker.status.lower(), 5):<6}", style),
            (f"{third:>8}", DIM),
            f"{wording.size(memory) if memory else NONE:>7}{cpu:>6} ",
            (curve, "$accent"),
        ),
        width,
    )


def _metrics(state: State, width: int) -> Iterator[Content]:
    """What handlers measure of their own."""
    if state.traffic.metrics:
        yield Content("")
    for name, value, unit in state.traffic.metrics:
        yield _both(Content.styled(name, DIM), f"{number(value)} {UNITS.get(unit, unit)}".strip(), width, "")


def _chain(state: State, width: int) -> Iterator[Content]:
    links = chain(state)
    if links is not None:
        yield from (Content(""), _cut(links, width))


def _keys(keys: Sequence[Key], width: int) -> Iterator[Content]:
    """One row, and one for each token where they are revealed."""
    if not keys:
        return
    yield Content("")
    if any("•" not in key.token for key in keys):
        yield from (_key_line(key, width) for key in keys)
        return
    expiring = [key.expires_at for key in keys if key.expires_at is not None]
    names = " ".join(key.kind for key in keys)
    yield _both(Content.assemble(("keys  ", DIM), names), pres.key_time(min(expiring, default=None)), width)


def _key_line(key: Key, width: int) -> Content:
    left = Content.assemble((f"{key.kind:<{KIND_WIDTH}}", DIM), key.token)
    return _both(left, pres.key_time(key.expires_at), width)


def _marked(row: ServerRow, width: int) -> ServerRow:
    padded = Content.assemble(row.text, " " * max(0, width - row.text.cell_length))
    return ServerRow(padded.stylize_before("on $accent 20%"), row.subject)


def _both(left: Content, right: str, width: int, style: str = DIM) -> Content:
    """One line with something at each end."""
    room = width - len(right) - 1 if right else width
    left = left.truncate(max(1, room), ellipsis=True)
    return Content.assemble(left, " " * max(1, width - left.cell_length - len(right)), (right, style))


def _cut(text: Content, width: int) -> Content:
    return text.truncate(max(1, width), ellipsis=True)
