"""Which processes are the server of a folder: by command line, working folder and mark, whatever its record says."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import psutil

from asteria_tui.config import FILE_NAME
from asteria_tui.process import MARK, ProcessId, mark_of, marked
from asteria_tui.targets.server_config import MAIN_CLASS, PROPERTIES_FILE


def is_server(process: ProcessId, directory: Path, mark: str) -> bool:
    """Whether a process that a record names lives and is the server of that folder."""
    found = process.find()
    return found is not None and _serves(found, directory, mark)


def find_server(directory: Path, mark: str) -> ProcessId | None:
    """The oldest one; it looks at every process of this user, which takes milliseconds: not for a regular poll."""
    return next(iter(find_servers(directory, mark)), None)


def find_servers(directory: Path, mark: str) -> list[ProcessId]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.uids().real == os.getuid() and _serves(process, directory, mark):
                found.append(ProcessId.of(process.pid))
        except psutil.Error:
            continue
    return sorted(found, key=lambda one: one.started_at)


class Trace(NamedTuple):
    """By what the rest of a server is found when the server itself is gone."""

    mark: str
    temporary: str


def trace_of(server: ProcessId) -> Trace:
    process = server.find()
    try:
        variables = process.environ() if process is not None else {}
    except psutil.Error:
        variables = {}
    return Trace(variables.get(MARK, ""), variables.get("TEMP", ""))


def leftovers(directory: Path, mark: str) -> list[ProcessId]:
    """Whoever has the mark of a server of that folder, such as what a handler started in a session of its own.

    None where the mark is that of another folder's server: then the record was copied with its folder.
    """
    found = marked(mark)
    for one in found:
        process = one.find()
        if process is not None and _config_of(process) and not _serves(process, directory, mark):
            return []
    return found


def _serves(process: psutil.Process, directory: Path, mark: str) -> bool:
    """TorchServe with our configuration, in our folder; of a folder that was moved only the mark tells that."""
    config = _config_of(process)
    if not config:
        return False
    try:
        # It follows a folder that is moved, and keeps the name of one that is removed.
        folder = Path(process.cwd())
    except psutil.Error:
        return False
    has_our_name = config == str(directory.resolve() / PROPERTIES_FILE)
    if folder == directory.resolve():
        return has_our_name or (mark != "" and mark_of(process) == mark)
    # A project that was moved took its server along; a state folder that was moved away, into a bin, did not.
    return has_our_name and not (folder.parent.parent / FILE_NAME).exists()


def _config_of(process: psutil.Process) -> str:
    """The configuration that a TorchServe was started with; empty where it is none."""
    try:
        arguments = process.cmdline()
    except psutil.Error:
        return ""
    if MAIN_CLASS not in arguments or "-f" not in arguments[:-1]:
        return ""
    return arguments[arguments.index("-f") + 1]
