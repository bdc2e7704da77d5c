"""What our command lines share: how an error of the tree ends one."""

import traceback
from collections.abc import Callable
from typing import Any

import click

from nonesuch.errors import InvalidRequest, NonesuchError

_DEBUG = "nonesuch.debug"  # key in click's per-invocation `meta`


class CommandGroup(click.Group):
    """A click group whose commands end in `Error: …` and the error's own exit status.

    Every command of the group takes `--debug`, which shows the traceback as well. Errors outside
    the tree of `errors.py` are faults of ours and keep their traceback.
    """

    group_class = type

    def __init__(self, *args: Any, extra: str = "", **attrs: Any) -> None:
        """As click's; `extra` is what to install where a command's imports are missing."""
        super().__init__(*args, **attrs)
        self._extra = extra

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Register a command and give it `--debug`."""
        if not isinstance(cmd, click.Group):
            cmd.params.append(_debug_option())
        cmd.context_settings.setdefault("show_default", True)
        super().add_command(cmd, name)

    def invoke(self, ctx: click.Context) -> object:
        """Run the chosen command; an error of the tree becomes one line and an exit status."""
        try:
            return super().invoke(ctx)
        except NonesuchError as exc:
            if ctx.meta.get(_DEBUG):
                traceback.print_exception(exc)
            else:
                click.echo(f"Error: {exc}", err=True)
            ctx.exit(exc.exit_status)
        except ModuleNotFoundError as exc:
            if not self._extra or (exc.name or "").startswith("nonesuch"):
                raise
            click.echo(
                f"Error: {exc.name} is not installed; pip install 'nonesuch[{self._extra}]'",
                err=True,
            )
            ctx.exit(1)


class Parsed(click.ParamType):  # type: ignore[type-arg]  # generic in new versions of click only
    """An option's value as `parse` reads it; what it refuses is a wrong use, in its own words."""

    name = "text"

    def __init__(self, parse: Callable[[str], Any]) -> None:
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read the option's text; a default that was read before passes through."""
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except InvalidRequest as exc:
            self.fail(str(exc), param, ctx)


def _debug_option() -> click.Option:
    return click.Option(
        ["--debug"],
        is_flag=True,
        expose_value=False,
        callback=_remember_debug,
        show_default=False,
        help="Show the traceback of an error.",
    )


def _remember_debug(ctx: click.Context, _param: click.Parameter, wanted: bool) -> None:
    if wanted:
        ctx.meta[_DEBUG] = True
