"""Networks in torch, one architecture a module, made of a checkpoint and back."""

from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from nonesuch.errors import CheckpointError, UnsupportedCheckpoint
from nonesuch_export.checkpoint import Checkpoint, Provenance
from nonesuch_export.network.config import Config, channel_widths
from nonesuch_export.network.stylegan2 import Generator

__all__ = ["Config", "Generator", "build", "check", "freeze", "untrained"]


def build(checkpoint: Checkpoint) -> Generator:
    """The generator of a checkpoint, float32 on the CPU, ready to evaluate; raises as `check`."""
    network = Generator(check(checkpoint))
    network.load_state_dict({n: _loaded(checkpoint.arrays[n]) for n in network.state_dict()})
    return network.eval().requires_grad_(False)


def check(checkpoint: Checkpoint) -> Config:
    """The configuration of a checkpoint whose tensors fit it, names and shapes.

    Raises UnsupportedCheckpoint for a family or configuration that no network here computes,
    CheckpointError where a tensor is missing, left over or of another shape, each by name.
    """
    try:
        if checkpoint.family != Generator.family:
            family = checkpoint.family[:60]
            raise UnsupportedCheckpoint(f"there is no network for the family {family!r}")
        config = Config.from_json(checkpoint.config)
        with torch.device("meta"):  # shapes only, no memory
            expected = {n: tuple(v.shape) for n, v in Generator(config).state_dict().items()}
        _compare(expected, checkpoint)
    except CheckpointError as exc:
        raise type(exc)(f"{checkpoint.provenance.file}: {exc}") from exc
    return config


def freeze(
    network: Generator, source: str, *, licence: str | None = None, about: str | None = None
) -> Checkpoint:
    """The checkpoint of a network as it is now; `source` says where the weights come from."""
    return Checkpoint(
        family=network.family,
        config=asdict(network.config),
        arrays={name: value.numpy().copy() for name, value in network.state_dict().items()},
        provenance=Provenance(file=source, sha256="", format="memory"),
        licence=licence,
        about=about,
    )


def untrained(
    *, resolution: int, classes: int, channel_base: int | None, channel_max: int, seed: int
) -> Generator:
    """A generator with the random weights that training starts from.

    Without `channel_base` its widths are those that the authors' training takes for the
    resolution. Raises UnsupportedCheckpoint where no such network can be.
    """
    torch.manual_seed(seed)
    if channel_base is None:
        channel_base = 32768 if resolution >= 512 else 16384
    config = Config(
        resolution=resolution,
        widths=channel_widths(resolution, channel_base, channel_max),
        c_dim=classes,
        embed_width=512 if classes else 0,
    )
    return Generator(config).eval().requires_grad_(False)


def _compare(expected: dict[str, tuple[int, ...]], checkpoint: Checkpoint) -> None:
    arrays = checkpoint.arrays
    for name, shape in expected.items():
        if name not in arrays:
            raise CheckpointError(f"tensor {name} is missing")
        if arrays[name].shape != shape:
            raise CheckpointError(f"tensor {name} is {arrays[name].shape}, expected {shape}")
    for name in sorted(set(arrays) - set(expected)):
        raise UnsupportedCheckpoint(f"tensor {name[:80]!r} has no place in the network")


def _loaded(array: Any) -> torch.Tensor:
    return torch.from_numpy(np.array(array, dtype=np.float32))  # a copy: torch wants it writable
