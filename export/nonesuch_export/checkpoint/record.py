"""Checkpoint: what every reader yields, whatever file it read."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, slots=True)
class Provenance:
    """Where a checkpoint's numbers come from."""

    file: str  # name without folders
    sha256: str  # of the file
    format: str  # "nvlabs", "native"
    remarks: tuple[str, ...] = ()  # what is unusual about the file


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """A generator's configuration and weights, still without a network.

    `config` is plain JSON data; the family's network refuses keys that it does not know.
    `arrays` maps the network's parameter names to read-only arrays.
    """

    family: str
    config: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]]
    provenance: Provenance
    licence: str | None = None  # of the weights
    about: str | None = None  # how they came about, in a sentence or two

    @property
    def parameters(self) -> int:
        """Number of stored values."""
        return sum(a.size for a in self.arrays.values())

    def digest(self) -> str:
        """SHA-256 over family, configuration and weights: equal however they were stored."""
        head = json.dumps([self.family, self.config], sort_keys=True)
        digest = hashlib.sha256(head.encode())
        for name in sorted(self.arrays):
            array = self.arrays[name]
            digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()
