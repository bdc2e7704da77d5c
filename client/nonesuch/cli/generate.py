"""`nonesuch generate`: a file for each seed, or for each code of W."""

import json
import time
from pathlib import Path

import click

from nonesuch.cli.options import Given, connected, encoded, mixed, pictured, sourced
from nonesuch.cli.output import picture_path, say, watched
from nonesuch.client import Client, Pictures
from nonesuch.codes import Codes
from nonesuch.command import Parsed
from nonesuch.files import save
from nonesuch.images import Picture, check_channels, default_format, encode, format_of, grid
from nonesuch.options import Format, FormatName, Settings


@click.command()
@click.argument("name")
@sourced
@pictured
@mixed
@encoded("jpeg, or png for pictures with alpha")
@click.option(
    "--out", type=click.Path(path_type=Path), default="out", metavar="DIR", help="For the files."
)
@click.option(
    "--grid",
    "grid_file",
    type=Parsed(picture_path),
    metavar="FILE",
    help="Lay all out in one picture too.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per picture.")
@connected
def generate(  # noqa: PLR0913 (one parameter an option)
    client: Client,
    name: str,
    source: Given,
    settings: Settings,
    format_name: FormatName | None,
    quality: int | None,
    out: Path,
    grid_file: Path | None,
    as_json: bool,
) -> None:
    """Generate one picture of model NAME for each seed, as DIR/seed00000042.jpg.

    For codes of W, which `nonesuch w` writes, they are DIR/code00000000.jpg and so on.

    \b
    Examples:
      nonesuch generate portraits --seeds 0-15 --truncation 0.7 --grid grid.png
      nonesuch generate portraits --seeds 3,85 --format png --json | jq .path
      nonesuch generate portraits --codes faces.npz --directions smile=1.5
    """
    start_s = time.monotonic()
    tiles: list[Picture] = []
    wanted = format_name or default_format(client.info(name).channels)
    pictures = _asked(client, name, source, settings, Format(name=wanted, quality=quality))
    if grid_file is not None:  # refused before the work, not after
        check_channels(client.info(name).channels, format_of(grid_file))
    for number, picture in enumerate(watched(pictures, len(source))):
        _keep(picture, number, out, as_json)
        if grid_file is not None:
            tiles.append(picture)
    if grid_file is not None:
        sheet = grid([tile.array() for tile in tiles])
        save(grid_file, encode(sheet, format_of(grid_file), [tile.recipe for tile in tiles]))
    where = f"{out}" if grid_file is None else f"{out}, grid {grid_file}"
    say(len(source), where, start_s)


def _asked(
    client: Client, name: str, source: Given, settings: Settings, wanted: Format
) -> Pictures:
    if not isinstance(source, Codes):
        return client.generate(name, source, **settings, format=wanted)
    source.check(client.info(name))
    samples = source.samples(**settings)
    return client.generate_each(name, samples, format=wanted)


def _keep(picture: Picture, number: int, out: Path, as_json: bool) -> None:
    of_code = picture.seed is None
    stem = f"code{number:08d}" if of_code else f"seed{picture.seed:08d}"
    path = out / f"{stem}{picture.suffix}"
    save(path, picture.encoded or b"")
    if as_json:
        of = {"code": number} if of_code else {"seed": picture.seed}
        result = {**of, "path": str(path), "recipe": picture.recipe}
        click.echo(json.dumps(result, ensure_ascii=False))
