"""What a traceback means: the root exception and the line of the user's own source that it came from."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePath

import msgspec

from asteria_tui.events import Cause, Frame
from asteria_tui.logs.traceback import CHAIN, GROUP_HEAD, HEAD, Block

# The head of a group within a group loses its margin before it is compared.
_HEADS = (HEAD, GROUP_HEAD, GROUP_HEAD.removeprefix("  + "))
_FRAME = re.compile(r'\s*File "(?P<file>.+)", line (?P<line>\d{1,9})(?:, in (?P<function>.+))?$')
_EXCEPTION = re.compile(r"(?P<exception>[^\s:]+)(?:: ?(?P<message>.*))?$")
_MARKS = re.compile(r"[\s^~]+$")
_MARGIN = re.compile(r"\s*[|+] ?")
_FIRST_OF_GROUP = re.compile(r"\s*\+-\+-+ 1 -+$")
_NEXT_OF_GROUP = re.compile(r"\s*\+-+(?: \d+ -+|\.\.\. -+|-)$")
# TorchServe unpacks each archive to <temp>/models/<32 hex digits>/ (docs/torchserve.md sections 4 and 8).
_UNPACKED = re.compile(r".*/models/[0-9a-f]{32}/(?P<member>.+)$")
_INSTALLED = re.compile(r".*/(?:site|dist)-packages/(?P<package>[^/]+?)(?:\.py)?(?:/|$)")
_STANDARD = re.compile(r".*/python\d[\d.]*/(?P<package>[^/]+?)(?:\.py)?(?:/|$)")
_FROZEN = re.compile(r"<frozen (?P<package>\w+)")


class SourceMap(msgspec.Struct, frozen=True):
    """Where the user's own files are, for paths as a worker sees them."""

    members: Mapping[str, Mapping[str, str]] = {}
    """Model -> member of its archive -> path relative to the project: `handler.py` -> `handler/handler.py`."""
    root: str = ""
    """The project's folder, for workers that run its files in place."""

    def own(self, file: str, model: str | None) -> str | None:
        """The path to show of one of the user's own files; None for a file of a framework."""
        match = _UNPACKED.match(file)
        if match is not None:
            member, members = match["member"], self.members.get(model or "")
            # Without a list of members every unpacked file counts, but for packages installed beside them.
            return members.get(member) if members is not None else (None if "/" in member else member)
        if self.root and file.startswith(self.root.rstrip("/") + "/"):
            inside = PurePath(file).relative_to(self.root)
            return (
                None if any(part.startswith(".") or part == "site-packages" for part in inside.parts) else str(inside)
            )
        return None


Locate = Callable[[str], str | None]
"""`SourceMap.own` for one model."""


class Raised(msgspec.Struct):
    """One exception of a chain."""

    exception: str
    message: str
    frames: list[Frame]


def chain(text: str, locate: Locate) -> list[Raised]:
    """The exceptions of a traceback in the order of their raising, the root first; of a group, its first member.

    A traceback that was cut off before its exception gives an exception without a name.
    """
    return [raised for part in _parts(text.split("\n")) for raised in _raised(part, locate)]


def cause_of(block: Block, sources: SourceMap | None = None) -> Cause:
    """The root cause in `block`."""
    locate = functools.partial((sources or SourceMap()).own, model=block.model)
    raised = chain(block.text, locate)
    root = raised[0] if raised else Raised("", "", [])
    frame = _source_frame(raised)
    start = block.stream == "stderr" and not block.phase and (frame is None or not frame.is_project)
    return Cause(
        exception=root.exception or "Traceback",
        message=root.message if root.exception else "cut off before the exception",
        frame=frame,
        phase="start" if start else block.phase,
        workers=(block.worker,) if block.worker else (),
        model=block.model,
        first_at=block.first_at,
        last_at=block.last_at,
        traceback=_located(block.text, locate),
    )


def source_frame(traceback: str, model: str | None, sources: SourceMap) -> Frame | None:
    """The frame to show of a traceback: see `Cause.frame`."""
    return _source_frame(chain(traceback, functools.partial(sources.own, model=model)))


def folded(traceback: str) -> str:
    """`Cause.traceback` with each run of framework frames as one line: `  … 6 frames of importlib, ts`."""
    lines: list[str] = []
    hidden: list[str] = []
    is_hidden = False
    for line in traceback.split("\n"):
        match = _FRAME.match(line)
        if match is not None:
            is_hidden = match["file"].startswith(("/", "<"))
            if is_hidden:
                hidden.append(_package(match["file"]))
        elif not line.startswith("    "):
            is_hidden = False
        if is_hidden:
            continue
        if hidden:
            lines.append(_fold(hidden))
            hidden = []
        lines.append(line)
    return "\n".join([*lines, _fold(hidden)] if hidden else lines)


def _fold(packages: list[str]) -> str:
    noun = "frame" if len(packages) == 1 else "frames"
    return f"  … {len(packages)} {noun} of {', '.join(dict.fromkeys(packages))}"


def _package(file: str) -> str:
    match = _INSTALLED.match(file) or _STANDARD.match(file) or _FROZEN.match(file)
    return match["package"] if match is not None else file


def _parts(lines: list[str]) -> Iterator[list[str]]:
    """The links of a chain."""
    part: list[str] = []
    for line in lines:
        if line in CHAIN or line in _HEADS:
            if any(part):
                yield part
            part = []
        if line not in CHAIN:
            part.append(line)
    if any(part):
        yield part


def _raised(part: list[str], locate: Locate) -> Iterator[Raised]:
    first = next((i for i, line in enumerate(part) if _FIRST_OF_GROUP.match(line)), None)
    if first is None:
        yield _plain([line for line in part if line], locate)
        return
    around = _plain([_MARGIN.sub("", line, count=1) for line in part[:first]], locate)
    margin = part[first].index("+") + 2  # the members stand two columns further to the right
    inside: list[str] = []
    for line in part[first + 1 :]:
        if _NEXT_OF_GROUP.match(line) and line.index("+") <= margin:
            break
        inside.append(line[margin + 2 :] if line[margin : margin + 1] == "|" else line)
    for raised in chain("\n".join(inside), locate):
        raised.frames = raised.frames or around.frames
        yield raised


def _plain(lines: list[str], locate: Locate) -> Raised:
    """One link of a chain: frames, then the exception with its message."""
    frames: list[Frame] = []
    raised_lines: list[str] = []
    for line in lines:
        match = None if raised_lines else _FRAME.match(line)
        if match is not None:
            own = locate(match["file"])
            frames.append(
                Frame(
                    file=own or match["file"],
                    line=int(match["line"]),
                    function=match["function"] or "<module>",
                    is_project=own is not None,
                )
            )
        elif raised_lines or (line and not line[0].isspace() and line not in _HEADS):
            raised_lines.append(line)
        elif frames and not frames[-1].code and not _MARKS.match(line):
            frames[-1] = msgspec.structs.replace(frames[-1], code=line.strip())
    match = _EXCEPTION.match(raised_lines[0]) if raised_lines else None
    if match is None:
        return Raised(" ".join(raised_lines), "", frames)
    message = "\n".join([match["message"] or "", *raised_lines[1:]]).rstrip()
    return Raised(match["exception"], message, frames)


def _source_frame(chain_: list[Raised]) -> Frame | None:
    """The innermost frame of the user's own source, searched from the root on; else the root's innermost one."""
    own = (frame for raised in chain_ for frame in reversed(raised.frames) if frame.is_project)
    innermost = (raised.frames[-1] for raised in chain_ if raised.frames)
    return next(own, None) or next(innermost, None)


def _located(text: str, locate: Locate) -> str:
    """`text` with the paths of the user's own files as the user knows them."""
    lines = text.split("\n")
    for i, line in enumerate(lines):
        match = _FRAME.match(_MARGIN.sub("", line, count=1)) if 'File "' in line else None
        own = locate(match["file"]) if match is not None else None
        if match is not None and own is not None:
            lines[i] = line.replace(match["file"], own, 1)
    return "\n".join(lines)
