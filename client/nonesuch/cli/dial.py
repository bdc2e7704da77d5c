"""`nonesuch dial`: strips on which named directions are turned from one end to the other."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np

from nonesuch.cli.options import connected, mixed, pictured, seeds_option
from nonesuch.cli.output import keep_sheet, say, sheet_option, watched
from nonesuch.client import Client
from nonesuch.command import Parsed
from nonesuch.errors import InvalidRequest
from nonesuch.images import Picture
from nonesuch.latents import Seeds
from nonesuch.options import RAW, Sample, Settings
from nonesuch.sheet import Sheet


@dataclass(frozen=True, slots=True)
class Dial:
    """A direction's name, and the weights between which it is turned."""

    name: str
    first: float
    last: float

    @classmethod
    def parse(cls, text: str) -> "Dial":
        """Read `NAME=FROM:TO`; raises InvalidRequest for what is none.

        >>> Dial.parse("smile=-2:2")
        Dial(name='smile', first=-2.0, last=2.0)
        """
        name, _, span = text.partition("=")
        try:
            first, last = map(float, span.split(":"))
        except ValueError:
            raise InvalidRequest(
                f"cannot read {text!r} as a dial, expected NAME=FROM:TO as in smile=-2:2"
            ) from None
        return cls(name, first, last)

    @property
    def span(self) -> str:
        return f" {_signed(self.first)} … {_signed(self.last)}"

    def weights(self, steps: int) -> list[float]:
        """So many weights at even distances, both ends among them."""
        return [float(weight) for weight in np.linspace(self.first, self.last, steps).round(6)]


@click.command()
@click.argument("name")
@click.argument("dials", type=Parsed(Dial.parse), nargs=-1, required=True)
@seeds_option()
@click.option(
    "--steps", type=click.IntRange(2, 99), default=5, help="Pictures a dial, both ends included."
)
@pictured
@mixed
@sheet_option("dial.png")
@connected
def dial(  # noqa: PLR0913 (one parameter an option)
    client: Client,
    name: str,
    dials: tuple[Dial, ...],
    seeds: Seeds,
    steps: int,
    settings: Settings,
    out: Path,
) -> None:
    """Draw strips of model NAME on which each of DIALS, as smile=-2:2, is turned for each seed.

    Weights are in standard deviations, on top of what --directions says.

    \b
    Examples:
      nonesuch dial portraits smile=-2:2 --seeds 3
      nonesuch dial portraits smile=-2:2 age=-1:1 --seeds 3,8 --steps 7 --out dials.png
    """
    start_s = time.monotonic()
    card = client.info(name)
    for each in dials:
        card.direction(each.name)  # refused before the work
    samples = [
        _sample(settings, seed, each.name, weight)
        for each in dials
        for seed in seeds
        for weight in each.weights(steps)
    ]
    pictures = client.generate_each(name, samples, format=RAW)
    drawn = list(watched(pictures, len(samples)))
    keep_sheet(_sheet(name, drawn, dials, seeds, steps), drawn, out)
    say(len(drawn), str(out), start_s)


def _sample(settings: Settings, seed: int, name: str, weight: float) -> Sample:
    weights = dict(settings.get("directions") or {})
    turned = settings.copy()
    turned["directions"] = weights | {name: weights.get(name, 0.0) + weight}
    return Sample(seed=seed, **turned)


def _sheet(
    name: str, pictures: Sequence[Picture], dials: Sequence[Dial], seeds: Seeds, steps: int
) -> Sheet:
    tiles = [picture.array() for picture in pictures]
    same = len({(each.first, each.last) for each in dials}) == 1
    return Sheet(
        title=f"{name}: directions in standard deviations",
        rows=[tiles[at : at + steps] for at in range(0, len(tiles), steps)],
        above=[_signed(weight) for weight in dials[0].weights(steps)] if same else (),
        beside=[
            f"{each.name}{'' if same else each.span}, seed {seed}"
            for each in dials
            for seed in seeds
        ],
    )


def _signed(weight: float) -> str:
    return f"{weight:+.3g}" if weight else "0"
