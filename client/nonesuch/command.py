"""What our command lines share: how an error of the tree ends one."""

import errno
import math
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from nonesuch.errors import InvalidRequest, NonesuchError, OutputError

_DEBUG = "nonesuch.debug"  # key in click's per-invocation `meta`
_ECHO = click.echo.__code__


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
            with _results_written():
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


@contextmanager
def _results_written() -> Iterator[None]:
    """Raise OutputError where standard output takes no more; a reader that left is click's case."""
    try:
        yield
    except OSError as exc:
        echo = [f for f, _ in traceback.walk_tb(exc.__traceback__) if f.f_code is _ECHO]
        if exc.errno == errno.EPIPE or not echo or echo[-1].f_locals["err"]:
            raise
        # What is still buffered would fail once more when the interpreter ends, in its own words.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise OutputError(f"cannot write to standard output: {exc.strerror}") from exc


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


def seconds(text: str) -> float:
    """Read a span of time for `Parsed`; raises InvalidRequest for what is none."""
    try:
        span_s = float(text)
    except ValueError:
        span_s = math.nan
    if not 0 < span_s < math.inf:
        raise InvalidRequest(f"{text} is no span of time, expected seconds above 0")
    return span_s


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
