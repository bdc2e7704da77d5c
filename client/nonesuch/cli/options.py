"""The options that commands share: where the server is, what is drawn, and the settings of it."""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from nonesuch import controls
from nonesuch.client import Client
from nonesuch.codes import Codes
from nonesuch.command import Parsed
from nonesuch.contract import DEFAULT_QUALITY, FORMATS
from nonesuch.controls import Control
from nonesuch.latents import Seeds, parse_seeds
from nonesuch.options import Connection, Settings, Truncation

Command = Callable[..., None]
Decorator = Callable[[Command], Command]
Given = Seeds | Codes

_TO = Connection()


def seeds_option(name: str = "--seeds", *, required: bool = True, help: str = "") -> Decorator:
    """An option that takes a list of seeds."""
    said = f"{help} E.g. 0-7,12.".lstrip()
    return click.option(
        name, type=Parsed(parse_seeds), required=required, metavar="LIST", help=said
    )


class_option: Decorator = click.option(
    "--class", "class_idx", type=int, metavar="K", help="Of a conditional model."
)

truncation_option: Decorator = click.option(
    "--truncation",
    type=Parsed(Truncation.parse),
    metavar="PSI[:CUTOFF]",
    show_default="the model's own",
    help="1 = off, 0 = the average picture; in the first CUTOFF rows of ws only.",
)


url_option: Decorator = click.option(
    "--url",
    default=_TO.url,
    envvar="NONESUCH_URL",
    show_envvar=True,
    metavar="HOST:PORT",
    help="The server's gRPC address.",
)
timeout_option: Decorator = click.option(
    "--timeout-s", default=_TO.timeout_s, metavar="SECONDS", help="For each request."
)


def encoded(default: str) -> Decorator:
    """Give a command the `format_name` and `quality` of its files; default in words."""

    def decorated(command: Command) -> Command:
        format_option = click.option(
            "--format",
            "format_name",
            type=click.Choice(FORMATS),
            show_default=default,
            help="Of the files.",
        )
        quality_option = click.option(
            "--quality",
            type=int,
            metavar="1-100",
            show_default=str(DEFAULT_QUALITY),
            help="Of jpeg and webp.",
        )
        return format_option(quality_option(command))

    return decorated


def connected(command: Command) -> Command:
    """Give a command a `client`, and the options that say where its server is."""

    @url_option
    @timeout_option
    @functools.wraps(command)
    def called(*, url: str, timeout_s: float, **others: Any) -> None:
        with Client(url, timeout_s=timeout_s) as client:
            command(client=client, **others)

    return called


def several(command: Command) -> Command:
    """Give a command the `urls` of its servers, and the `timeout_s` of its requests."""

    url = click.option(
        "--url",
        "urls",
        multiple=True,
        default=(_TO.url,),
        envvar="NONESUCH_URL",
        show_envvar=True,
        metavar="HOST:PORT",
        help="A server's gRPC address; repeatable.",
    )
    return url(timeout_option(command))


def sourced(command: Command) -> Command:
    """Give a command its `source`: the seeds, or the codes of W, that it draws."""

    @seeds_option(required=False)
    @click.option(
        "--codes",
        type=click.Path(path_type=Path, dir_okay=False, exists=True),
        metavar="FILE",
        help="Instead of seeds: codes of W, as `nonesuch w` writes them.",
    )
    @functools.wraps(command)
    def called(*, seeds: Seeds | None, codes: Path | None, **others: Any) -> None:
        if (seeds is None) == (codes is None):
            raise click.UsageError("give either --seeds or --codes, and not both")
        command(source=seeds if codes is None else Codes.load(codes), **others)

    return called


def pictured(command: Command) -> Command:
    """Give a command the `settings` of its pictures, and the options that make them."""

    @truncation_option
    @_worded(controls.SETTINGS)
    @functools.wraps(command)
    def called(*, truncation: Truncation | None, values: Mapping[str, Any], **others: Any) -> None:
        command(settings=controls.settings(values, truncation), **others)

    return called


def mixed(command: Command) -> Command:
    """Add a mix to a command's `settings`; stands beneath `pictured`."""

    @_worded(controls.MIXING)
    @functools.wraps(command)
    def called(*, settings: Settings, values: Mapping[str, Any], **others: Any) -> None:
        settings["mix"] = controls.mix(values)
        command(settings=settings, **others)

    return called


def _worded(those: Sequence[Control]) -> Decorator:
    """Give a command an option for each control, and their `values` by its name."""

    def decorated(command: Command) -> Command:
        @functools.wraps(command)
        def called(**options: Any) -> None:
            values = {each.name: options.pop(f"control_{each.name}") for each in those}
            command(values=values, **options)

        worded: Command = called
        for each in reversed(those):
            worded = _option(each)(worded)
        return worded

    return decorated


def _option(control: Control) -> Decorator:
    names = (f"--{control.name.replace('_', '-')}", f"control_{control.name}")
    if control.flag:
        return click.option(*names, is_flag=True, help=control.about)
    choices = control.schema.get("enum")
    return click.option(
        *names,
        type=click.Choice(choices) if choices else Parsed(control.read),
        default=control.schema.get("default"),
        metavar=control.metavar or None,
        help=control.about,
    )
