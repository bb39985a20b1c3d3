"""What every command takes: `-C/--project`, `--target`, `--json`, `-q`, `-v`, in one place."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from asteria_tui.config import Archiver, TargetName

ModelName = Annotated[str | None, typer.Option("--model", "-m", help="One model of the project instead of all.")]
ArchiverName = Annotated[Archiver, typer.Option(help="own, or official: the tool torch-model-archiver.")]


class Options(NamedTuple):
    project: Path = Path()
    target: TargetName | None = None
    json: bool = False
    quiet: bool = False
    verbose: bool = False

    @property
    def overrides(self) -> dict[str, Any]:
        """The flags that are settings too."""
        return {"server.target": self.target}


_COMMON: dict[str, tuple[Any, Any]] = {
    "project": (
        Annotated[
            Path,
            typer.Option("-C", "--project", help="The project folder.", envvar="ASTERIA_PROJECT", file_okay=False),
        ],
        Path(),
    ),
    "target": (Annotated[TargetName | None, typer.Option(help="Where TorchServe runs.")], None),
    "json": (Annotated[bool, typer.Option("--json", help="One JSON object a line.")], False),
    "quiet": (Annotated[bool, typer.Option("-q", "--quiet", help="Results and errors only.")], False),
    "verbose": (Annotated[bool, typer.Option("-v", "--verbose", help="The real commands too.")], False),
}


def with_options(command: Callable[..., int]) -> Callable[..., None]:
    """A command whose first parameter is an Options gets the common flags, and its result is the exit status."""
    signature = inspect.signature(command, eval_str=True)
    own = list(signature.parameters.values())[1:]
    common = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, (annotation, default) in _COMMON.items()
    ]

    def wrapper(**given: Any) -> None:
        options = Options(**{name: given.pop(name) for name in _COMMON})
        raise typer.Exit(command(options, **given))

    parameters = [*(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own), *common]
    # What typer reads of a command: its name, its text and its parameters.
    wrapper.__name__, wrapper.__doc__ = command.__name__, command.__doc__
    wrapper.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    vars(wrapper)["__signature__"] = inspect.Signature(parameters)
    return wrapper
