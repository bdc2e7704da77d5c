"""The options that commands share: where the server is, what is drawn, and the settings of it."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from nonesuch.client import Client
from nonesuch.codes import Codes
from nonesuch.command import Parsed
from nonesuch.latents import Seeds, parse_seeds
from nonesuch.options import (
    Connection,
    Mix,
    Noise,
    NoiseMode,
    Settings,
    Transform,
    Truncation,
    parse_directions,
    parse_translate,
)

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


def connected(command: Command) -> Command:
    """Give a command a `client`, and the options that say where its server is."""

    @click.option(
        "--url",
        default=_TO.url,
        envvar="NONESUCH_URL",
        show_envvar=True,
        metavar="HOST:PORT",
        help="The server's gRPC address.",
    )
    @click.option("--timeout-s", default=_TO.timeout_s, metavar="SECONDS", help="For each request.")
    @functools.wraps(command)
    def called(*, url: str, timeout_s: float, **others: Any) -> None:
        with Client(url, timeout_s=timeout_s) as client:
            command(client=client, **others)

    return called


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
    @click.option(
        "--modes",
        is_flag=True,
        help="Truncate towards the nearest of the model's centres, which keeps variety.",
    )
    @class_option
    @click.option(
        "--noise", type=click.Choice(["const", "none"]), default="const", help="As stored, or none."
    )
    @click.option("--noise-seed", type=int, metavar="N", help="Other noise than the stored.")
    @click.option(
        "--noise-layers",
        default="all",
        metavar="LAYERS",
        help="That get noise: coarse, middle, fine, 4-7, …",
    )
    @click.option(
        "--directions",
        type=Parsed(parse_directions),
        metavar="NAME=WEIGHT,…",
        help="The model's dials, e.g. smile=1.5,age=-1 (`nonesuch info NAME` lists them).",
    )
    @click.option(
        "--translate",
        type=Parsed(parse_translate),
        metavar="X,Y",
        help="Move the picture, 1 = its width and height (StyleGAN3).",
    )
    @click.option("--rotate", type=float, metavar="DEGREES", help="Turn the picture (StyleGAN3).")
    @functools.wraps(command)
    def called(  # noqa: PLR0913 (one parameter an option)
        *,
        truncation: Truncation | None,
        modes: bool,
        class_idx: int | None,
        noise: NoiseMode,
        noise_seed: int | None,
        noise_layers: str,
        directions: Mapping[str, float] | None,
        translate: tuple[float, float] | None,
        rotate: float | None,
        **others: Any,
    ) -> None:
        settings = Settings(
            truncation=_truncation(truncation, modes),
            noise=_noise(noise, noise_seed, noise_layers),
            directions=directions,
            class_idx=class_idx,
            transform=_transform(translate, rotate),
        )
        command(settings=settings, **others)

    return called


def mixed(command: Command) -> Command:
    """Add a mix to a command's `settings`; stands beneath `pictured`."""

    @click.option("--mix-seed", type=int, metavar="N", help="Take the styles of this seed …")
    @click.option("--mix-layers", metavar="LAYERS", help="… in these layers: coarse, 4-7, …")
    @click.option("--crossover", type=int, metavar="ROW", help="… or from this row of ws on.")
    @functools.wraps(command)
    def called(
        *,
        settings: Settings,
        mix_seed: int | None,
        mix_layers: str | None,
        crossover: int | None,
        **others: Any,
    ) -> None:
        settings["mix"] = _mix(mix_seed, mix_layers, crossover)
        command(settings=settings, **others)

    return called


def _truncation(truncation: Truncation | None, modes: bool) -> Truncation | None:
    if not modes:
        return truncation
    if truncation is None:
        raise click.UsageError("--modes goes with --truncation")
    return replace(truncation, modes=True)


def _noise(mode: NoiseMode, seed: int | None, layers: str) -> Noise:
    random = mode == "const" and seed is not None
    return Noise(mode="random" if random else mode, seed=seed, layers=layers)


def _transform(translate: tuple[float, float] | None, rotate: float | None) -> Transform | None:
    if translate is None and rotate is None:
        return None
    return Transform(translate=translate or (0.0, 0.0), rotate=rotate or 0.0)


def _mix(seed: int | None, layers: str | None, crossover: int | None) -> Mix | None:
    given = sum(option is not None for option in (layers, crossover))
    if given != (seed is not None):
        raise click.UsageError("--mix-seed goes with one of --mix-layers and --crossover")
    return None if seed is None else Mix(seed=seed, layers=layers, crossover=crossover)
