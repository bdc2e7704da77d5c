"""What do 8-bit convolutions gain here in speed, and lose in the picture?

    python loadtest/bench_int8.py demo/portraits.safetensors

Static quantisation of all dense convolutions of 3x3, weights by output channel, activations by
tensor with ranges from some seeds (onnxruntime.quantization, QDQ). ONNX Runtime and OpenVINO both
compute such graphs in integers.
"""

import itertools
import math
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

from nonesuch_export import graph, network, parity
from nonesuch_export.checkpoint import read
from nonesuch_export.engine import ENGINES, Loaded
from nonesuch_export.network import Generator

Feeds = dict[str, NDArray[Any]]
_SEEDS, _CALIBRATION = range(8), range(100, 116)  # of the comparison, and of the ranges
_ROUNDS = 7


class _Reader:
    """Inputs by seed, one after the other, as the quantiser asks for them."""

    def __init__(self, generator: Generator) -> None:
        self._feeds: Iterator[Feeds] = (_feeds(generator, [seed]) for seed in _CALIBRATION)

    def get_next(self) -> Feeds | None:
        return next(self._feeds, None)


def _feeds(generator: Generator, seeds: list[int]) -> Feeds:
    given, _ = parity.settings(generator, seeds)
    return {name: value.numpy() for name, value in given.items()}


def _quantised(generator: Generator, source: Path, target: Path, method: CalibrationMethod) -> None:
    model = onnx.load(source)
    shapes = {i.name: list(i.dims) for i in model.graph.initializer}
    dense = [
        node.name
        for node in model.graph.node
        if node.op_type in {"Conv", "ConvTranspose"}
        and shapes[node.input[1]][1] > 1
        and shapes[node.input[1]][2] > 1
    ]
    quantize_static(
        source,
        target,
        _Reader(generator),
        quant_format=QuantFormat.QDQ,
        nodes_to_quantize=dense,
        per_channel=True,
        activation_type=QuantType.QInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=method,
        extra_options={"ActivationSymmetric": True},
    )


def _psnr(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> list[float]:
    """Of each picture, in dB."""
    squares = np.square(one.astype(np.float64) - other).mean((1, 2, 3))
    return [10 * math.log10(255**2 / max(float(square), 1e-9)) for square in squares]


def _rates(engines: dict[str, Loaded], feeds: Feeds) -> dict[str, float]:
    """Pictures a second, batches of four."""
    four = {name: value[:4] for name, value in feeds.items()}
    turns: dict[str, list[float]] = {name: [] for name in engines}
    for turn, (name, engine) in itertools.product(range(_ROUNDS + 1), engines.items()):
        start = time.perf_counter()
        engine.run(four)
        if turn:
            turns[name].append(4 / (time.perf_counter() - start))
    return {name: statistics.median(rates) for name, rates in turns.items()}


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--engine", type=click.Choice(["openvino", "onnxruntime"]), default="openvino")
def main(*, file: Path, engine: str) -> None:
    """Speed and PSNR of FILE's generator in 8 bits, beside the engine's other precisions."""
    generator = network.build(read(file))
    feeds = _feeds(generator, list(_SEEDS))
    module = ENGINES[engine]
    engines: dict[str, Loaded] = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        whole, used_up = folder / "whole.onnx", folder / "graph.onnx"
        graph.export(generator, whole)
        for precision in module.PRECISIONS:
            used_up.write_bytes(whole.read_bytes())
            plan = folder / precision / module.FILE
            plan.parent.mkdir()
            module.compile(used_up, plan, precision=precision, max_batch=8)
            engines[precision] = module.Engine(plan, precision=precision)
        for method in (CalibrationMethod.MinMax, CalibrationMethod.Percentile):
            _quantised(generator, whole, used_up, method)
            plan = folder / method.name / module.FILE
            plan.parent.mkdir()
            module.compile(used_up, plan, precision="fp32", max_batch=8)
            name = f"int8, {method.name}"
            engines[name] = module.Engine(plan, precision="fp32")
        pipeline = graph.Pipeline(generator)
        with torch.inference_mode():
            reference = pipeline(*(torch.from_numpy(feeds[n]) for n in pipeline.names)).numpy()
        rates = _rates(engines, feeds)
        for name, loaded in engines.items():
            psnr = _psnr(reference, loaded.run(feeds))
            click.echo(
                f"{engine} {name}: {rates[name]:.2f} img/s, PSNR {min(psnr):.1f} dB at worst, "
                f"{statistics.mean(psnr):.1f} dB on average"
            )


if __name__ == "__main__":
    main()
