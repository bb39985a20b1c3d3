"""The files that every server of ours starts with: config.properties and the log layout.

Each setting answers a trap of docs/torchserve.md sections 0 (all), 1 (tokens), 4 (logs), 8 (snapshots).
"""

from __future__ import annotations

import enum
import html
import json
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Annotated

import msgspec

from asteria_tui.config import ModelSettings, ServerSettings
from asteria_tui.logs.history import RECORDS_FILE
from asteria_tui.logs.parse import CONSOLE_LAYOUT, JSON_LAYOUT
from asteria_tui.process import MARK

TEXT_LOG = "ts_log.log"
"""As TorchServe itself names it."""
LOG_FILE_MIB = 32
"""Six files of a run at most: with them one run stays below the 200 MB of the whole history."""
# A server for one person on one machine: a JVM that starts fast matters more than its peak speed.
JAVA_OPTIONS = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")


Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]


class Ports(msgspec.Struct, frozen=True, kw_only=True):
    """The five ports of one TorchServe; all of them are always bound (docs/torchserve.md section 7, "gRPC")."""

    inference: Port
    management: Port
    metrics: Port
    grpc_inference: Port
    grpc_management: Port

    @classmethod
    def wanted(cls, settings: ServerSettings) -> Ports:
        return cls(**{name: getattr(settings, f"{name}_port") for name in cls.__struct_fields__})

    def items(self) -> dict[str, int]:
        return msgspec.structs.asdict(self)


class ServedModel(msgspec.Struct, frozen=True, kw_only=True):
    """One archive in the store, and how it is to be served."""

    name: str
    version: str
    file: str
    """Its file name in the store."""
    sha256: str
    settings: ModelSettings
    is_dev: bool = False
    """A folder of links with the loader of `dev` in it."""

    @property
    def load_parameters(self) -> dict[str, int]:
        """By the names of the `models` property, which describe uses too."""
        settings = self.settings
        return {
            "minWorkers": settings.workers,
            "maxWorkers": settings.workers,
            "batchSize": settings.batch_size,
            "maxBatchDelay": settings.max_batch_delay,
            "responseTimeout": settings.response_timeout,
            "startupTimeout": settings.startup_timeout,
        }

    @property
    def register_parameters(self) -> dict[str, int]:
        """The same by the names of the register API, whose default is no worker at all.

        Seen: docs/torchserve.md section 0 item 10.
        """
        settings = self.settings
        return {
            "initial_workers": settings.workers,
            "batch_size": settings.batch_size,
            "max_batch_delay": settings.max_batch_delay,
            "response_timeout": settings.response_timeout,
            "startup_timeout": settings.startup_timeout,
        }


def properties(
    settings: ServerSettings, ports: Ports, models: Sequence[ServedModel], *, store: PurePath | str, bind: str
) -> str:
    """The text of config.properties; `bind` is `127.0.0.1`, or `0.0.0.0` inside a container."""
    loads = {
        model.name: {
            model.version: {"defaultVersion": True, "marName": model.file, **model.load_parameters},
        }
        for model in models
    }
    values: dict[str, object] = {
        "inference_address": f"http://{bind}:{ports.inference}",
        "management_address": f"http://{bind}:{ports.management}",
        "metrics_address": f"http://{bind}:{ports.metrics}",
        "grpc_inference_address": bind,
        "grpc_management_address": bind,
        "grpc_inference_port": ports.grpc_inference,
        "grpc_management_port": ports.grpc_management,
        "model_store": store,
        "load_models": ",".join(f"{model.name}={model.file}" for model in models),
        "models": json.dumps(loads),
        # Registering is how a changed archive gets in; only archives of the store can be.
        "enable_model_api": "true",
        "allowed_urls": "^$",
        "token_expiration_min": settings.token_expiration_minutes,
        "disable_token_authorization": "false",
        "enable_envvars_config": "false",
        # In log mode each metric is a log record that names its request; Prometheus mode logs none
        # (docs/torchserve.md section 5).
        "metrics_mode": "log",
        **settings.properties,
    }
    return "".join(f"{key}={_escaped(value)}\n" for key, value in values.items() if value != "")


def _escaped(value: object) -> str:
    """As java.util.Properties reads a Latin-1 stream: a backslash escapes, other characters are UTF-16 units."""
    units = str(value).encode("utf-16-be")
    codes = (int.from_bytes(units[i : i + 2]) for i in range(0, len(units), 2))
    first_printable, last_ascii = 0x20, 0x7E
    return "".join(
        "\\\\" if code == ord("\\") else chr(code) if first_printable <= code <= last_ascii else f"\\u{code:04x}"
        for code in codes
    )


class LogDestination(enum.Enum):
    """Where what the server logs leaves it."""

    FILES = enum.auto()
    """The records, and the stock pattern beside them: a console in a file would grow without end."""
    FILE_AND_CONSOLE = enum.auto()
    """The records in a file, the stock pattern on the console of a container, which its engine keeps and bounds."""
    CONSOLE = enum.auto()
    """The records on the console: nothing that the container writes can be read from outside."""


def log_layout(logs: PurePath | str, out: LogDestination) -> str:
    """A log4j2 configuration: each record once as JSON, and the stock pattern for people.

    The stock layout writes each `org.pytorch.serve` record twice (docs/torchserve.md section 4).
    """
    pattern = f'<PatternLayout pattern="{html.escape(CONSOLE_LAYOUT)}"/>'
    json_layout = f'<PatternLayout alwaysWriteExceptions="false" charset="UTF-8" pattern="{html.escape(JSON_LAYOUT)}"/>'
    records = _rolling("records", f"{logs}/{RECORDS_FILE}", json_layout, kept=3)
    appenders = {
        LogDestination.FILES: {"text": _rolling("text", f"{logs}/{TEXT_LOG}", pattern, kept=1), "records": records},
        LogDestination.FILE_AND_CONSOLE: {"text": _console("text", pattern), "records": records},
        LogDestination.CONSOLE: {"records": _console("records", json_layout)},
    }[out]
    listed = "\n    ".join(appenders.values())
    references = "\n      ".join(f'<AppenderRef ref="{name}"/>' for name in appenders)
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<Configuration status="error">
  <Appenders>
    {listed}
  </Appenders>
  <Loggers>
    <Logger name="io.netty" level="error"/>
    <Logger name="org.apache" level="off"/>
    <Logger name="org.pytorch.serve" level="debug"/>
    <Logger name="MODEL_LOG" level="all"/>
    <Root level="info">
      {references}
    </Root>
  </Loggers>
</Configuration>
"""


def _console(name: str, layout: str) -> str:
    return f'<Console name="{name}" target="SYSTEM_OUT">{layout}</Console>'


def _rolling(name: str, file: str, layout: str, kept: int) -> str:
    """An appender whose newest older part is `.1`."""
    path = html.escape(file)
    return f"""<RollingFile name="{name}" fileName="{path}" filePattern="{path}.%i">
      {layout}
      <Policies><SizeBasedTriggeringPolicy size="{LOG_FILE_MIB} MB"/></Policies>
      <DefaultRolloverStrategy max="{kept}" fileIndex="min"/>
    </RollingFile>"""


def java_command(
    java: PurePath | str,
    site_packages: PurePath | str,
    python: PurePath | str,
    *,
    directory: PurePath,
    temporary: PurePath | str,
    store: PurePath | str,
    options: Sequence[str] = (),
) -> list[str]:
    """The command line of the Java process, without the `torchserve` wrapper (docs/docker.md section 1).

    The wrapper hides Java's exit status and leaves Java behind when it is ended (docs/torchserve.md sections 0, 8).
    """
    return [
        str(java),
        *options,
        f"-Dmodel_server_home={site_packages}",
        f"-Djava.io.tmpdir={temporary}",
        f"-Dlog4j.configurationFile={directory / LOG_LAYOUT_FILE}",
        "-cp",
        f"{site_packages}/ts/frontend/*",
        MAIN_CLASS,
        "--python",
        str(python),
        "-f",
        str(directory / PROPERTIES_FILE),
        "-s",
        str(store),
        "-ncs",
    ]


MAIN_CLASS = "org.pytorch.serve.ModelServer"
PROPERTIES_FILE = "config.properties"
LOG_LAYOUT_FILE = "log4j2.xml"
KEY_FILE = "key_file.json"


def environment(
    inherited: Mapping[str, str], *, temporary: PurePath | str, logs: PurePath | str, mark: str
) -> dict[str, str]:
    """What the server and its workers see.

    TS_CONFIG_FILE would beat our config (docs/torchserve.md section 8); stale bytecode would serve old code
    (docs/performance.md section E).
    """
    kept = {name: value for name, value in inherited.items() if not name.startswith("TS_")}
    return kept | {
        "TMPDIR": str(temporary),
        "TEMP": str(temporary),
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "LOG_LOCATION": str(logs),
        "METRICS_LOCATION": str(logs),
        MARK: mark,
    }
