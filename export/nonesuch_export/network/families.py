"""Each family's network, and how one is made of a checkpoint and back."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from nonesuch_export.checkpoint import Checkpoint, Provenance
from nonesuch_export.network import progan, stylegan1, stylegan3
from nonesuch_export.network.generator import Generator
from nonesuch_export.network.layout import CONFIGS, check
from nonesuch_export.network.stylegan2 import StyleGAN2
from nonesuch_export.network.values import Configuration

# A family's configuration, and the network that is built of it.
FAMILIES: dict[str, tuple[type[Configuration], type[Generator]]] = {
    "progan": (CONFIGS["progan"], progan.ProGAN),
    "stylegan1": (CONFIGS["stylegan1"], stylegan1.StyleGAN1),
    "stylegan2": (CONFIGS["stylegan2"], StyleGAN2),
    "stylegan3": (CONFIGS["stylegan3"], stylegan3.StyleGAN3),
}


def build(checkpoint: Checkpoint) -> Generator:
    """The generator of a checkpoint, float32 on the CPU, ready to evaluate; raises as `check`."""
    network = _made(checkpoint.family, check(checkpoint))
    network.load_state_dict({n: _loaded(checkpoint.arrays[n]) for n in network.state_dict()})
    return network.eval().requires_grad_(False)


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


def untrained(family: str, config: Configuration, seed: int) -> Generator:
    """A generator of a family with the random weights that training starts from."""
    torch.manual_seed(seed)
    return _made(family, config).eval().requires_grad_(False)


def _made(family: str, config: Configuration) -> Generator:
    network: Callable[[Configuration], Generator] = FAMILIES[family][1]
    return network(config)


def _loaded(array: Any) -> torch.Tensor:
    return torch.from_numpy(np.array(array, dtype=np.float32))  # a copy: torch wants it writable
