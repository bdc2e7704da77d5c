"""`nonesuch w`: the w of seeds, to be kept."""

from pathlib import Path

import click

from nonesuch.cli.options import class_option, connected, seeds_option
from nonesuch.client import Client
from nonesuch.codes import Codes
from nonesuch.latents import Seeds


@click.command()
@click.argument("name")
@seeds_option()
@class_option
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default="codes.npz",
    metavar="FILE",
    help="For the codes.",
)
@connected
def w(client: Client, name: str, seeds: Seeds, class_idx: int | None, out: Path) -> None:
    """Write the w of seeds of model NAME, not truncated, to a file of codes.

    `nonesuch generate` and `nonesuch morph` draw them with --codes; numpy reads them as `ws`.

    \b
    Examples:
      nonesuch w portraits --seeds 0-7 --out faces.npz
      nonesuch w animals --seeds 3 --class 7
    """
    card = client.info(name)
    ws = client.map(name, seeds, class_idx=class_idx)
    Codes(ws=ws, model=name, model_hash=card.model_hash).save(out)
    what = "1 code" if len(seeds) == 1 else f"{len(seeds)} codes"
    click.echo(f"{what} in {out}", err=True)
