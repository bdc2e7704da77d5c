"""`nonesuch-export directions`: find named directions of a model, and look at those of a file."""

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nonesuch.command import CommandGroup, Parsed
from nonesuch.errors import InvalidRequest
from nonesuch.latents import Seeds, parse_seeds

if TYPE_CHECKING:  # torch is imported where a command needs it
    from nonesuch_export.directions import Directions
    from nonesuch_export.labels import Labels
    from nonesuch_export.network import Generator
    from nonesuch_export.population import Conditions

_FILE = click.argument("file", type=click.Path(path_type=Path))
_OUT = click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default="directions.safetensors",
    help="File to write.",
)
_DRAWN = "0-1999"  # seeds for a function, unless told otherwise


@click.group(cls=CommandGroup)
def directions() -> None:
    """Find named directions in W, which `build --directions` serves as dials.

    \b
    Examples:
      nonesuch-export directions sefa ffhq.pkl --layers middle --out sefa.safetensors
      nonesuch-export directions show sefa.safetensors
    """


@directions.command()
@_FILE
@_OUT
@click.option(
    "--layers",
    default="all",
    metavar="LAYERS",
    help="Rows of ws to look at and to move: all, coarse, middle, fine, or numbers as in 4-7.",
)
@click.option("--count", type=click.IntRange(1, 1000), default=10, help="Directions.")
@click.option("--prefix", default="sefa", help="They are called PREFIX0, PREFIX1, …")
def sefa(file: Path, *, out: Path, layers: str, count: int, prefix: str) -> None:
    """Find directions without labels, from the weights alone (SeFa; Shen and Zhou, 2021).

    They change the styles of the chosen layers most. What they mean is for you to see: move one
    and look.

    \b
    Examples:
      nonesuch-export directions sefa network-snapshot.pkl --layers middle
      nonesuch-export directions sefa ffhq.pkl --layers 0-3 --prefix pose --out pose.safetensors
    """
    from nonesuch_export import network
    from nonesuch_export import sefa as way
    from nonesuch_export.checkpoint import read
    from nonesuch_export.directions import span, write

    checkpoint = read(file)
    generator = network.build(checkpoint)
    rows = span(layers, generator.ws_resolutions)
    found = way.find(generator, checkpoint.digest(), rows=rows, count=count, prefix=prefix)
    write(found, out)
    _tell(found)


@directions.command()
@_FILE
@click.option(
    "--labels",
    "source",
    required=True,
    metavar="CSV|MODULE:FUNCTION",
    help="A file with the header seed,NAME[,NAME…], or a function that labels pictures.",
)
@_OUT
@click.option(
    "--layers",
    "places",
    multiple=True,
    metavar="[NAME=]LAYERS",
    help="Rows of ws that are moved, of all directions or of one; repeatable.  [default: all]",
)
@click.option(
    "--seeds",
    type=Parsed(parse_seeds),
    metavar="LIST",
    help=f"Whose pictures the function gets.  [default: {_DRAWN}]",
)
@click.option("--psi", default=1.0, help="Truncation of the pictures that are labelled.")
@click.option("--class", "class_idx", type=int, help="Class of these pictures.")
def fit(  # noqa: PLR0913 (a command's options)
    file: Path,
    *,
    source: str,
    out: Path,
    places: tuple[str, ...],
    seeds: Seeds | None,
    psi: float,
    class_idx: int | None,
) -> None:
    """Find a direction for each attribute that samples are labelled with, by regression.

    Labels are a CSV file with a line for each seed, or a Python function, which gets pictures as
    uint8 [n, H, W, C] and returns a dict: for each attribute by its name n numbers. What is
    labelled together is told apart: a direction changes its own attribute and none of the others.

    \b
    Examples:
      nonesuch-export directions fit ffhq.pkl --labels smiles.csv --layers middle
      nonesuch-export directions fit ffhq.pkl --labels faces:attributes --layers age=0-7
    """
    from nonesuch_export import network, regression
    from nonesuch_export.checkpoint import read
    from nonesuch_export.directions import spans, write
    from nonesuch_export.population import Conditions

    checkpoint = read(file)
    generator = network.build(checkpoint)
    conditions = Conditions(psi=psi, class_idx=class_idx)
    conditions.check(generator)
    labels = _labelled(generator, source, seeds, conditions)
    rows = spans(places, labels.names, generator.ws_resolutions)
    found = regression.find(generator, checkpoint.digest(), labels, rows, conditions)
    write(found, out)
    _tell(found)


@directions.command()
@_FILE
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each direction.")
def show(file: Path, *, as_json: bool) -> None:
    """Say what directions a file holds, and of which model.

    \b
    Examples:
      nonesuch-export directions show directions.safetensors
      nonesuch-export directions show directions.safetensors --json | jq .name
    """
    from nonesuch_export.directions import read

    found = read(file)
    if not as_json:
        click.echo(f"of the model {found.model_hash}")
        _tell(found)
        return
    for direction in found.named:
        click.echo(json.dumps({**asdict(direction), "model_hash": found.model_hash}))


def _labelled(
    generator: "Generator", source: str, seeds: Seeds | None, conditions: "Conditions"
) -> "Labels":
    from nonesuch_export import labels, population

    if Path(source).is_file():
        if seeds is not None:
            raise InvalidRequest(f"{source} names its seeds itself; leave out --seeds")
        return labels.read(Path(source))
    function = labels.load(source)
    seeds = parse_seeds(_DRAWN) if seeds is None else seeds
    batches = population.drawn(generator, seeds, conditions)
    return labels.judged(function, seeds, _watched(batches, -(-len(seeds) // population.PICTURES)))


def _watched(batches: Iterator[Any], count: int) -> Iterable[Any]:
    """The same batches, with a progress bar on a terminal."""
    if not sys.stderr.isatty():
        yield from batches
        return
    with click.progressbar(batches, count, "drawing", file=sys.stderr) as bar:
        yield from bar


def _tell(found: "Directions") -> None:
    for direction in found.named:
        effect = ", ".join(f"{name} {value:+.2f}" for name, value in direction.effect.items())
        rows = f"{direction.first}-{direction.last}"
        click.echo(
            "  ".join(filter(None, [f"{direction.name:<20}", rows, direction.about, effect]))
        )
