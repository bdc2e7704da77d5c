"""The command `nonesuch`: ask a server for pictures, from a shell."""

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

import click

from nonesuch import __version__
from nonesuch.card import Card, Direction
from nonesuch.client import Client, Pictures
from nonesuch.command import CommandGroup, Parsed
from nonesuch.contract import DEFAULT_QUALITY, FORMATS
from nonesuch.images import Picture, check_channels, encode, format_of, grid, save
from nonesuch.latents import Seeds, parse_seeds
from nonesuch.options import (
    Connection,
    Format,
    FormatName,
    Mix,
    Noise,
    NoiseMode,
    Transform,
    Truncation,
    parse_directions,
    parse_translate,
)

Command = TypeVar("Command", bound=Callable[..., None])

_TO = Connection()


@click.group(cls=CommandGroup)
@click.version_option(__version__, prog_name="nonesuch")
def main() -> None:
    """Pictures of things that do not exist, from a nonesuch server.

    Exit status: 0 done, 1 failed or no such model, 2 used wrongly, 3 the server cannot be reached
    or was too slow.
    """


def connected(command: Command) -> Command:
    """Add the options that say where the server is and how long it may take."""
    url = click.option(
        "--url",
        default=_TO.url,
        envvar="NONESUCH_URL",
        show_envvar=True,
        metavar="HOST:PORT",
        help="The server's gRPC address.",
    )
    timeout_s = click.option(
        "--timeout-s", default=_TO.timeout_s, metavar="SECONDS", help="For each request."
    )
    return url(timeout_s(command))


def grid_path(text: str) -> Path:
    """Read the name of a grid's file, so that an unknown format is refused before the work."""
    format_of(Path(text))
    return Path(text)


@main.command()
@click.argument("name")
@click.option(
    "--seeds", type=Parsed(parse_seeds), required=True, metavar="LIST", help="E.g. 0-7,12."
)
@click.option(
    "--truncation",
    type=Parsed(Truncation.parse),
    metavar="PSI[:CUTOFF]",
    show_default="the model's own",
    help="1 = off, 0 = the average picture; in the first CUTOFF rows of ws only.",
)
@click.option("--class", "class_idx", type=int, metavar="K", help="Of a conditional model.")
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
@click.option("--mix-seed", type=int, metavar="N", help="Take the styles of this seed …")
@click.option("--mix-layers", metavar="LAYERS", help="… in these layers: coarse, 4-7, …")
@click.option("--crossover", type=int, metavar="ROW", help="… or from this row of ws on.")
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
@click.option(
    "--format", "format_name", type=click.Choice(FORMATS), default="jpeg", help="Of the files."
)
@click.option(
    "--quality",
    type=int,
    metavar="1-100",
    show_default=str(DEFAULT_QUALITY),
    help="Of jpeg and webp.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), default="out", metavar="DIR", help="For the files."
)
@click.option(
    "--grid",
    "grid_file",
    type=Parsed(grid_path),
    metavar="FILE",
    help="Lay all out in one picture too.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per picture.")
@connected
def generate(  # noqa: PLR0913 (one parameter an option)
    name: str,
    seeds: Seeds,
    truncation: Truncation | None,
    class_idx: int | None,
    noise: NoiseMode,
    noise_seed: int | None,
    noise_layers: str,
    mix_seed: int | None,
    mix_layers: str | None,
    crossover: int | None,
    directions: Mapping[str, float] | None,
    translate: tuple[float, float] | None,
    rotate: float | None,
    format_name: FormatName,
    quality: int | None,
    out: Path,
    grid_file: Path | None,
    as_json: bool,
    url: str,
    timeout_s: float,
) -> None:
    """Generate one picture of model NAME for each seed, as DIR/seed00000042.jpg.

    \b
    Examples:
      nonesuch generate portraits --seeds 0-15 --truncation 0.7 --grid grid.png
      nonesuch generate portraits --seeds 3,85 --format png --json | jq .path
    """
    start_s = time.monotonic()
    tiles: list[Picture] = []
    with Client(url, timeout_s=timeout_s) as client:
        pictures = client.generate(
            name,
            seeds,
            truncation=truncation,
            mix=_mix(mix_seed, mix_layers, crossover),
            noise=_noise(noise, noise_seed, noise_layers),
            directions=directions,
            class_idx=class_idx,
            transform=_transform(translate, rotate),
            format=Format(name=format_name, quality=quality),
        )
        if grid_file is not None:  # refused before the work, not after
            check_channels(client.info(name).channels, format_of(grid_file))
        for picture in _watched(pictures):
            _keep(picture, out, as_json)
            if grid_file is not None:
                tiles.append(picture)
    rate_hz = len(pictures) / (time.monotonic() - start_s)
    if grid_file is not None:
        sheet = grid([tile.array() for tile in tiles])
        save(grid_file, encode(sheet, format_of(grid_file), [tile.recipe for tile in tiles]))
    where = f"{out}" if grid_file is None else f"{out}, grid {grid_file}"
    count = "1 picture" if len(pictures) == 1 else f"{len(pictures)} pictures"
    click.echo(f"{count} in {where}, {rate_hz:.1f} images per second", err=True)


def _mix(seed: int | None, layers: str | None, crossover: int | None) -> Mix | None:
    given = sum(option is not None for option in (layers, crossover))
    if given != (seed is not None):
        raise click.UsageError("--mix-seed goes with one of --mix-layers and --crossover")
    return None if seed is None else Mix(seed=seed, layers=layers, crossover=crossover)


def _noise(mode: NoiseMode, seed: int | None, layers: str) -> Noise:
    random = mode == "const" and seed is not None
    return Noise(mode="random" if random else mode, seed=seed, layers=layers)


def _transform(translate: tuple[float, float] | None, rotate: float | None) -> Transform | None:
    if translate is None and rotate is None:
        return None
    return Transform(translate=translate or (0.0, 0.0), rotate=rotate or 0.0)


def _watched(pictures: Pictures) -> Iterator[Picture]:
    if not sys.stderr.isatty():
        yield from pictures
        return
    with click.progressbar(pictures, file=sys.stderr, show_pos=True) as bar:
        yield from bar


def _keep(picture: Picture, out: Path, as_json: bool) -> None:
    path = out / f"seed{picture.seed:08d}{picture.suffix}"
    save(path, picture.encoded or b"")
    if as_json:
        result = {"seed": picture.seed, "path": str(path), "recipe": picture.recipe}
        click.echo(json.dumps(result, ensure_ascii=False))


@main.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per model.")
@connected
def info(name: str | None, as_json: bool, url: str, timeout_s: float) -> None:
    """Show the card of model NAME, or list the models that the server has.

    \b
    Examples:
      nonesuch info
      nonesuch info portraits --json | jq .num_ws
    """
    with Client(url, timeout_s=timeout_s) as client:
        cards = [client.info(one) for one in ([name] if name else client.models())]
    for card in cards:
        click.echo(card.to_json() if as_json else _full(card) if name else _brief(card))
    if not cards:
        click.echo(f"{url} has no model that is ready", err=True)


def _brief(card: Card) -> str:
    classes = f", {card.c_dim} classes" if card.c_dim else ""
    return f"{card.name}: {card.family}, {card.width}x{card.height}{classes}"


def _full(card: Card) -> str:
    values = asdict(card) | {"directions": tuple(map(_way, card.directions))}
    return "\n".join(f"{key:18} {_said(value)}" for key, value in values.items())


def _way(direction: Direction) -> str:
    return f"{direction.name} ({direction.first}-{direction.last})"


def _said(value: object) -> str:
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return "-" if value is None else str(value)


if __name__ == "__main__":
    main()
