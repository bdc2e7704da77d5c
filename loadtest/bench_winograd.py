"""Is a 3x3 convolution faster here as Winograd's, written in operations that runtimes have?

    python loadtest/bench_winograd.py --engine openvino --precision bf16

The plans stay in a folder, so that a second run does nothing but measure.
F(2x2, 3x3) and F(4x4, 3x3) of Lavin and Gray (2016, arXiv:1509.09308) need 4/9 and 1/4 of the
multiplications, and transforms of all channels before and after. Here the transforms are slices
and sums; each place of a tile is multiplied by a matrix of its own, as a convolution of 1x1 in
groups or as matrix products. The layers are those of a StyleGAN2 of 256x256.
"""

import itertools
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (everyone's name for it)
from torch import Tensor, nn

from nonesuch_export import graph
from nonesuch_export.engine import ENGINES, Loaded

LAYERS = ((512, 16), (512, 32), (256, 64), (128, 128), (64, 256))  # channels, pixels
_BATCH, _ROUNDS = 4, 5
Matrix = tuple[tuple[float, ...], ...]
# Bᵀ, G and Aᵀ of the paper: transforms of the input, the weight and the output along an axis.
_F2 = (
    ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1)),
    ((1, 0, 0), (1 / 2, 1 / 2, 1 / 2), (1 / 2, -1 / 2, 1 / 2), (0, 0, 1)),
    ((1, 1, 1, 0), (0, 1, -1, -1)),
)
_F4 = (
    (
        (4, 0, -5, 0, 1, 0),
        (0, -4, -4, 1, 1, 0),
        (0, 4, -4, -1, 1, 0),
        (0, -2, -1, 2, 1, 0),
        (0, 2, -1, -2, 1, 0),
        (0, 4, 0, -5, 0, 1),
    ),
    (
        (1 / 4, 0, 0),
        (-1 / 6, -1 / 6, -1 / 6),
        (-1 / 6, 1 / 6, -1 / 6),
        (1 / 24, 1 / 12, 1 / 6),
        (1 / 24, -1 / 12, 1 / 6),
        (0, 0, 1),
    ),
    ((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1)),
)
WINOGRAD = {"F(2x2, 3x3)": _F2, "F(4x4, 3x3)": _F4}
PRODUCTS = ("convolution", "matrices")  # what multiplies: 1x1 in groups, or a batch of products


class Layer(nn.Module):
    """A convolution x [N, C, h, w] to [N, C, h, w], and sums of it, so that little leaves.

    The sums are with signs by chance, so that errors do not cancel out: theirs, beside them, are as
    large as those of the map beside it.
    """

    def __init__(self, channels: int, pixels: int, form: str, product: str) -> None:
        super().__init__()
        chance = torch.Generator().manual_seed(channels)
        weight = torch.randn(channels, channels, 3, 3, generator=chance) / (3 * channels**0.5)
        signs = torch.randint(0, 2, (pixels, pixels), generator=chance) * 2.0 - 1
        self._form, self._product = WINOGRAD.get(form), product
        self.register_buffer("weight", weight if self._form is None else _turned(weight, form))
        self.register_buffer("signs", signs)

    def forward(self, *given: Tensor) -> Tensor:
        return (self.convolve(given[0]) * self.get_buffer("signs")).mean((2, 3))

    def convolve(self, x: Tensor) -> Tensor:
        weight = self.get_buffer("weight")
        if self._form is None:
            return F.conv2d(x, weight, padding=1)
        before, _, after = self._form
        size, step = len(before), len(after)
        places = _tiles(x, before, step)  # size² of [N, C, tiles, tiles]
        products = self._multiplied(places, weight)
        rows = [products[i : i + size] for i in range(0, size * size, size)]
        across = [_sums(row, after) for row in rows]
        down = [_sums([row[i] for row in across], after) for i in range(step)]
        made = [down[column][row] for row in range(step) for column in range(step)]
        return F.pixel_shuffle(torch.stack(made, 2).flatten(1, 2), step)

    def _multiplied(self, places: list[Tensor], weights: Tensor) -> list[Tensor]:
        """Each place of a tile with the weights of its own."""
        channels = weights.shape[1]
        if self._product == "convolution":
            kernels = weights.reshape(-1, channels, 1, 1)
            made = F.conv2d(torch.cat(places, 1), kernels, groups=len(places))
            return list(torch.split(made, channels, 1))
        flat = torch.stack([place.flatten(2) for place in places], 1)  # [N, size², C, tiles²]
        made = torch.matmul(weights, flat)
        shape = places[0].shape
        return [made[:, i].reshape(shape) for i in range(len(places))]


def _turned(weight: Tensor, form: str) -> Tensor:
    """The transform of a weight [out, in, 3, 3]: [size², out, in]."""
    turn = torch.tensor(WINOGRAD[form][1])
    return torch.einsum("ai,ocij,bj->aboc", turn, weight, turn).flatten(0, 1)


def _tiles(x: Tensor, before: Matrix, step: int) -> list[Tensor]:
    """The places of all tiles after the transform of the input, row by row."""
    size, tiles = len(before), x.shape[2] // step
    x = F.pad(x, (1, size - step - 1, 1, size - step - 1))
    rows = _sums([x[:, :, i : i + step * tiles : step] for i in range(size)], before)
    return [
        place
        for row in rows
        for place in _sums([row[..., i : i + step * tiles : step] for i in range(size)], before)
    ]


def _sums(parts: list[Tensor], matrix: Matrix) -> list[Tensor]:
    """The linear combinations of the parts that the matrix's rows say."""
    made = []
    for row in matrix:
        terms = [
            part if factor == 1 else part * factor
            for part, factor in zip(parts, row, strict=True)
            if factor
        ]
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        made.append(total)
    return made


@dataclass(frozen=True, slots=True)
class Trial:
    """What a form of a layer took, and how far it is from the direct one in fp32."""

    form: str
    time_ms: float  # a picture, median
    error: float  # root of the mean square, of the signal's


def _engine(layer: Layer, x: Tensor, words: tuple[str, str], folder: Path) -> Loaded:
    """Of a plan in a folder of its own, which stays for the next run."""
    name, precision = words
    plan, traced = folder / ENGINES[name].FILE, folder / "graph.onnx.tmp"
    if not plan.exists():
        folder.mkdir(parents=True, exist_ok=True)
        graph.trace(layer, {"x": x}, ("sums",), traced)
        ENGINES[name].compile(traced, plan, precision=precision, max_batch=_BATCH)
    return ENGINES[name].Engine(plan, precision=precision)


def layers(channels: int, pixels: int) -> dict[str, Layer]:
    """The same convolution in all forms, the direct one first."""
    made = {"direct": Layer(channels, pixels, "direct", "")}
    for form, product in itertools.product(WINOGRAD, PRODUCTS):
        made[f"{form}, {product}"] = Layer(channels, pixels, form, product)
    return made


def measure(channels: int, pixels: int, words: tuple[str, str], folder: Path) -> list[Trial]:
    """All forms of a layer, which take turns."""
    x = torch.randn(_BATCH, channels, pixels, pixels)
    forms = layers(channels, pixels)
    with torch.inference_mode():
        expected = forms["direct"](x).numpy()
    turns: dict[str, list[float]] = {form: [] for form in forms}
    errors: dict[str, float] = {}
    engines = {
        form: _engine(layer, x, words, folder / f"{channels}-{pixels}-{form}".replace(" ", ""))
        for form, layer in forms.items()
    }
    for _, (form, engine) in itertools.product(range(_ROUNDS + 1), engines.items()):
        start = time.perf_counter()
        sums = engine.run({"x": x.numpy()})
        turns[form].append((time.perf_counter() - start) / _BATCH * 1000)
        errors[form] = float(np.linalg.norm(sums - expected) / np.linalg.norm(expected))
    return [Trial(f, statistics.median(spent[1:]), errors[f]) for f, spent in turns.items()]


@click.command()
@click.option("--engine", type=click.Choice(list(ENGINES)), default="openvino")
@click.option("--precision", type=click.Choice(["fp32", "bf16"]), default="fp32")
@click.option("--folder", type=click.Path(path_type=Path), default="build/bench-winograd")
def main(*, engine: str, precision: str, folder: Path) -> None:
    """Milliseconds that each layer takes for a picture, directly and as Winograd's."""
    torch.manual_seed(0)
    plans = folder / f"{engine}-{precision}"
    for channels, pixels in LAYERS:
        click.echo(f"{channels} channels, {pixels} pixels")
        for trial in measure(channels, pixels, (engine, precision), plans):
            error = f"off by {trial.error:.1e} of the signal"
            click.echo(f"  {trial.form:<25}{trial.time_ms:8.2f} ms, {error}")


if __name__ == "__main__":
    main()
