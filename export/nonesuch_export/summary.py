"""What a checkpoint is, in the words of the field, and what is unusual about it."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from nonesuch_export import network
from nonesuch_export.checkpoint import Checkpoint
from nonesuch_export.network import Config
from nonesuch_export.network.config import BINOMIAL

# The settings of nearly every published StyleGAN2; others are worth a remark.
_USUAL = {
    "architecture": "skip",
    "activation": "lrelu",
    "mapping_activation": "lrelu",
    "kernel_size": 3,
    "lr_multiplier": 0.01,
    "channels": 3,
    "resample_filter": BINOMIAL,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """The facts that `nonesuch-export inspect` prints; sizes in pixels or numbers."""

    file: str
    format: str
    family: str
    resolution: int
    channels: int
    architecture: str
    z_dim: int
    w_dim: int
    c_dim: int
    num_ws: int
    mapping_layers: int
    noise_layers: int
    parameters: int
    psi: float  # recommended truncation; 1 = off
    cutoff: int | None
    licence: str | None
    about: str | None
    sha256: str  # of the file
    model_hash: str  # of configuration and weights
    unusual: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def summarize(checkpoint: Checkpoint) -> Summary:
    """Describe a checkpoint; raises as `network.check` does."""
    config = network.check(checkpoint)
    return Summary(
        file=checkpoint.provenance.file,
        format=checkpoint.provenance.format,
        family=checkpoint.family,
        resolution=config.resolution,
        channels=config.channels,
        architecture=config.architecture,
        z_dim=config.z_dim,
        w_dim=config.w_dim,
        c_dim=config.c_dim,
        num_ws=config.num_ws,
        mapping_layers=len(config.mapping_widths),
        noise_layers=config.num_ws - 1 if config.use_noise else 0,
        parameters=checkpoint.parameters,
        psi=1.0,  # the authors' scripts truncate only when asked to
        cutoff=None,
        licence=checkpoint.licence,
        about=checkpoint.about,
        sha256=checkpoint.provenance.sha256,
        model_hash=checkpoint.digest(),
        unusual=tuple(_unusual(checkpoint, config)),
    )


def _unusual(checkpoint: Checkpoint, config: Config) -> Iterator[str]:
    yield from checkpoint.provenance.remarks
    for name, usual in _USUAL.items():
        if (value := getattr(config, name)) != usual:
            yield f"{name} is {value}, usually {usual}"
    if not config.has_w_avg:
        yield "no average w is stored: the model cannot be truncated"
    if not config.use_noise:
        yield "the layers have no noise"
    for name, values in checkpoint.arrays.items():
        if not np.isfinite(values).all():
            yield f"{name} holds values that are not finite"
        if values.dtype != np.float32:
            yield f"{name} is stored as {values.dtype}"
