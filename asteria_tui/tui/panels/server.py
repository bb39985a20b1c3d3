"""Panel 2: the server, its models and workers, its keys."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import BindingType
from textual.content import Content

from asteria_tui import wording
from asteria_tui.events import Key, Model, ServerChanged, Worker
from asteria_tui.state import State
from asteria_tui.tui import presentation as pres
from asteria_tui.tui.actions import KeyNames, bindings
from asteria_tui.tui.details import heading
from asteria_tui.tui.panels.panel import TextPanel

KIND_WIDTH = 12


class ServerPanel(TextPanel):
    HELP = (
        "The TorchServe of this project: where it answers, whether it is well and why not, what it uses, each model "
        "with its workers, and the three keys with the time that they are valid. Keys stay hidden until you press "
        "{keys}; they are renewed by themselves when a request needs it."
    )
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("server")]

    def text(self, state: State, width: int, height: int) -> Content:
        keys = self.app.key_names
        return strip(state, width, keys) if height <= 1 else Content("\n").join(_lines(state, width, keys))


def strip(state: State, width: int, keys: KeyNames) -> Content:
    """The panel in one line."""
    server = state.server
    if server.state == "stopped":
        return _cut(Content.assemble(heading(server), (f"  press {keys['up']} to start it", "$foreground 60%")), width)
    parts: list[str] = [f"{model.name} {model.version}" for model in state.models]
    if state.models:
        ready, wanted = pres.workers(state.models)
        parts.append(f"{ready}/{wanted} {'worker' if wanted == 1 else 'workers'}")
    parts += _usage(server)
    expiring = [key for key in state.keys if key.expires_at is not None]
    if expiring:
        parts.append(f"keys {pres.key_time(min(key.expires_at or 0.0 for key in expiring))}")
    shown = server.reason or " · ".join(parts)
    return _cut(Content.assemble(heading(server), "  ", (shown, "$text-error" if server.reason else "")), width)


def _lines(state: State, width: int, keys: KeyNames) -> list[Content]:
    server = state.server
    if server.state == "stopped":
        reason = [_cut(Content.styled(server.reason, "$text-error"), width)] if server.reason else []
        return [
            heading(server),
            *reason,
            Content.assemble(
                ("press ", "$foreground 60%"),
                (keys["up"], "$accent"),
                (" to package, start and predict", "$foreground 60%"),
            ),
        ]
    uptime = wording.uptime(server.started_at) if server.started_at else ""
    lines = [_both(heading(server), uptime, width)]
    if server.reason:
        lines += Content.styled(server.reason, "$text-error").wrap(max(10, width))
    lines.append(_both(Content(server.inference.removeprefix("http://")), server.target, width))
    usage = "   ".join(_usage(server))
    if usage or server.pid:
        lines.append(_both(Content(usage), f"pid {server.pid}" if server.pid else "", width))
    outdated = {source.model for source in state.outdated()}
    for model in state.models:
        lines += _model_lines(model, width, is_outdated=model.name in outdated)
    lines += [_key_line(key, width) for key in state.keys]
    return lines


def _usage(server: ServerChanged) -> list[str]:
    usage = []
    if server.memory_bytes:
        usage.append(wording.size(server.memory_bytes))
    if server.cpu_percent is not None:
        usage.append(f"cpu {server.cpu_percent:.0f} %")
    return usage


def _model_lines(model: Model, width: int, *, is_outdated: bool) -> list[Content]:
    queue = f"queue {model.pending_requests}"
    note = "  older code" if is_outdated else ""
    dev = "  dev" if model.is_dev else ""
    name = Content.assemble((f"{model.name}", "bold"), f" {model.version}", (dev, "$accent"), (note, "$text-warning"))
    if not model.workers:
        return [_both(name + Content.styled("  no worker", "$text-error"), queue, width)]
    return [_both(name, queue, width), *(line for worker in model.workers for line in _worker_lines(worker, width))]


def _worker_lines(worker: Worker, width: int) -> list[Content]:
    style = "$text-success" if worker.is_ready else "$text-warning"
    pid = f"  pid {worker.pid}" if worker.pid else ""
    line = Content.assemble(f"  W-{worker.id} ", (worker.status.lower(), style), (pid, "$foreground 60%"))
    lines = [_both(line, wording.size(worker.memory_bytes) if worker.memory_bytes else "", width)]
    if worker.cause:
        lines.append(_cut(Content.styled(f"    {worker.cause.headline}", "$text-error"), width))
    return lines


def _key_line(key: Key, width: int) -> Content:
    left = Content.assemble((f"{key.kind:<{KIND_WIDTH}}", "$foreground 60%"), key.token)
    return _both(left, pres.key_time(key.expires_at), width)


def _both(left: Content, right: str, width: int) -> Content:
    """One line with something at each end."""
    room = width - len(right) - 1 if right else width
    left = left.truncate(max(1, room), ellipsis=True)
    return Content.assemble(left, " " * max(1, width - left.cell_length - len(right)), (right, "$foreground 60%"))


def _cut(text: Content, width: int) -> Content:
    return text.truncate(max(1, width), ellipsis=True)
