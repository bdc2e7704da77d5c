"""Reads the attributes of a portrait from its picture: the judge of what a generator draws.

A small convolutional network, trained on the renderer's pictures alone. It has never seen what
it judges, so where it reads from a generated picture the attributes that were asked for, the
picture shows them. What cannot be seen (the hair colour of the bald) it answers with a mean.
"""

import json
import math
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import torch
from demo.attributes import ATTRIBUTES, random
from demo.portraits import render, textures
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn import functional

from nonesuch.errors import InvalidRequest, NonesuchError
from nonesuch.files import save as store

FILE = Path(__file__).with_name("reader.safetensors")
SIZE = 64  # pixels a side of what the network sees
_KEY = "nonesuch.reader"  # of the file's metadata
_LOT = 8  # portraits drawn at once: fastest on a CPU
_LARGE = 4  # every so many lots are drawn larger and averaged down
_NEAR = 0.05  # errors above it count by their size, those below by their square


class Reader(nn.Module):
    """Pictures [N, 3, R, R] in [-1, 1], R a multiple of 64, to attributes [N, A] in [0, 1].

    Columns are those of ATTRIBUTES. Larger pictures are averaged down to 64x64 first. Raises
    InvalidRequest for another size.
    """

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.PixelUnshuffle(2),  # so the first layer sees 6x6 pixels at the price of 3x3
            *_layer(12, 24),
            *_layer(24, 48, stride=2),
            *_layer(48, 48),
            *_layer(48, 64, stride=2),
            *_layer(64, 64),
            *_layer(64, 64, stride=2),
        )
        self.head = nn.Sequential(
            nn.Linear(64 * 4 * 4 + 3 * 8 * 8, 128), nn.ReLU(), nn.Linear(128, len(ATTRIBUTES))
        )

    def forward(self, pictures: Tensor) -> Tensor:
        small = _reduced(pictures)
        shapes = self.convolutions(small)  # [N, 64, 4, 4]
        # Normalised by their batch, features lose the exact colours; a thumbnail keeps them.
        colours = functional.avg_pool2d(small, 8)  # [N, 3, 8, 8]
        # Flattened, not pooled: where something is says as much as what it is.
        return torch.sigmoid(self.head(torch.cat([shapes.flatten(1), colours.flatten(1)], 1)))


def _layer(inputs: int, outputs: int, stride: int = 1) -> tuple[nn.Module, ...]:
    return (
        nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


def _reduced(pictures: Tensor) -> Tensor:
    height, width = pictures.shape[-2:]
    if height != width or height % SIZE:
        raise InvalidRequest(
            f"pictures are {width}x{height}, the reader takes squares of a multiple of {SIZE}"
        )
    return functional.avg_pool2d(pictures, height // SIZE)


def load(path: Path = FILE) -> Reader:
    """A trained reader, float32 on the CPU, ready to evaluate."""
    reader = Reader()
    reader.load_state_dict(load_file(path))
    return reader.eval().requires_grad_(False)


def write(reader: Reader, path: Path, description: str) -> None:
    """Store a reader in half precision, with JSON that describes it; raises OutputError."""
    weights = {
        name: value.half().contiguous() if value.is_floating_point() else value
        for name, value in reader.state_dict().items()
    }
    store(path, save(weights, metadata={_KEY: description}))


def read(reader: Reader, pictures: Tensor, batch: int = 64) -> Tensor:
    """Attributes [N, A] of any number of pictures, `batch` of them at a time."""
    with torch.inference_mode():
        return torch.cat([reader(part) for part in torch.split(pictures, batch)])


def explained(attributes: Tensor, readings: Tensor) -> Tensor:
    """R² of each attribute, [A]: 1 = read exactly, 0 = no better than their mean."""
    error = (attributes - readings).square().mean(dim=0)
    return 1 - error / attributes.var(dim=0, correction=0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """How a reader is trained."""

    pictures: int = 30_000  # drawn once, seen in each pass
    passes: int = 10
    batch: int = 32
    rate: float = 0.004  # of Adam, at its highest
    seed: int = 0
    held_out: int = 2000  # portraits for the figures, none of them seen in training


@dataclass(frozen=True, slots=True)
class Album:
    """Portraits with their labels."""

    attributes: Tensor  # [N, A] in [0, 1]
    pictures: Tensor  # uint8 [N, 3, 64, 64]: a quarter of the memory of floats

    def floats(self, rows: Tensor | slice = slice(None)) -> Tensor:
        """The pictures of some rows as float32 in [-1, 1]."""
        return self.pictures[rows].float() / 127.5 - 1


def draw(count: int, seed: int) -> Iterator[Album]:
    """Draw `count` portraits, a few at a time; every fourth lot at 128x128, averaged down."""
    source = torch.Generator().manual_seed(seed)
    for lot, start in enumerate(range(0, count, _LOT), start=1):
        n = min(_LOT, count - start)
        size = SIZE if lot % _LARGE else 2 * SIZE
        attributes = random(n, source)
        drawn = _reduced(render(attributes, size, texture=textures(n, size, source)))
        yield Album(attributes, ((drawn + 1) * 127.5).round().byte())


def bind(lots: list[Album]) -> Album:
    """One album of many."""
    return Album(
        torch.cat([lot.attributes for lot in lots]), torch.cat([lot.pictures for lot in lots])
    )


def roughen(pictures: Tensor, source: torch.Generator) -> Tensor:
    """Blur, tint and grain pictures [N, 3, R, R] a little, each to another degree.

    Generated pictures are softer than drawn ones and a shade off: their reader must not mind.
    """

    def dice(channels: int) -> Tensor:
        return torch.rand(len(pictures), channels, 1, 1, generator=source)

    rough = pictures.lerp(_blurred(pictures), dice(1))
    rough = rough * (0.985 + 0.03 * dice(1)) + 0.03 * (dice(3) - 0.5)
    return rough + 0.04 * dice(1) * torch.randn(pictures.shape, generator=source)


def _blurred(x: Tensor) -> Tensor:
    """Binomial blur over 3x3 pixels, as sums of neighbours: faster than a convolution."""
    x = functional.pad(x, (1, 1, 1, 1), mode="replicate")
    for _ in range(2):
        x = x[..., 1:] + x[..., :-1]
        x = x[..., 1:, :] + x[..., :-1, :]
    return x / 16


class Loss:
    """Huber's loss, which lets what can be read well be read better as training goes on.

    The weight of an attribute moves from 1 to the inverse of its own recent loss. In the end
    each is worth the same relative gain, and those that cannot be seen no longer drown the rest.
    """

    def __init__(self) -> None:
        self._recent = torch.ones(len(ATTRIBUTES))

    def __call__(self, guess: Tensor, attributes: Tensor, progress: float) -> Tensor:
        losses = functional.huber_loss(guess, attributes, reduction="none", delta=_NEAR).mean(0)
        self._recent = self._recent.lerp(losses.detach(), 0.02)
        weights = self._recent**-progress
        return (losses * weights).mean() / weights.mean()


def untrained(seed: int) -> Reader:
    """A reader with the random weights that training starts from."""
    torch.manual_seed(seed)
    return Reader()


def train(reader: Reader, album: Album, recipe: Recipe) -> Iterator[float]:
    """Teach a reader; yields the loss of each pass, whose weights are not those of the next."""
    source = torch.Generator().manual_seed(recipe.seed)
    optimizer = torch.optim.AdamW(reader.parameters(), lr=recipe.rate, fused=True)
    steps = recipe.passes * math.ceil(len(album.pictures) / recipe.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.rate, total_steps=steps)
    loss = Loss()
    reader.train()
    for _ in range(recipe.passes):
        total = 0.0
        order = torch.randperm(len(album.pictures), generator=source)
        for rows in torch.split(order, recipe.batch):
            pictures = roughen(album.floats(rows), source)
            with torch.autocast("cpu", torch.bfloat16):
                guess = reader(pictures.to(memory_format=torch.channels_last))
            now = loss(guess.float(), album.attributes[rows], schedule.last_epoch / steps)
            optimizer.zero_grad()
            now.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            total += now.item()
        yield total * recipe.passes / steps
    reader.eval()


def describe(recipe: Recipe, legibility: Tensor) -> str:
    """How a reader came about, as JSON: its recipe, and R² of each attribute, [A]."""
    values = [round(value, 3) for value in legibility.tolist()]
    facts = {
        "about": "reads the attributes of drawn portraits; trained on drawn portraits only",
        "licence": "Apache-2.0",
        "recipe": asdict(recipe),
        "explained": dict(zip((a.name for a in ATTRIBUTES), values, strict=True)),
    }
    return json.dumps(facts)


def table(legibility: Tensor) -> Iterator[str]:
    """R² of each attribute, [A], as lines of text."""
    for attribute, value in zip(ATTRIBUTES, legibility.tolist(), strict=True):
        yield f"{attribute.name:<22}{value:>7.3f}"
    yield f"{'mean':<22}{legibility.mean().item():>7.3f}"


def _drawn(count: int, seed: int) -> Album:
    lots, length = draw(count, seed), math.ceil(count / _LOT)
    if not sys.stderr.isatty():
        return bind(list(lots))
    with click.progressbar(lots, length, "drawing", file=sys.stderr) as bar:
        return bind(list(bar))


_DEFAULT = Recipe()


@click.command(context_settings={"show_default": True})
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True)
@click.option("--pictures", type=click.IntRange(min=2), default=_DEFAULT.pictures, help="To learn.")
@click.option("--passes", type=click.IntRange(min=1), default=_DEFAULT.passes, help="Over them.")
@click.option("--held-out", type=click.IntRange(min=2), default=_DEFAULT.held_out, help="For R².")
@click.option("--seed", default=_DEFAULT.seed, help="Of portraits and network.")
def main(*, out: Path, **settings: int) -> None:
    """Train a reader of attributes on drawn portraits; prints R² of each on held-out ones.

    \b
    Examples:
      python -m demo.reader --out demo/reader.safetensors
      python -m demo.reader --out small.safetensors --pictures 2000 --passes 3
    """
    recipe = Recipe(**settings)
    reader, album = untrained(recipe.seed), _drawn(recipe.pictures, recipe.seed)
    for number, loss in enumerate(train(reader, album, recipe), start=1):
        click.echo(f"pass {number} of {recipe.passes}: loss {loss:.5f}", err=True)
    held_out = _drawn(recipe.held_out, recipe.seed + 1)
    legibility = explained(held_out.attributes, read(reader, held_out.floats()))
    try:
        write(reader, out, describe(recipe, legibility))
    except NonesuchError as exc:
        raise click.ClickException(str(exc)) from exc
    click.echo("\n".join(table(legibility)))


if __name__ == "__main__":
    main()
