"""A model's own samples: the w that its mapping makes of seeds, and the pictures."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import one_hot

from nonesuch.errors import InvalidRequest, UnsupportedCheckpoint
from nonesuch.latents import latent
from nonesuch_export.graph import Pipeline, neutral
from nonesuch_export.network import Generator

SEEDS = 4096  # enough for a standard deviation to one per cent
PICTURES = 8  # at once
_BATCH = 2048

Doubles = NDArray[np.float64]


def sample(generator: Generator, seeds: Sequence[int] = range(SEEDS)) -> Doubles:
    """The w [N, w_dim] of seeds; a conditional model's classes take turns.

    Raises UnsupportedCheckpoint for a model without w.
    """
    parts = []
    for start in range(0, len(seeds), _BATCH):
        part = seeds[start : start + _BATCH]
        turns = torch.arange(start, start + len(part)) % max(generator.config.c_dim, 1)
        parts.append(_mapped(generator, latents(generator, part), _labels(generator, turns)))
    return np.concatenate(parts)


@dataclass(frozen=True, kw_only=True, slots=True)
class Conditions:
    """What pictures were drawn with, besides their seeds."""

    psi: float = 1.0  # truncation of all rows
    class_idx: int | None = None  # of a conditional model; None: c is all zeros, as served

    def check(self, generator: Generator) -> None:
        """Raise InvalidRequest where a model cannot be asked so."""
        c_dim = generator.config.c_dim
        if self.class_idx is not None and not 0 <= self.class_idx < c_dim:
            there = f"expected 0 to {c_dim - 1}" if c_dim else "but the model is unconditional"
            raise InvalidRequest(f"the class is {self.class_idx}, {there}")
        if self.psi != 1 and generator.w_avg is None:
            raise InvalidRequest(
                f"psi is {self.psi:g}, but the model has no average w to truncate towards"
            )


def drawn(
    generator: Generator, seeds: Sequence[int], conditions: Conditions
) -> Iterator[NDArray[np.uint8]]:
    """The pictures of seeds, as the reference draws them, uint8 [n, H, W, C] at a time."""
    pipeline = Pipeline(generator)
    for start in range(0, len(seeds), PICTURES):
        part = seeds[start : start + PICTURES]
        given = neutral(generator, latents(generator, part))
        if conditions.class_idx is not None:
            given["c"][:, conditions.class_idx] = 1
        if "psi" in given:
            given["psi"][:] = conditions.psi
        with torch.inference_mode():
            image: NDArray[np.uint8] = pipeline(*given.values()).numpy()
        yield image


def shown(generator: Generator, seeds: Sequence[int], conditions: Conditions) -> Doubles:
    """The w [N, w_dim] that such pictures are drawn from; raises as `sample` does."""
    turns = torch.full((len(seeds),), conditions.class_idx or 0)
    c = _labels(generator, turns)
    if c is not None and conditions.class_idx is None:
        c = torch.zeros_like(c)
    w = _mapped(generator, latents(generator, seeds), c)
    if generator.w_avg is None:
        return w
    w_avg = generator.w_avg.numpy().astype(np.float64)
    return w_avg + conditions.psi * (w - w_avg)


def latents(generator: Generator, seeds: Sequence[int]) -> Tensor:
    """The z [N, z_dim] of seeds."""
    z_dim = generator.config.z_dim
    return torch.from_numpy(np.concatenate([latent(seed, z_dim) for seed in seeds]))


def _labels(generator: Generator, classes: Tensor) -> Tensor | None:
    """c [N, c_dim] of classes [N], or None for an unconditional model."""
    c_dim = generator.config.c_dim
    return one_hot(classes, c_dim).float() if c_dim else None


def _mapped(generator: Generator, z: Tensor, c: Tensor | None) -> Doubles:
    if generator.mapping is None:
        raise UnsupportedCheckpoint(
            f"a {generator.config.title} has no w: it draws straight from z, and its layers take "
            "no styles"
        )
    with torch.inference_mode():
        w: Doubles = generator.mapping(z, c).numpy().astype(np.float64)
    return w
