"""What a checkpoint is, in the words of the field, and what is unusual about it."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from nonesuch_export import network
from nonesuch_export.checkpoint import Checkpoint
from nonesuch_export.network import Configuration


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """The facts that `nonesuch-export inspect` prints; sizes in pixels or numbers."""

    file: str
    format: str
    family: str
    architecture: str
    resolution: int  # of what it draws
    channels: int
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
    psi, cutoff = config.recommended
    return Summary(
        file=checkpoint.provenance.file,
        format=checkpoint.provenance.format,
        family=checkpoint.family,
        architecture=config.kind,
        resolution=config.resolution,
        channels=config.channels,
        z_dim=config.z_dim,
        w_dim=getattr(config, "w_dim", 0),
        c_dim=config.c_dim,
        num_ws=config.num_ws,
        mapping_layers=len(getattr(config, "mapping_widths", ())),
        noise_layers=config.noise_layers,
        parameters=checkpoint.parameters,
        psi=psi,
        cutoff=cutoff,
        licence=checkpoint.licence,
        about=checkpoint.about,
        sha256=checkpoint.provenance.sha256,
        model_hash=checkpoint.digest(),
        unusual=tuple(_unusual(checkpoint, config)),
    )


def _unusual(checkpoint: Checkpoint, config: Configuration) -> Iterator[str]:
    yield from checkpoint.provenance.remarks
    for name, usual in config.usual.items():
        if (value := getattr(config, name)) != usual:
            yield f"{name} is {value}, usually {usual}"
    if not getattr(config, "has_w_avg", True):
        yield "no average w is stored: the model cannot be truncated"
    if not getattr(config, "use_noise", True):
        yield "the layers have no noise"
    for name, values in checkpoint.arrays.items():
        if not np.isfinite(values).all():
            yield f"{name} holds values that are not finite"
        if values.dtype != np.float32:
            yield f"{name} is stored as {values.dtype}"
