"""The archive as `torch-model-archiver` itself makes it, kept from doing harm.

Left alone it deletes `<tmp>/<model name>` and writes over the last archive while it works
(docs/torchserve.md section 3), so it gets directories of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from asteria_tui.archive import stores
from asteria_tui.archive.build import BuiltArchive
from asteria_tui.archive.files import Progress, sha256_of
from asteria_tui.archive.sources import expand, understand_handler
from asteria_tui.config import ModelSettings, Project
from asteria_tui.errors import ArchiveError

POLL_SECONDS = 0.1


def build_official(
    project: Project, name: str, model: ModelSettings, target: Path, progress: Progress | None = None
) -> BuiltArchive:
    """Runs the official tool and puts its archive at `target`, whole or not at all.

    `progress` hears of the copy only, but what it raises ends the tool too.

    Raises:
        ArchiveError: the tool failed, with its last line; `target` is as it was.
    """
    with tempfile.TemporaryDirectory(prefix="asteria-") as directory:
        work, export = Path(directory, "work"), Path(directory, "export")
        work.mkdir()
        export.mkdir()
        _run(command(project, name, model, export), project.root, work, progress)
        made = export / f"{name}.mar"
        before = sha256_of(target) if target.is_file() else None
        sha256 = stores.copy(made, target, progress)
    with zipfile.ZipFile(target) as archive:
        members = len(archive.namelist())
    return BuiltArchive(
        path=target, sha256=sha256, size=target.stat().st_size, members=members, changed=sha256 != before
    )


def command(project: Project, name: str, model: ModelSettings, export: Path) -> list[str]:
    """The command line of the official tool for these settings, to be run in the project's root."""
    handler = understand_handler(model.handler or "", model.runtime)
    # The tool takes `file:function` but not `file.py:function`.
    given = f"{(handler.path or '').rpartition('.')[0]}:{handler.function}" if handler.function else model.handler
    options: dict[str, str | None] = {
        "model-name": name,
        "version": model.version,
        "handler": given,
        "serialized-file": model.serialized_file,
        "model-file": model.model_file,
        "extra-files": ",".join(_extra_files(project, model)),
        "requirements-file": model.requirements_file,
        "config-file": model.config_file,
        "runtime": model.runtime,
        "export-path": str(export),
    }
    # Not `-m`: the package imports that module itself, and Python warns about it.
    program = "from model_archiver.model_packaging import generate_model_archive as run; run()"
    return [sys.executable, "-c", program, *(f"--{option}={value}" for option, value in options.items() if value)]


def _extra_files(project: Project, model: ModelSettings) -> list[str]:
    """`**` is ours: the tool reads it as `*`."""
    given: list[str] = []
    for one in model.extra_files:
        deep = "**" in Path(one).parts
        given += [project.relative(path) for path in expand(project, one)] if deep else [one]
    if comma := next((one for one in given if "," in one), None):
        raise ArchiveError(f"torch-model-archiver cannot take {comma!r}: it splits names at commas")
    return given


def _run(command: list[str], root: Path, work: Path, progress: Progress | None) -> None:
    environment = {**os.environ, "TMPDIR": str(work)}
    with subprocess.Popen(
        command, cwd=root, env=environment, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
    ) as process:  # fmt: skip
        output = None
        try:
            while output is None:
                try:
                    output, _ = process.communicate(timeout=POLL_SECONDS)
                except subprocess.TimeoutExpired:
                    if progress:
                        progress(0, 0)
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        lines = output.strip().splitlines() or [f"exit status {process.returncode}"]
        raise ArchiveError("torch-model-archiver failed", detail=lines[-1])
