"""Runs a handler on payloads in one process, as a worker of TorchServe would: what `debug` starts.

It runs in the server's interpreter by its path, without the rest of asteria-tui. What TorchServe does with a request is
left to TorchServe's own code: it decodes the payloads (`ts/protocol/otf_message_handler.py`), makes the context
(`ts/service.py`), and answers become bytes by its rules. The loader of `dev` imports the project's code, so frames and
breakpoints carry the names of the user's own files.
"""

from __future__ import annotations

import bdb
import contextlib
import importlib
import io
import json
import os
import pdb
import struct
import sys
import time
import traceback
from types import FrameType
from typing import Any, BinaryIO

INFERENCE_FAILED = 6
USAGE = 2
OK, NO_MORE_OK = 200, 300


class Call:
    """A loaded handler and the batch that it is called with."""

    def __init__(self, task: dict[str, Any]) -> None:
        self.task = task
        folder = task["folder"]
        sys.path.insert(0, folder)
        # As a worker: an extracted archive is where it runs.
        os.chdir(folder)
        loader = importlib.import_module(task["loader"])
        from ts.metrics.metric_cache_yaml_impl import MetricsCacheYamlImpl
        from ts.service import Service

        metrics = MetricsCacheYamlImpl(os.path.join(os.path.dirname(_file_of("ts")), "configs", "metrics.yaml"))
        metrics.initialize_cache()
        metrics.model_name = task["model"]
        metrics.set_request_ids("load")
        self.worker = loader.Worker(folder)
        manifest = self.worker.settings["manifest"]
        batch_size = max(task["batch_size"], len(task["payloads"]))
        self.service = Service(task["model"], folder, manifest, None, None, batch_size, True, metrics)

    def run(self) -> list[Any]:
        """Loads, decodes and asks; the answers."""
        self.load()
        return self.ask()

    def load(self) -> None:
        self.worker.load(self.service.context)

    def ask(self) -> list[Any]:
        context = self.service.context
        processors, data, ids = self.service.retrieve_data_for_inference(
            [_decoded(payload, number) for number, payload in enumerate(self.task["payloads"])]
        )
        context.request_ids, context.request_processor = ids, processors
        context.metrics.request_ids = ids
        call = self.worker.handler.call
        if self.task["envelope"]:
            module = importlib.import_module("ts.torch_handler.request_envelope." + self.task["envelope"])
            call = next(iter(_classes(module)))(call).handle
        answers = call(data, context)
        if not isinstance(answers, list) or len(answers) != len(data):
            found = f"{len(answers)} of them" if isinstance(answers, list) else type(answers).__name__
            raise TypeError(f"the handler has to return a list of {len(data)} answers, and returned {found}")
        return answers


class Debugger(pdb.Pdb):
    """Goes on until the first breakpoint."""

    has_stopped = False

    def stop_here(self, frame: FrameType) -> bool:
        return self.has_stopped and super().stop_here(frame)

    def sigint_handler(self, signum: Any, frame: Any) -> None:
        """Ctrl-C often comes while the debugger looks at a line: the user wants to stand in the code."""
        while frame.f_back is not None and frame.f_code.co_filename in {bdb.__file__, pdb.__file__}:
            frame = frame.f_back
        super().sigint_handler(signum, frame)

    def user_line(self, frame: FrameType) -> None:
        self.has_stopped = True
        super().user_line(frame)


def main() -> int:
    with open(sys.argv[1], "rb") as file:
        task = json.loads(file.read())
    try:
        return _MODES[task["mode"]](task)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    except Exception as error:  # noqa: BLE001 whatever the project's code raises
        print("".join(_shown(error)), end="", file=sys.stderr)
        return INFERENCE_FAILED


def _run(task: dict[str, Any]) -> int:
    call = Call(task)
    return _answer(call, call.run())


def _stop_at_breakpoints(task: dict[str, Any]) -> int:
    debugger = Debugger()
    call = Call(task)
    for file, line in task["breakpoints"]:
        # It says itself why there can be none.
        if not debugger.checkline(file, line) or debugger.set_break(file, line):
            print(f"no breakpoint at {file}:{line}", file=sys.stderr)
            return USAGE
    answers = debugger.runcall(call.run)
    for found in bdb.Breakpoint.bpbynumber:
        if found is not None and not found.hits:
            print(f"{found.file}:{found.line} was not reached", file=sys.stderr)
    return 0 if answers is None else _answer(call, answers)  # None: it was left


def _post_mortem(task: dict[str, Any]) -> int:
    call = Call(task)
    try:
        answers = call.run()
    except Exception as error:  # noqa: BLE001 whatever the project's code raises
        print("".join(_shown(error)), end="", file=sys.stderr)
        pdb.post_mortem(error.__traceback__)
        return INFERENCE_FAILED
    print("nothing was raised", file=sys.stderr)
    return _answer(call, answers)


def _profile(task: dict[str, Any]) -> int:
    try:
        pyinstrument = importlib.import_module("pyinstrument")
    except ImportError:
        print(f"{sys.executable} has no pyinstrument: {sys.executable} -m pip install pyinstrument", file=sys.stderr)
        return USAGE
    call = Call(task)
    call.load()
    profiler = pyinstrument.Profiler(interval=0.0001)
    with profiler:
        answers = call.ask()
    print(profiler.output_text(unicode=True, color=sys.stderr.isatty()), file=sys.stderr)
    return _answer(call, answers)


def _trace_shapes(task: dict[str, Any]) -> int:
    call = Call(task)
    call.load()
    instance = call.worker.handler.instance
    names = [name for name in ("preprocess", "inference", "postprocess") if hasattr(instance, name)]
    for name in names:
        setattr(instance, name, _traced(name, getattr(instance, name)))
    if not names:
        call.worker.handler.call = _traced("handle", call.worker.handler.call)
    return _answer(call, call.ask())


def _traced(name: str, function: Any) -> Any:
    def traced(*arguments: Any, **named: Any) -> Any:
        begun = time.perf_counter()
        result = function(*arguments, **named)
        seconds = time.perf_counter() - begun
        taken = _shape(arguments[0]) if arguments else ""
        print(f"{name:<12} {seconds * 1000:8.2f} ms  {taken} → {_shape(result)}", file=sys.stderr)
        return result

    return traced


def _shape(value: Any, depth: int = 2) -> str:
    """`Tensor (1, 394) float32 cpu`, `list of 1 x dict`."""
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        dtype = str(value.dtype).replace("torch.", "")
        return f"{type(value).__name__} {tuple(value.shape)} {dtype} {getattr(value, 'device', '')}".rstrip()
    if isinstance(value, (list, tuple)) and value:
        return f"{type(value).__name__} of {len(value)} x {_shape(value[0], depth - 1) if depth else '…'}"
    if isinstance(value, (str, bytes, bytearray)):
        return f"{type(value).__name__} of {len(value)}"
    return type(value).__name__


def _decoded(payload: dict[str, Any], number: int) -> dict[str, Any]:
    """By TorchServe's own reader: `payload` as a frame of its protocol."""
    from ts.protocol import otf_message_handler

    with open(payload["file"], "rb") as file:
        body = file.read()
    name, kind = b"body", payload["content_type"].encode()
    frame = b"".join(struct.pack("!i", len(part)) + part for part in (name, kind, body))
    parameter = otf_message_handler._retrieve_input_data(_Connection(io.BytesIO(frame)))
    headers = [{"name": b"Content-Type", "value": kind}]
    return {"requestId": f"debug-{number}".encode(), "parameters": [parameter], "headers": headers}


class _Connection:
    def __init__(self, frame: BinaryIO) -> None:
        self.recv = frame.read


def _answer(call: Call, answers: list[Any]) -> int:
    """To stdout, each as the bytes that TorchServe would send (`create_predict_response`); not well: its status."""
    code = 0
    for index, answer in enumerate(answers):
        status, phrase = call.service.context.get_response_status(index)
        if not OK <= status < NO_MORE_OK:
            code = INFERENCE_FAILED
            print(f"status {status} {phrase or ''}".rstrip(), file=sys.stderr)
        if index:
            sys.stdout.buffer.write(b"\n")
        sys.stdout.buffer.write(_encoded(answer))
    sys.stdout.buffer.flush()
    if sys.stdout.isatty():
        print()
    return code


def _encoded(answer: Any) -> bytes:
    if isinstance(answer, (bytes, bytearray)):
        return bytes(answer)
    if isinstance(answer, str):
        return answer.encode()
    if type(answer).__name__ == "Tensor":
        import torch

        buffer = io.BytesIO()
        torch.save(answer, buffer)
        return buffer.getvalue()
    return json.dumps(answer, indent=2).encode()


def _shown(error: BaseException) -> list[str]:
    """The traceback from the first frame on that is not of this tool."""
    trace, here = error.__traceback__, os.path.dirname(os.path.abspath(__file__))
    first = trace
    while first is not None and os.path.realpath(first.tb_frame.f_code.co_filename).startswith(here):
        first = first.tb_next
    return traceback.format_exception(type(error), error, first or trace)


def _classes(module: Any) -> list[Any]:
    return [found for found in vars(module).values() if isinstance(found, type) and found.__module__ == module.__name__]


def _file_of(name: str) -> str:
    return str(importlib.import_module(name).__file__)


_MODES = {
    "run": _run,
    "break": _stop_at_breakpoints,
    "post_mortem": _post_mortem,
    "profile": _profile,
    "trace_shapes": _trace_shapes,
}

if __name__ == "__main__":
    # Not the folder of this file: nothing of asteria-tui is the project's to import.
    sys.path.pop(0)
    # What it was given is for one run.
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
    sys.exit(130)
