"""The demo's dials: for each attribute a direction in ws, fitted and then measured.

The fit is the general one, regression on labelled seeds; the labels are the attributes that a
seed's z stands for, which the demo's latent space knows exactly. What a dial really does to the
pictures, to its own attribute and to the others, is read off them by the attribute reader.
"""

from dataclasses import replace
from pathlib import Path

import click
import torch
from demo import space
from demo.attributes import ATTRIBUTES, INDEX
from demo.measure import latents, styles
from demo.reader import Reader, load
from torch import Tensor

from nonesuch.card import Direction
from nonesuch_export import directions, network, regression
from nonesuch_export.checkpoint import read
from nonesuch_export.directions import Directions, span
from nonesuch_export.labels import Labels
from nonesuch_export.network import Generator
from nonesuch_export.population import Conditions

# Weights of 2 lead most portraits past the ends of a scale, where no one taught the generator.
_CAVEATS = dict.fromkeys(("clothes_hue", "background_hue"), "; beyond its ends other colours")
_FIT = 4096  # seeds
_LOOKS = 48  # seeds whose pictures are read for each dial
_PSI = 0.7
_OTHERS = 3  # largest side effects that are told


def fit(generator: Generator, model_hash: str) -> Directions:
    """One direction an attribute: a weight of 1 is a standard deviation over random seeds."""
    labels = Labels(
        seeds=tuple(range(_FIT)),
        names=tuple(INDEX),
        values=space.attributes_of(latents(range(_FIT))).double().numpy(),
    )
    spans = {a.name: span(a.group, generator.ws_resolutions) for a in ATTRIBUTES}
    found = regression.find(generator, model_hash, labels, spans, Conditions())
    return replace(
        found,
        named=tuple(
            replace(
                direction,
                about=f"{attribute.low} … {attribute.high}{_CAVEATS.get(attribute.name, '')}",
            )
            for direction, attribute in zip(found.named, ATTRIBUTES, strict=True)
        ),
    )


def measure(generator: Generator, reader: Reader, found: Directions) -> Directions:
    """The same directions, each with the effect that a weight of 1 has on what is read.

    Effects are in standard deviations of the attribute: its own first, then the largest others.
    """
    with torch.inference_mode():
        ws = styles(generator, latents(range(_LOOKS)), _PSI)
        vectors = torch.from_numpy(found.vectors)
        named = tuple(
            _measured(direction, _change(generator, reader, ws, direction, vector))
            for direction, vector in zip(found.named, vectors, strict=True)
        )
    return replace(found, named=named)


def _change(
    generator: Generator, reader: Reader, ws: Tensor, direction: Direction, vector: Tensor
) -> Tensor:
    """By how much a weight of 1 changes each attribute on average, [A], in its deviations."""
    noise = [stored[None, None] for stored in generator.noise_const]
    readings = []
    for weight in (-1, 1):
        moved = ws.clone()
        moved[:, direction.first : direction.last + 1] += weight * vector
        readings.append(reader(generator.synthesize(moved, noise).clamp(-1, 1)).mean(dim=0))
    deviation = 12**-0.5  # of what is spread evenly from 0 to 1
    change: Tensor = (readings[1] - readings[0]) / (2 * deviation)
    return change


def _measured(direction: Direction, change: Tensor) -> Direction:
    own = INDEX[direction.name]
    others = [i for i in change.abs().argsort(descending=True).tolist() if i != own][:_OTHERS]
    effect = {ATTRIBUTES[i].name: round(change[i].item(), 2) for i in (own, *others)}
    return replace(direction, effect=effect)


def table(found: Directions) -> str:
    """The effects as lines of text, a dial a line."""
    lines = [f"{'dial':<22}{'rows':<7}{'own':>5}   largest side effects"]
    for direction in found.named:
        (_, own), *others = direction.effect.items()
        told = ", ".join(f"{name} {value:+.2f}" for name, value in others)
        rows = f"{direction.first}-{direction.last}"
        lines.append(f"{direction.name:<22}{rows:<7}{own:>5.2f}   {told}")
    return "\n".join(lines)


@click.command(context_settings={"show_default": True})
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), default="demo/directions.safetensors"
)
def main(file: Path, out: Path) -> None:
    """Find and measure the dials of the generator in FILE.

    \b
    Examples:
      python -m demo.directions demo/portraits.safetensors
      python -m demo.directions build/portraits/portraits.safetensors --out dials.safetensors
    """
    checkpoint = read(file)
    generator = network.build(checkpoint)
    found = measure(generator, load(), fit(generator, checkpoint.digest()))
    directions.write(found, out)
    click.echo(table(found))


if __name__ == "__main__":
    main()
