"""The command line as Click knows it: commands that are imported when they are called, and the flags that all take."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click
import msgspec
from click.core import ParameterSource

from asteria_tui.cli.commands import COMMANDS
from asteria_tui.cli.options import Options, default_project
from asteria_tui.config import Archiver, TargetName, is_possible
from asteria_tui.errors import ExitCode

if TYPE_CHECKING:
    from asteria_tui.operations.base import Operation


class PossiblePath(click.Path):
    """A path that the system could have."""

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        if not is_possible(Path(value)):
            self.fail("no file can have such a name", parameter, context)
        return super().convert(value, parameter, context)


PATH = PossiblePath(path_type=Path)


def _keep(context: click.Context, parameter: click.Parameter, value: object) -> None:
    """The flags may stand before a command, between it and its verb, and behind it; the last one counts."""
    kept, name = context.ensure_object(dict), str(parameter.name)
    if name not in kept or context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
        kept[name] = value


def _common(*names: str, **settings: Any) -> click.Option:
    return click.Option(names, callback=_keep, expose_value=False, **settings)


COMMON: Sequence[click.Parameter] = (
    _common(
        "-C",
        "--project",
        type=PossiblePath(path_type=Path, file_okay=False),
        default=default_project,
        show_default="$ASTERIA_PROJECT or .",
        help="The project folder.",
    ),
    _common("--target", type=click.Choice(get_args(TargetName)), help="Where TorchServe runs."),
    _common("--json", is_flag=True, help="One JSON object a line."),
    _common("-q", "--quiet", is_flag=True, help="Results and errors only."),
    _common("-v", "--verbose", is_flag=True, help="The real commands too."),
)


def _teach_shell(context: click.Context, _parameter: click.Parameter, is_asked: bool) -> None:
    if is_asked:
        from asteria_tui.cli.completion import install

        click.echo(f"{install(context.command)} has it from the next start of your shell on")
        context.exit()


class Command(click.Command):
    """A function from Options, and what it takes itself, to an exit status."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.params = [*self.params, *COMMON]

    def invoke(self, context: click.Context) -> Any:
        return self.callback(Options(**context.obj), **context.params) if self.callback else ExitCode.DONE


class Verbs(click.Group):
    """Commands behind a command, such as `models list`; without a verb its default, or its help."""

    def __init__(self, verbs: dict[str, click.Command], default: str = "") -> None:
        alone = click.pass_context(self._alone)
        super().__init__(commands=verbs, invoke_without_command=True, callback=alone, params=[*COMMON])
        self.default = default

    def list_commands(self, _context: click.Context) -> list[str]:
        return list(self.commands)

    def _alone(self, context: click.Context) -> Any:
        if context.invoked_subcommand:
            return None
        if self.default:
            return self.commands[self.default].invoke(context)
        click.echo(context.get_help())
        return ExitCode.USAGE


class Program(click.Group):
    """All commands, and without one the screen."""

    def __init__(self, open_screen: Callable[[Options, bool], int]) -> None:
        super().__init__(
            invoke_without_command=True,
            callback=click.pass_context(self._alone),
            params=[
                *COMMON,
                click.Option(("--up",), is_flag=True),
                click.Option(
                    ("--install-completion",), is_flag=True, is_eager=True, expose_value=False, callback=_teach_shell
                ),
            ],
            context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
        )
        self.open_screen = open_screen

    def list_commands(self, _context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        known = COMMANDS.get(name)
        if known is None:
            return None
        module, _, operation = known.module.partition(":")
        found: click.Command
        if operation:
            found = command_of(getattr(importlib.import_module(f"asteria_tui.{module}"), operation), name)
        else:
            commands = importlib.import_module(f"asteria_tui.cli.{module}")
            found = Verbs(commands.VERBS, known.default) if known.is_group else getattr(commands, name)
        found.help = known.summary
        return found

    def get_help(self, _context: click.Context) -> str:
        from asteria_tui.cli.main import help_page

        return help_page()

    def _alone(self, context: click.Context, up: bool) -> int | None:
        if context.invoked_subcommand is None:
            return self.open_screen(Options(**context.obj), up)
        if up:
            raise click.UsageError("--up goes with the screen; the command is `asteria-tui up`", context)
        return None


def command_of(operation: type[Operation], name: str) -> click.Command:
    """An operation as a command: each field is a flag, or an argument where it has no default."""

    def call(options: Options, **given: Any) -> int:
        from asteria_tui.cli.run import run

        return run(options, operation(**given))

    params = [_parameter(field) for field in msgspec.structs.fields(operation)]
    return Command(name, callback=call, params=params)


def _parameter(field: msgspec.structs.FieldInfo) -> click.Parameter:
    """Described by `Annotated[int, msgspec.Meta(description="…")]`."""
    from msgspec import inspect

    types: dict[type[inspect.Type], Callable[[Any], click.ParamType[Any]]] = {
        inspect.BoolType: lambda _: click.BOOL,
        inspect.IntType: lambda _: click.INT,
        inspect.FloatType: lambda _: click.FLOAT,
        inspect.LiteralType: lambda kind: click.Choice(kind.values),
        inspect.CustomType: lambda _: PATH,
    }
    kind: inspect.Type = inspect.type_info(field.type)
    description = ""
    if isinstance(kind, inspect.Metadata):
        description = (kind.extra_json_schema or {}).get("description", "")
        kind = kind.type
    kinds = kind.types if isinstance(kind, inspect.UnionType) else (kind,)
    plain = next((types[type(one)](one) for one in kinds if type(one) in types), click.STRING)
    if field.required:
        return click.Argument((field.name,), type=plain, help=description)
    flag = f"--{field.name.replace('_', '-')}"
    return click.Option((flag,), type=plain, is_flag=plain is click.BOOL, default=field.default, help=description)


def command(function: Callable[..., int]) -> click.Command:
    return click.command(cls=Command)(function)


model_option = click.option("--model", "-m", help="One model of the project instead of all.")
archiver_option = click.option(
    "--archiver",
    type=click.Choice(get_args(Archiver)),
    default="own",
    help="own, or official: the tool torch-model-archiver.",
)
