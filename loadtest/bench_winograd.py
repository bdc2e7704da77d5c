"""Is a 3x3 convolution faster here as Winograd's, written in operations that runtimes have?

    python loadtest/bench_winograd.py

F(2x2, 3x3) and F(4x4, 3x3) of Lavin and Gray (2016, arXiv:1509.09308) need 4/9 and 1/4 of the
multiplications, and transforms of all channels before and after. Here the transforms are slices
and sums, the products a convolution of 1x1 in a group for each place of a tile. The layers are
those of a StyleGAN2 of 256x256.
"""

import itertools
import statistics
import tempfile
import time
from pathlib import Path

import click
import torch
import torch.nn.functional as F  # noqa: N812 (everyone's name for it)
from torch import Tensor, nn

from nonesuch_export import graph
from nonesuch_export.engine import ENGINES, Loaded

LAYERS = ((512, 16), (512, 32), (256, 64), (128, 128), (64, 256))  # channels, pixels
_BATCH, _ROUNDS = 4, 7
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
FORMS = {"direct": None, "F(2x2, 3x3)": _F2, "F(4x4, 3x3)": _F4}


class Layer(nn.Module):
    """A convolution x [N, C, h, w] to [N, C, h, w], and its mean, so that little leaves."""

    def __init__(self, channels: int, form: str) -> None:
        super().__init__()
        self.register_buffer("weight", torch.randn(channels, channels, 3, 3) / channels)
        self._form = FORMS[form]

    def forward(self, *given: Tensor) -> Tensor:
        return self.convolve(given[0]).mean((2, 3))

    def convolve(self, x: Tensor) -> Tensor:
        weight = self.get_buffer("weight")
        if self._form is None:
            return F.conv2d(x, weight, padding=1)
        before, middle, after = self._form
        size, step, channels = len(before), len(after), x.shape[1]
        tiles = x.shape[2] // step
        x = F.pad(x, (1, size - step - 1, 1, size - step - 1))
        rows = _sums([x[:, :, i : i + step * tiles : step] for i in range(size)], before)
        places = [
            place
            for row in rows
            for place in _sums([row[..., i : i + step * tiles : step] for i in range(size)], before)
        ]
        turned = torch.tensor(middle)
        weights = torch.einsum("ai,ocij,bj->aboc", turned, weight, turned)
        products = F.conv2d(
            torch.cat(places, 1), weights.reshape(-1, channels, 1, 1), groups=size * size
        )
        by_row = torch.split(products, channels * size, 1)
        across = [_sums(list(torch.split(row, channels, 1)), after) for row in by_row]
        down = [_sums([row[i] for row in across], after) for i in range(step)]
        made = [down[column][row] for row in range(step) for column in range(step)]
        return F.pixel_shuffle(torch.stack(made, 2).flatten(1, 2), step)


def _sums(parts: list[Tensor], matrix: tuple[tuple[float, ...], ...]) -> list[Tensor]:
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


def _engine(layer: Layer, x: Tensor, words: tuple[str, str], folder: Path) -> Loaded:
    name, precision = words
    plan = folder / ENGINES[name].FILE
    graph.trace(layer, {"x": x}, ("mean",), folder / "graph.onnx")
    ENGINES[name].compile(folder / "graph.onnx", plan, precision=precision, max_batch=_BATCH)
    return ENGINES[name].Engine(plan, precision=precision)


def _measure(channels: int, pixels: int, words: tuple[str, str]) -> dict[str, float]:
    """Milliseconds a picture of each form."""
    x = torch.randn(_BATCH, channels, pixels, pixels)
    turns: dict[str, list[float]] = {form: [] for form in FORMS}
    with tempfile.TemporaryDirectory() as folder:
        engines = {form: _engine(Layer(channels, form), x, words, Path(folder)) for form in FORMS}
        for _, (form, engine) in itertools.product(range(_ROUNDS + 1), engines.items()):
            start = time.perf_counter()
            engine.run({"x": x.numpy()})
            turns[form].append((time.perf_counter() - start) / _BATCH * 1000)
    return {form: statistics.median(spent[1:]) for form, spent in turns.items()}


@click.command()
@click.option("--engine", type=click.Choice(list(ENGINES)), default="openvino")
@click.option("--precision", type=click.Choice(["fp32", "bf16"]), default="fp32")
def main(*, engine: str, precision: str) -> None:
    """Milliseconds that each layer takes for a picture, directly and as Winograd's."""
    torch.manual_seed(0)
    for channels, pixels in LAYERS:
        times = _measure(channels, pixels, (engine, precision))
        said = ", ".join(f"{form} {spent:.2f} ms" for form, spent in times.items())
        click.echo(f"{channels} channels, {pixels} pixels: {said}")


if __name__ == "__main__":
    main()
