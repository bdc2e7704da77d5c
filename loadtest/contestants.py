"""Contestants: the ways to compute a generator that `bench_engines` compares, and their sizes."""

import functools
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import published
from grouped import Grouped
from inserted import Inserted
from nonesuch.latents import latent
from nonesuch_export import graph, network
from nonesuch_export.checkpoint import native, read
from nonesuch_export.engine import ENGINES
from nonesuch_export.network import aliasfree
from nonesuch_export.network.config import Config

MODEL = "model.safetensors"
FAMILIES = ("stylegan2", "stylegan3-t", "stylegan3-r")
SIDE = 2048  # of the matrices whose product is the peak
GROUPED, PRODUCT = "PyTorch, grouped convolutions", "matrix product"
_OURS = "PyTorch, our form"
_PLANS = (("onnxruntime", "fp32"), ("openvino", "fp32"), ("openvino", "bf16"))

Sizes = Config | aliasfree.Config
Work = Callable[[int], object]  # makes so many pictures at once


@dataclass(frozen=True, slots=True)
class Contestant:
    """One way to compute, in one precision."""

    name: str
    precision: str
    make: Callable[[Path], Work]  # of the model in a folder


def _grouped(folder: Path) -> Work:
    checkpoint = read(folder / MODEL)
    arrays, config = checkpoint.arrays, checkpoint.config
    if checkpoint.family == "stylegan3":
        drawn: Grouped | Inserted = Inserted(config, arrays)
    else:
        drawn = Grouped(arrays, config["resolution"])
    z_dim = config["z_dim"]
    return _inferred(lambda batch: drawn(torch.from_numpy(_latents(batch, z_dim))))


def _ours(folder: Path) -> Work:
    pipeline = graph.Pipeline(network.build(read(folder / MODEL)))
    return _inferred(lambda batch: pipeline(*map(torch.from_numpy, _feeds(folder, batch).values())))


def _engine(name: str, precision: str, folder: Path) -> Work:
    module = ENGINES[name]
    engine = module.Engine(_plan(folder, name, precision), precision=precision)
    return lambda batch: engine.run(_feeds(folder, batch))


def _product(precision: str, _: Path) -> Work:
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    one, two = (torch.randn(SIDE, SIDE).to(kind) for _ in range(2))
    return lambda _: torch.mm(one, two)


CONTESTANTS = (
    Contestant(PRODUCT, "fp32", functools.partial(_product, "fp32")),
    Contestant(PRODUCT, "bf16", functools.partial(_product, "bf16")),
    Contestant(GROUPED, "fp32", _grouped),
    Contestant(_OURS, "fp32", _ours),
    *(Contestant(*words, functools.partial(_engine, *words)) for words in _PLANS),
)


def _inferred(work: Work) -> Work:
    def wrapped(batch: int) -> object:
        with torch.inference_mode():
            return work(batch)

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


def prepare(folder: Path, config: Sizes) -> None:
    """Write an untrained model of this size, and its plans as today's code makes them."""
    folder.mkdir(parents=True, exist_ok=True)
    family = "stylegan2" if isinstance(config, Config) else "stylegan3"
    generator = network.untrained(family, config, 0)
    native.write(network.freeze(generator, "random"), folder / MODEL)
    whole, used_up = folder / "whole.onnx", folder / "graph.onnx"
    graph.export(generator, whole)
    for name, precision in _PLANS:
        plan = _plan(folder, name, precision)
        plan.parent.mkdir(exist_ok=True)
        shutil.copyfile(whole, used_up)
        ENGINES[name].compile(used_up, plan, precision=precision, max_batch=8)


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
