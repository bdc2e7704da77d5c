"""`nonesuch mix`: a matrix of style mixing, as the papers show it."""

import time
from itertools import chain
from pathlib import Path

import click

from nonesuch import layers
from nonesuch.cli.options import connected, pictured, seeds_option
from nonesuch.cli.output import keep_sheet, say, sheet_option, watched
from nonesuch.client import Client
from nonesuch.images import Picture
from nonesuch.latents import Seeds
from nonesuch.options import RAW, Settings
from nonesuch.sheet import Sheet


@click.command()
@click.argument("name")
@seeds_option("--rows", help="Seeds that some layers are taken of.")
@seeds_option("--columns", help="Seeds that they are put into.")
@click.option(
    "--layers",
    "taken",
    multiple=True,
    metavar="LAYERS",
    show_default="each group of the model",
    help="That are taken: coarse, middle, fine, 4-7, …; again for a further block of rows.",
)
@pictured
@sheet_option("mix.png")
@connected
def mix(  # noqa: PLR0913 (one parameter an option)
    client: Client,
    name: str,
    rows: Seeds,
    columns: Seeds,
    taken: tuple[str, ...],
    settings: Settings,
    out: Path,
) -> None:
    """Draw the style-mixing matrix of model NAME: seeds above, with layers of those on the left.

    \b
    Examples:
      nonesuch mix portraits --rows 5,12 --columns 3,8,21
      nonesuch mix portraits --rows 5 --columns 0-7 --layers coarse --layers 4-6 --out faces.png
    """
    start_s = time.monotonic()
    groups = taken or tuple(layers.groups(client.info(name).ws_resolutions)) or ("all",)
    blocks = [client.mix(name, rows, columns, layers=each, **settings) for each in groups]
    seeds = [client.generate(name, each, **settings, format=RAW) for each in (columns, rows)]
    count = len(columns) + len(rows) + len(groups) * len(rows) * len(columns)
    pictures = list(watched(chain(*seeds, *blocks), count))
    keep_sheet(_sheet(name, pictures, rows, columns, groups), pictures, out)
    say(count, str(out), start_s)


def _sheet(
    name: str, pictures: list[Picture], rows: Seeds, columns: Seeds, groups: tuple[str, ...]
) -> Sheet:
    """The pictures: those of the columns, of the rows, then each block row by row."""
    tiles = iter([picture.array() for picture in pictures])
    top = [next(tiles) for _ in columns]
    left = [next(tiles) for _ in rows]
    mixed = [[source, *(next(tiles) for _ in columns)] for _ in groups for source in left]
    return Sheet(
        title=f"{name}: layers of the seeds on the left in those above",
        rows=[[None, *top], *mixed],
        above=["", *(f"seed {seed}" for seed in columns)],
        beside=["", *(f"{group} of seed {seed}" for group in groups for seed in rows)],
    )
