"""Contestants: the ways to compute a generator that `bench_engines` compares, and their sizes."""

import functools
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import published
from grouped import Grouped
from inserted import Inserted
from nonesuch.errors import ExportError
from nonesuch.latents import latent
from nonesuch_export import graph, network
from nonesuch_export.checkpoint import native, read
from nonesuch_export.engine import ENGINES
from nonesuch_export.network import aliasfree
from nonesuch_export.network.config import Config

MODEL = "model.safetensors"
FAMILIES = ("stylegan2", "stylegan3-t", "stylegan3-r")
SIDE = {"cpu": 2048, "cuda": 8192}  # of the matrices whose product is the peak
GROUPED, PRODUCT = "PyTorch, grouped convolutions", "matrix product"
COPY = "copy"
COPIED = 2**26  # numbers of four bytes that one copy moves
_OURS = "PyTorch, our form"
_COMPILED = "PyTorch, our form compiled"
_PLANS = {
    "cpu": (("onnxruntime", "fp32"), ("openvino", "fp32"), ("openvino", "bf16")),
    "cuda": (
        ("onnxruntime-cuda", "fp32"),
        ("onnxruntime-cuda", "fp16"),
        ("tensorrt", "fp32"),
        ("tensorrt", "fp16"),
    ),
}
_PRODUCTS = {"cpu": ("fp32", "bf16"), "cuda": ("fp32", "fp16")}
_TYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}

Sizes = Config | aliasfree.Config
Work = Callable[[int], object]  # makes so many pictures at once


@dataclass(frozen=True, slots=True)
class Contestant:
    """One way to compute, in one precision."""

    name: str
    precision: str
    make: Callable[[Path], Work]  # of the model in a folder


def _grouped(device: str, precision: str, folder: Path) -> Work:
    checkpoint = read(folder / MODEL)
    arrays, config = checkpoint.arrays, checkpoint.config
    half = precision == "fp16"
    drawn: Grouped | Inserted
    if checkpoint.family == "stylegan3":
        drawn = Inserted(config, arrays)
    else:
        drawn = Grouped(arrays, config["resolution"], device, half=half)
    z_dim = config["z_dim"]
    return _inferred(
        device, lambda batch: drawn(torch.from_numpy(_latents(batch, z_dim)).to(device))
    )


def _ours(device: str, folder: Path, *, compiled: bool = False) -> Work:
    pipeline: Any = graph.Pipeline(network.build(read(folder / MODEL))).to(device)
    if compiled:  # with CUDA graphs, for each batch size anew
        pipeline = torch.compile(pipeline, mode="reduce-overhead", dynamic=False)

    def work(batch: int) -> object:
        feeds = _feeds(folder, batch).values()
        return pipeline(*(torch.from_numpy(value).to(device) for value in feeds))

    return _inferred(device, work)


def _engine(name: str, precision: str, folder: Path) -> Work:
    module = ENGINES[name]
    engine = module.Engine(_plan(folder, name, precision), precision=precision)
    return lambda batch: engine.run(_feeds(folder, batch))


def _product(device: str, precision: str, _: Path) -> Work:
    side = SIDE[device]
    one, two = (torch.randn(side, side).to(device, _TYPES[precision]) for _ in range(2))
    return _inferred(device, lambda _: torch.mm(one, two))


def _copy(device: str, _: Path) -> Work:
    source = torch.zeros(COPIED, device=device)
    target = torch.empty_like(source)
    return _inferred(device, lambda _: target.copy_(source))


def contestants(device: str) -> tuple[Contestant, ...]:
    """All that take part on "cpu" or "cuda", with what they are compared with in front."""
    plans = [Contestant(*words, partial(_engine, *words)) for words in _PLANS[device]]
    ours = Contestant(_OURS, "fp32", partial(_ours, device))
    kinds = _PRODUCTS[device]
    products = [Contestant(PRODUCT, kind, partial(_product, device, kind)) for kind in kinds]
    usual = [Contestant(GROUPED, "fp32", partial(_grouped, device, "fp32"))]
    if device == "cuda":
        usual.append(Contestant(GROUPED, "fp16", partial(_grouped, device, "fp16")))
        plans.insert(0, Contestant(_COMPILED, "fp32", partial(_ours, device, compiled=True)))
    return (*products, Contestant(COPY, "", partial(_copy, device)), *usual, ours, *plans)


def _inferred(device: str, work: Work) -> Work:
    """Without gradients, and to the end: a GPU only notes what it is given."""

    def wrapped(batch: int) -> None:
        with torch.inference_mode():
            work(batch)
        if device == "cuda":
            torch.cuda.synchronize()

    return wrapped


def _latents(batch: int, z_dim: int) -> NDArray[np.float32]:
    return np.concatenate([latent(seed, z_dim) for seed in range(batch)])


@functools.cache
def _feeds(folder: Path, batch: int) -> dict[str, NDArray[Any]]:
    """The graph's inputs with every control at rest, in its order."""
    generator = network.build(read(folder / MODEL))
    z = torch.from_numpy(_latents(batch, generator.config.z_dim))
    return {name: value.numpy() for name, value in graph.neutral(generator, z).items()}


def _plan(folder: Path, name: str, precision: str) -> Path:
    return folder / f"{name}-{precision}" / ENGINES[name].FILE


def prepare(folder: Path, config: Sizes, device: str, most: int) -> dict[tuple[str, str], str]:
    """Write an untrained model of this size, and its plans for batches of up to `most`.

    As today's code makes them. Returns why a plan could not be made, by engine and precision.
    """
    folder.mkdir(parents=True, exist_ok=True)
    family = "stylegan2" if isinstance(config, Config) else "stylegan3"
    generator = network.untrained(family, config, 0)
    native.write(network.freeze(generator, "random"), folder / MODEL)
    whole, used_up = folder / "whole.onnx", folder / "graph.onnx"
    graph.export(generator, whole)
    refused = {}
    for name, precision in _PLANS[device]:
        plan = _plan(folder, name, precision)
        plan.parent.mkdir(exist_ok=True)
        shutil.copyfile(whole, used_up)
        try:
            ENGINES[name].compile(used_up, plan, precision=precision, max_batch=most)
        except ExportError as exc:
            refused[name, precision] = str(exc)
    return refused


def sized(family: str, resolution: int) -> Sizes:
    """The sizes of one of FAMILIES that its authors publish."""
    if family == "stylegan2":
        return Config.sized(resolution=resolution, classes=0, channel_base=None, channel_max=512)
    return published.sized(resolution, family[-1].upper())


def multiply_adds(config: Sizes) -> int:
    """Of the convolutions for one picture, those that up-sample at the size of their input."""
    if isinstance(config, aliasfree.Config):
        return published.multiply_adds(config)
    total, before = 0, 0
    for resolution, width in zip(config.block_resolutions, config.widths, strict=True):
        area, taps = resolution**2, config.kernel_size**2
        up = before * width * taps * area // 4
        total += up + width * width * taps * area + width * config.channels * area
        before = width
    return total


def moved(config: Sizes, batch: int, precision: str) -> float | None:
    """Bytes for one picture that must pass through memory even if each layer's work is one kernel.

    Every convolution reads its input and weights and writes its output, once; a batch shares the
    weights. Maps are two bytes a number in half precision, as weights are.
    """
    if isinstance(config, aliasfree.Config):
        return None  # how its filters share what they read is not settled
    numbers, weights, before = 0, 0, 0
    for resolution, width in zip(config.block_resolutions, config.widths, strict=True):
        area, taps = resolution**2, config.kernel_size**2
        if before:
            numbers += before * area // 4 + width * area
            weights += before * width * taps
        numbers += 2 * width * area + width * area + config.channels * area
        weights += width * width * taps + width * config.channels
        before = width
    return (numbers + weights / batch) * (2 if precision in {"fp16", "bf16"} else 4)
