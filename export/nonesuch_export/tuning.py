"""Tuning: which of its equal forms is each layer fastest in, in this runtime and on this machine?

Layers are measured alone: the form of one does not change the others.
"""

import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nonesuch.errors import InvalidRequest
from nonesuch_export import graph
from nonesuch_export.engine import Loaded, runtime
from nonesuch_export.network import Generator, StyleGAN2
from nonesuch_export.network.config import Config
from nonesuch_export.network.stylegan2 import Convolution, ToRGB
from nonesuch_export.network.upconvolution import FORMS, Form

_ROUNDS = 7  # in which the forms take turns
_TURN_S = 0.03  # at least
_WORTH = 0.95  # of the first form's time: what is less better may be chance


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """What a layer took for one picture in each form."""

    layer: str  # its resolution
    times_s: dict[Form, float]

    def __str__(self) -> str:
        """For people, the best marked."""
        times = (
            f"{form} {time_s * 1000:.2f} ms{' *' if form == self.best else ''}"
            for form, time_s in self.times_s.items()
        )
        return f"layer of {self.layer} pixels: {', '.join(times)}"

    @property
    def best(self) -> Form:
        """The fastest, or the first if none is much faster."""
        best = min(self.times_s, key=self.times_s.__getitem__)
        return best if self.times_s[best] < _WORTH * self.times_s[FORMS[0]] else FORMS[0]


def tune(generator: Generator, engine: str, precision: str, batch: int) -> Iterator[Trial]:
    """Measure each layer that has several forms, with `batch` pictures, and give it its best.

    Raises InvalidRequest where no layer has, ExportError as the engine does.
    """
    if not isinstance(generator, StyleGAN2):
        raise InvalidRequest(f"{generator.family} has one form of each layer; leave out --tune")
    for resolution, layer in generator.upconvolutions.items():
        assert layer.doubling is not None
        alone = Alone(generator.config, layer)
        given = alone.example(resolution, batch)
        with tempfile.TemporaryDirectory() as folder:
            engines = compile_forms(alone, given, (engine, precision), Path(folder))
            trial = Trial(layer=str(resolution), times_s=_times(engines, given))
        layer.doubling.form = trial.best
        yield trial


def compile_forms(
    alone: "Alone", given: Mapping[str, Tensor], words: tuple[str, str], folder: Path
) -> dict[Form, Loaded]:
    """A layer as an engine (its name and precision) in each form, for inputs such as `given`.

    `folder` must stay while they run: a runtime may keep its files mapped, and read them late. So
    each form has its own in it.
    """
    assert alone.layer.doubling is not None
    made_by = runtime(*words)
    engines: dict[Form, Loaded] = {}
    for form in FORMS:
        alone.layer.doubling.form = form
        onnx, plan = folder / form / "graph.onnx", folder / form / made_by.FILE
        plan.parent.mkdir()
        graph.trace(alone, given, ("colours",), onnx)
        made_by.compile(onnx, plan, precision=words[1], max_batch=len(given["x"]))
        engines[form] = made_by.Engine(plan, precision=words[1])
    return engines


def _times(engines: Mapping[Form, Loaded], given: Mapping[str, Tensor]) -> dict[Form, float]:
    feeds = {name: value.numpy() for name, value in given.items()}
    turns: dict[Form, list[float]] = {form: [] for form in engines}
    for round_ in range(_ROUNDS + 1):
        for form, engine in engines.items():
            spent = _turn(engine, feeds)
            if round_:  # the first warms up
                turns[form].append(spent / len(given["x"]))
    return {form: statistics.median(spent) for form, spent in turns.items()}


def _turn(engine: Loaded, feeds: Mapping[str, NDArray[Any]]) -> float:
    """Seconds a run takes, over as many as it takes to tell."""
    runs, start = 0, time.perf_counter()
    while (spent := time.perf_counter() - start) < _TURN_S:
        engine.run(feeds)
        runs += 1
    return spent / runs


class Alone(nn.Module):
    """A layer and a reader of what it gives, so that its output is of the layer's precision."""

    def __init__(self, config: Config, layer: Convolution) -> None:
        super().__init__()
        self.layer = layer
        self.reader = ToRGB(config, layer.weight.shape[0]).eval().requires_grad_(False)

    def forward(self, *given: Tensor) -> Tensor:
        x, w, *noise = given
        colours: Tensor = self.reader(self.layer(x, w, noise[0] if noise else None), w)
        return colours

    def example(self, resolution: int, batch: int) -> dict[str, Tensor]:
        """Inputs by name, any numbers, for a layer that gives so many pixels."""
        inputs = self.layer.weight.shape[1]
        half, w_dim = resolution // 2, self.reader.affine.weight.shape[1]
        given = {"x": torch.randn(batch, inputs, half, half), "w": torch.randn(batch, w_dim)}
        if hasattr(self.layer, "noise_const"):
            given["noise"] = torch.randn(batch, 1, resolution, resolution)
        return given
