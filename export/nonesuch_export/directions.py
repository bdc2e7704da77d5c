"""Named directions in W: found by regression, kept in a file, and bound to one model.

A direction's vector is what a weight of 1 adds to some rows of ws: one standard deviation of its
attribute over the model's own pictures. The file is safetensors with JSON metadata; it names the
model by its hash, and another model's directions are refused.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as serialized

from nonesuch import images
from nonesuch.card import Direction
from nonesuch.errors import CheckpointError, UnsupportedCheckpoint

_KEY = "nonesuch"
_FORMAT = 1
_VECTORS = "vectors"
_MOST = 1000  # directions of one model

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class Directions:
    """The directions of one model; the order of names and vectors is the same."""

    model_hash: str  # `Checkpoint.digest()` of the model that they belong to
    named: tuple[Direction, ...]
    vectors: Floats  # [D, w_dim]

    def digest(self) -> str:
        """SHA-256 over names, rows and vectors: equal where a weight has the same effect."""
        rows = [(d.name, d.first, d.last) for d in self.named]
        digest = hashlib.sha256(json.dumps(rows).encode())
        digest.update(np.ascontiguousarray(self.vectors, "<f4").data)
        return digest.hexdigest()

    def check(self, model_hash: str, num_ws: int, w_dim: int) -> None:
        """Raise UnsupportedCheckpoint unless they are those of this model."""
        if self.model_hash != model_hash:
            raise UnsupportedCheckpoint(
                f"the directions belong to the model {self.model_hash[:12]}…, this one is "
                f"{model_hash[:12]}…: find them anew for it"
            )
        if self.vectors.shape[1] != w_dim or any(d.last >= num_ws for d in self.named):
            raise UnsupportedCheckpoint(
                f"the directions do not fit ws of {num_ws} rows with {w_dim} values"
            )


def regress(w: Floats, labels: Floats) -> Floats:
    """Find the way through W that changes one label by one standard deviation and no other.

    w is [N, w_dim] of N samples and labels [N, K]; N must be well above w_dim. Least squares give
    each label's slope B over W; among all moves with the wanted effect on the slopes the one is
    taken that is likeliest under the samples' covariance S: S Bᵀ (B S Bᵀ)⁻¹. Returns [K, w_dim].
    """
    count = len(w)
    centred = w.astype(np.float64) - w.mean(axis=0, dtype=np.float64)
    scaled = labels.astype(np.float64) - labels.mean(axis=0, dtype=np.float64)
    scaled /= np.maximum(scaled.std(axis=0), 1e-12)
    slopes = np.linalg.lstsq(centred, scaled, rcond=1e-6)[0].T  # [K, w_dim]
    covariance = centred.T @ centred / count
    towards = slopes @ covariance  # [K, w_dim]
    effects = towards @ slopes.T  # [K, K]
    moves: Floats = np.linalg.solve(effects, towards).astype(np.float32)
    return moves


def write(directions: Directions, path: Path) -> None:
    """Write the file, whole or not at all; raises OutputError where the system refuses."""
    described = {
        "format": _FORMAT,
        "model_hash": directions.model_hash,
        "directions": [asdict(direction) for direction in directions.named],
    }
    vectors = np.ascontiguousarray(directions.vectors, np.float32)
    images.save(path, serialized({_VECTORS: vectors}, metadata={_KEY: json.dumps(described)}))


def read(path: Path) -> Directions:
    """Read what `write` wrote.

    Raises CheckpointError where the file is damaged or cannot be read, UnsupportedCheckpoint where
    it holds something else.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {}).get(_KEY, "{}")
            vectors = file.get_tensor(_VECTORS) if _VECTORS in file.keys() else None  # noqa: SIM118
            described = json.loads(text)
    except OSError as exc:
        raise CheckpointError(f"{path} cannot be read: {exc.strerror or exc}") from exc
    except (SafetensorError, ValueError, RecursionError, TypeError) as exc:
        raise CheckpointError(f"{path} is no file of directions: {str(exc)[:120]}") from exc
    try:
        return _checked(described, vectors)
    except CheckpointError as exc:
        raise type(exc)(f"{path}: {exc}") from exc


def _checked(described: Any, vectors: Any) -> Directions:
    match described:
        case {"format": 1, "model_hash": str(model_hash), "directions": list(items)}:
            named = tuple(_direction(item) for item in items[:_MOST])
        case {"format": int(number)} if number > _FORMAT:
            raise UnsupportedCheckpoint("the file's format is newer; update nonesuch")
        case _:
            raise UnsupportedCheckpoint("this file holds no directions")
    good = (
        isinstance(vectors, np.ndarray)
        and vectors.dtype == np.float32
        and vectors.ndim == 2
        and len(vectors) == len(items) == len({d.name for d in named})
        and bool(np.isfinite(vectors).all())
    )
    if not good:
        raise CheckpointError("the vectors of the directions are damaged")
    return Directions(model_hash=model_hash, named=named, vectors=vectors)


def _direction(item: Any) -> Direction:
    match item:
        case {"name": str(name), "first": int(first), "last": int(last)} if 0 <= first <= last:
            if not name or any(sign in name for sign in ",="):
                raise UnsupportedCheckpoint(f"{name[:40]!r} is no name for a direction")
            about, effect = item.get("about", ""), item.get("effect", {})
            if isinstance(about, str) and _are_numbers(effect):
                return Direction(name=name, first=first, last=last, about=about, effect=effect)
    raise CheckpointError(f"a direction is described as {str(item)[:80]}")


def _are_numbers(effect: Any) -> bool:
    return isinstance(effect, dict) and all(
        isinstance(name, str) and isinstance(value, int | float) for name, value in effect.items()
    )
