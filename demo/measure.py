"""Figures of a generator, as the reader judges it: are the portraits as asked for, and as varied?

Every figure stands beside the same for portraits that the renderer drew from the same
attributes, so that the reader's own error is not held against the generator.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import torch
from demo import space
from demo.attributes import ATTRIBUTES, INDEX, random
from demo.portraits import Texture, render
from demo.reader import SIZE, Reader, explained, load, read
from torch import Tensor

from nonesuch.command import Parsed
from nonesuch.errors import InvalidRequest, NonesuchError
from nonesuch.latents import Seeds, latent, parse_seeds
from nonesuch_export import checkpoint, clusters, network
from nonesuch_export.network import Generator
from nonesuch_export.network.modes import Modes

_LEGIBLE = 0.1  # R² below which an attribute is not really read
_OUTLIER = 0.10  # a relative difference in diversity that is worth a mark
_BATCH = 16  # pictures at once


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """What a person would be asked about a portrait: which class is it of?"""

    name: str
    attribute: str
    classes: tuple[str, ...]
    bounds: tuple[float, ...]  # where one class ends and the next begins
    unless: tuple[tuple[str, float, float], ...] = ()  # left out: attribute within low … high

    def answers(self, attributes: Tensor) -> Tensor:
        """The class of each row of attributes [N, A], int64 [N]."""
        value = attributes[:, INDEX[self.attribute]].contiguous()
        return torch.bucketize(value, torch.tensor(self.bounds))

    def asked(self, attributes: Tensor) -> Tensor:
        """Of which portraits it can be asked, bool [N]."""
        out = torch.zeros(len(attributes), dtype=torch.bool)
        for name, low, high in self.unless:
            value = attributes[:, INDEX[name]]
            out |= (low <= value) & (value <= high)
        return ~out


QUESTIONS = (
    Question(
        name="glasses",
        attribute="glasses",
        classes=("no", "yes"),
        bounds=(0.63,),
        unless=(("glasses", 0.56, 0.70),),  # half there
    ),
    Question(
        name="hair colour",
        attribute="hair_colour",
        classes=("black", "brown", "red", "blond"),
        bounds=(1.5 / 9, 4.5 / 9, 6.5 / 9),  # between the palette's ten stops
        unless=(("hair_volume", 0.0, 0.14), ("age", 0.70, 1.0)),  # bald, grey
    ),
    Question(
        name="skin tone",
        attribute="skin",
        classes=("light", "medium", "dark"),
        bounds=(1 / 3, 2 / 3),
    ),
    Question(
        name="smile",
        attribute="smile",
        classes=("serious", "smiling"),
        bounds=(0.5,),
        unless=(("smile", 0.45, 0.55),),  # neither the one nor the other
    ),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Accuracy:
    """How many portraits the reader puts into the class that was asked for; shares in 0 … 1."""

    name: str
    generated: float
    drawn: float
    left_out: float  # of all portraits: their class cannot be seen


@dataclass(frozen=True, kw_only=True, slots=True)
class Legibility:
    """How well the reader reads one attribute, and how much its readings vary.

    `explained` is R². `diversity` is a standard deviation over that of the readings of drawn
    portraits whose attributes are spread evenly from 0 to 1.
    """

    name: str
    legible: bool  # whether the reader reads it at all: R² above 0.1 on those drawn portraits
    explained_generated: float
    explained_drawn: float
    diversity_generated: float
    diversity_drawn: float

    @property
    def is_outlier(self) -> bool:
        """Whether generated portraits vary clearly less or more than the same ones drawn."""
        return self.legible and abs(self.diversity_generated / self.diversity_drawn - 1) > _OUTLIER


@dataclass(frozen=True, slots=True)
class Scale:
    """What the reader makes of drawn portraits whose attributes are spread evenly, each [A]."""

    legible: Tensor  # bool
    spread: Tensor  # standard deviation of the readings

    @classmethod
    def of(cls, attributes: Tensor, readings: Tensor) -> "Scale":
        return cls(explained(attributes, readings) > _LEGIBLE, readings.std(dim=0))

    def diversity(self, readings: Tensor) -> float:
        """How much readings [N, A] vary beside these, mean over the legible attributes."""
        return (readings.std(dim=0) / self.spread)[self.legible].mean().item()


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """What the reader says about a generator at one truncation."""

    psi: float
    portraits: int
    diversity: float  # of generated portraits, mean over the legible attributes
    diversity_modes: float | None  # the same, truncated towards modes; None where there are none
    accuracies: tuple[Accuracy, ...]
    attributes: tuple[Legibility, ...]


def latents(seeds: Sequence[int]) -> Tensor:
    """The z of each seed, [N, Z_DIM]."""
    return torch.cat([torch.from_numpy(latent(seed, space.Z_DIM)) for seed in seeds])


def truncated(z: Tensor, psi: float) -> Tensor:
    """The attributes [N, A], in [0, 1], of the portrait of z at psi: w is linear in them."""
    return (0.5 + psi * (space.attributes_of(z) - 0.5)).clamp(0, 1)


def styles(
    generator: Generator, z: Tensor, psi: float = 1.0, *, modes: Modes | None = None
) -> Tensor:
    """The ws, [N, num_ws, w_dim], of z at psi: towards the average w, or the nearest of modes."""
    w_avg = generator.w_avg
    assert generator.mapping is not None  # the demo's generator has both
    assert w_avg is not None
    with torch.inference_mode():
        w: Tensor = generator.mapping(z)
        centre = w_avg if modes is None else modes(w)
        ws: Tensor = centre + psi * (w[:, None] - centre)
    return ws.expand(-1, generator.num_ws, -1)


def generate(generator: Generator, ws: Tensor) -> Iterator[Tensor]:
    """Pictures of ws with the stored noise, in batches [n, 3, R, R] within [-1, 1]."""
    noise = [one[None, None] for one in generator.noise_const]
    for part in torch.split(ws, _BATCH):
        with torch.inference_mode():  # closed before the yield: it would reach the caller
            img = generator.synthesize(part, noise).clamp(-1, 1)
        yield img


def draw(generator: Generator, attributes: Tensor) -> Iterator[Tensor]:
    """What the generator should draw, in the same batches: the stored noise as texture."""
    size = generator.config.resolution
    stored = {noise.shape[0]: noise[None, None] for noise in generator.noise_const}
    texture = Texture(strands=stored[size], skin=stored[size // 2], background=stored[16])
    for part in torch.split(attributes, _BATCH):
        yield render(part, size, texture=texture)


def readings(reader: Reader, pictures: Iterator[Tensor]) -> Tensor:
    """The attributes that all these pictures show, [N, A]."""
    return torch.cat([read(reader, part) for part in pictures])


def measure(
    generator: Generator, reader: Reader, seeds: Sequence[int], psis: Sequence[float]
) -> Iterator[Figures]:
    """Judge the portraits of two seeds or more at each psi; how varied they are, with modes too.

    Raises InvalidRequest for fewer, and for a generator that `demo.space` is not the space of.
    """
    _check(generator, seeds)
    z, even = latents(seeds), random(len(seeds), torch.Generator().manual_seed(0))
    scale = Scale.of(even, readings(reader, draw(generator, even)))
    for psi in psis:
        asked = truncated(z, psi)
        drawn = readings(reader, draw(generator, asked))
        shown = readings(reader, generate(generator, styles(generator, z, psi)))
        attributes = tuple(_legibilities(scale, asked, drawn, shown))
        towards = None
        if (modes := generator.modes) is not None:
            ws = styles(generator, z, psi, modes=modes)
            towards = scale.diversity(readings(reader, generate(generator, ws)))
        yield Figures(
            psi=psi,
            portraits=len(asked),
            diversity=scale.diversity(shown),
            diversity_modes=towards,
            accuracies=tuple(judge(question, asked, drawn, shown) for question in QUESTIONS),
            attributes=attributes,
        )


def _check(generator: Generator, seeds: Sequence[int]) -> None:
    config = generator.config
    if (config.z_dim, generator.w_dim) != (space.Z_DIM, space.W_DIM) or config.resolution % SIZE:
        raise InvalidRequest(
            f"z_dim, w_dim, resolution are {config.z_dim}, {generator.w_dim}, {config.resolution}; "
            f"a generator of the demo has {space.Z_DIM}, {space.W_DIM}, a multiple of {SIZE}"
        )
    if len(seeds) < 2:
        raise InvalidRequest(f"one portrait does not vary: {len(seeds)} seed, expected 2 or more")


def _legibilities(
    scale: Scale, asked: Tensor, drawn: Tensor, shown: Tensor
) -> Iterator[Legibility]:
    columns = zip(
        scale.legible.tolist(),
        explained(asked, shown).tolist(),
        explained(asked, drawn).tolist(),
        (shown.std(dim=0) / scale.spread).tolist(),
        (drawn.std(dim=0) / scale.spread).tolist(),
        strict=True,
    )
    for attribute, (legible, *explanations, wide, wide_drawn) in zip(
        ATTRIBUTES, columns, strict=True
    ):
        yield Legibility(
            name=attribute.name,
            legible=legible,
            explained_generated=explanations[0],
            explained_drawn=explanations[1],
            diversity_generated=wide,
            diversity_drawn=wide_drawn,
        )


def judge(question: Question, asked: Tensor, drawn: Tensor, shown: Tensor) -> Accuracy:
    """Compare readings of drawn and of generated portraits with what was asked, all [N, A]."""
    valid = question.asked(asked)
    right = question.answers(asked)[valid]

    def share(readings: Tensor) -> float:
        return (question.answers(readings)[valid] == right).float().mean().item()

    return Accuracy(
        name=question.name,
        generated=share(shown),
        drawn=share(drawn),
        left_out=1 - valid.float().mean().item(),
    )


def table(figures: Figures) -> Iterator[str]:
    """The figures as lines of plain text."""
    yield f"psi {figures.psi:g}, {figures.portraits} portraits, as the attribute reader sees them"
    yield ""
    yield f"{'in the right class':<22}{'generated':>10}{'drawn':>10}{'left out':>10}  classes"
    for one, question in zip(figures.accuracies, QUESTIONS, strict=True):
        shares = f"{one.generated:>10.1%}{one.drawn:>10.1%}{one.left_out:>10.1%}"
        yield f"{one.name:<22}{shares}  {', '.join(question.classes)}"
    yield ""
    yield f"{'':<22}{'R² of readings':>20}{'diversity':>20}"
    yield f"{'attribute':<22}{'generated':>10}{'drawn':>10}{'generated':>10}{'drawn':>10}"
    for row in figures.attributes:
        quality = f"{row.explained_generated:>10.2f}{row.explained_drawn:>10.2f}"
        spread = f"{row.diversity_generated:>10.2f}{row.diversity_drawn:>10.2f}"
        mark = "" if row.legible else "  not read"
        yield f"{row.name:<22}{quality}{spread}{'  *' if row.is_outlier else mark}"
    yield f"{'mean of those read':<42}{figures.diversity:>10.2f}"
    if figures.diversity_modes is not None:
        yield f"{'truncated towards modes':<42}{figures.diversity_modes:>10.2f}"
    yield f"* generated and drawn portraits differ in diversity by more than {_OUTLIER:.0%}"
    yield ""


@click.command(context_settings={"show_default": True})
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--psi", "psis", multiple=True, type=click.FloatRange(min=0, min_open=True),
    default=(1.0, 0.7), help="Truncation; may be given several times.",
)  # fmt: skip
@click.option(
    "--seeds", type=Parsed(parse_seeds), default=parse_seeds("0-999"), metavar="LIST",
    help="Whose portraits are judged.",
)  # fmt: skip
@click.option("--modes", type=click.IntRange(2, clusters.MOST), help="Truncate towards these too.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each psi.")
def main(
    file: Path, *, psis: tuple[float, ...], seeds: Seeds, modes: int | None, as_json: bool
) -> None:
    """Judge the demo generator in FILE: are its portraits as asked for, and as varied?

    \b
    Examples:
      python -m demo.measure demo/portraits.safetensors
      python -m demo.measure demo/portraits.safetensors --psi 0.5 --seeds 0-199 --json
      python -m demo.measure demo/portraits.safetensors --psi 0.5 --modes 1024
    """
    try:
        generator = network.build(checkpoint.read(file))
        if modes is not None:
            generator.modes = clusters.find(generator, modes)
        for figures in measure(generator, load(), seeds, psis):
            click.echo(json.dumps(asdict(figures)) if as_json else "\n".join(table(figures)))
    except NonesuchError as exc:
        raise click.ClickException(str(exc)) from exc


if __name__ == "__main__":
    main()
