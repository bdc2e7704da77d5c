"""Parity: the same pictures through torch and through an engine, counted in levels.

Each golden seed gets other settings and all go through in common batches, so that a control
that leaks from one sample to another shows as well.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nonesuch.contract import noise_shift
from nonesuch.errors import ExportError
from nonesuch.latents import latent
from nonesuch.options import Transform
from nonesuch_export.engine import runtime
from nonesuch_export.graph import Pipeline, neutral
from nonesuch_export.network import Generator
from nonesuch_export.seam import Tile, seam

GOLDEN_SEEDS = tuple(range(8))
_BATCH = 4
_MOVED = Transform(translate=(0.1, -0.2), rotate=30)


@dataclass(frozen=True, kw_only=True, slots=True)
class Tolerance:
    """How far 8-bit pictures may be from the reference's."""

    max_level: int  # largest difference of one value
    share: float  # of the values that differ at all
    psnr: float = 0.0  # dB


_HALF = Tolerance(max_level=255, share=1.0, psnr=40.0)
TOLERANCES = {
    # A float may sit beside an integer and fall on either side when it is cut off.
    "fp32": Tolerance(max_level=1, share=0.001),
    "bf16": _HALF,
    "fp16": _HALF,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """What one seed's picture differs by."""

    seed: int
    settings: str
    max_level: int
    share: float
    psnr: float | None  # dB; None = the pictures are equal
    seam: float  # of the engine's picture, along the axes that tile, or both if none does


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """The comparison of an engine with the torch reference (fp32)."""

    engine: str
    precision: str
    rows: tuple[Row, ...]
    tile: Tile | None = None

    @property
    def max_level(self) -> int:
        return max(row.max_level for row in self.rows)

    @property
    def share(self) -> float:
        return sum(row.share for row in self.rows) / len(self.rows)

    @property
    def psnr(self) -> float | None:
        """The worst seed's, in dB."""
        return min((row.psnr for row in self.rows if row.psnr is not None), default=None)

    @property
    def passed(self) -> bool:
        limit = TOLERANCES[self.precision]
        near = self.max_level <= limit.max_level and self.share <= limit.share
        return near and (self.psnr is None or self.psnr >= limit.psnr)

    @property
    def seam(self) -> float:
        """The worst seed's."""
        return max(row.seam for row in self.rows)

    def to_json(self) -> str:
        return json.dumps({**asdict(self), **self.summary()})

    def table(self) -> str:
        """The rows for people, with a verdict."""
        lines = [
            f"{'seed':>10}  {'settings':<24} {'max level':>9} {'differ':>9} {'PSNR':>9} {'seam':>7}"
        ]
        for row in self.rows:
            psnr = "equal" if row.psnr is None else f"{row.psnr:.1f} dB"
            lines.append(
                f"{row.seed:>10}  {row.settings:<24} {row.max_level:>9} {row.share:>9.4%} "
                f"{psnr:>9} {row.seam:>7.3f}"
            )
        verdict = "within" if self.passed else "NOT within"
        return "\n".join([*lines, f"{self.engine} {self.precision}: {verdict} tolerance"])

    @property
    def difference(self) -> str:
        """How far the pictures are apart, in a clause."""
        worst = "" if self.psnr is None else f" (PSNR {self.psnr:.1f} dB)"
        return (
            f"{self.engine} {self.precision} differs from the reference by up to {self.max_level} "
            f"levels on {self.share:.2%} of the values{worst}"
        )

    def summary(self) -> dict[str, Any]:
        """The figures of the card."""
        return {
            "seeds": len(self.rows),
            "max_level": self.max_level,
            "share": self.share,
            "psnr": self.psnr,
            "passed": self.passed,
            **({"seam": self.seam} if self.tile else {}),
        }


def compare(
    network: Generator,
    plan: Path,
    engine: str = "onnxruntime",
    precision: str = "fp32",
    seeds: Sequence[int] = GOLDEN_SEEDS,
) -> Report:
    """Run `seeds` through torch and through the file `plan`, made for `engine`."""
    loaded = runtime(engine, precision).Engine(plan, precision=precision)
    pipeline = Pipeline(network)
    rows: list[Row] = []
    for start in range(0, len(seeds), _BATCH):
        part = seeds[start : start + _BATCH]
        given, said = settings(network, part)
        with torch.inference_mode():
            reference = pipeline(*(given[name] for name in pipeline.names)).numpy()
        image = loaded.run({name: value.numpy() for name, value in given.items()})
        if image.shape != reference.shape or image.dtype != reference.dtype:
            raise ExportError(f"the engine answers {image.shape}, expected {reference.shape}")
        rows += [
            _row(seed, words, a, b, network.tile or "both")
            for seed, words, a, b in zip(part, said, reference, image, strict=True)
        ]
    return Report(engine=engine, precision=precision, rows=tuple(rows), tile=network.tile)


def settings(network: Generator, seeds: Sequence[int]) -> tuple[dict[str, Tensor], list[str]]:
    """The graph's inputs for golden seeds: seed n gets the n-th of eight settings, cyclically."""
    z_dim = network.config.z_dim
    z = torch.from_numpy(np.concatenate([latent(seed, z_dim) for seed in seeds]))
    given = neutral(network, z)
    if "mix_z" in given:
        given["mix_z"] = torch.from_numpy(np.concatenate([latent(s + 1, z_dim) for s in seeds]))
    if "c" in given:
        for i, seed in enumerate(seeds):
            given["c"][i, seed % given["c"].shape[1]] = 1
    return given, [_vary(network, given, i, seed) for i, seed in enumerate(seeds)]


def _vary(network: Generator, given: dict[str, Tensor], i: int, seed: int) -> str:
    """Change row i of the inputs as the seed says; returns the settings in words."""
    kind = seed % 8
    if kind == 1 and "psi" in given:
        given["psi"][i] = 0.7
        return "psi 0.7"
    if kind == 2 and "mix" in given:
        return _mix(network, given, i)
    if kind == 3 and "noise_scale" in given:
        given["noise_scale"][i] = 0
        return "noise off"
    if kind == 4 and "noise_shift" in given:
        for layer, stored in enumerate(network.noise_const):
            shift = noise_shift(seed, layer, stored.shape[0])
            given["noise_shift"][i, layer] = torch.tensor(shift, dtype=torch.int32)
        return f"noise seed {seed}"
    if kind == 5:  # the roots' epsilon keeps these from a division by zero
        given["z"][i] = 0
        return "z of zeros"
    if kind == 6 and "c" in given:
        given["c"][i] = 0
        return "no class"
    if kind == 7 and "transform" in given:
        given["transform"][i] = torch.tensor(_MOVED.matrix)
        return "moved and turned"
    return "neutral"


def _mix(network: Generator, given: dict[str, Tensor], i: int) -> str:
    """Mix row i, and truncate it towards the modes of both latents where there are modes."""
    crossover = network.num_ws // 2
    given["mix"][i, crossover:] = 1
    words = f"mixed from row {crossover}"
    if "modes" not in given:
        return words
    given["psi"][i], given["modes"][i] = 0.5, 1
    return f"{words}, modes"


def _row(seed: int, words: str, reference: NDArray[Any], image: NDArray[Any], tile: Tile) -> Row:
    difference = np.abs(reference.astype(np.int16) - image)
    mean_square = float(np.square(difference, dtype=np.float64).mean())
    return Row(
        seed=seed,
        settings=words,
        max_level=int(difference.max()),
        share=float((difference > 0).mean()),
        psnr=10 * math.log10(255**2 / mean_square) if mean_square else None,
        seam=round(seam(image, tile), 3),
    )
