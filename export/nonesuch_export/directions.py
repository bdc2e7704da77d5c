"""Named directions in W: kept in a file, and bound to one model.

A direction's vector is what a weight of 1 adds to some rows of ws: one standard deviation of its
attribute over the model's own pictures. Its readout goes the other way: the score of a w,
(w - centre) · readout, says how many standard deviations of the attribute it has. The file is
safetensors with JSON metadata; it names the model by its hash, and another model's directions are
refused.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as serialized

from nonesuch import files
from nonesuch.card import Direction
from nonesuch.errors import CheckpointError, InvalidRequest, UnsupportedCheckpoint
from nonesuch.layers import select

_KEY = "nonesuch"
_FORMAT = 2
_TENSORS = ("vectors", "readouts", "centre")
_MOST = 1000  # directions of one model
_SAME = 0.01  # by which scores may differ for two centres to count as one

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class Directions:
    """The directions of one model; the order of names and vectors is the same."""

    model_hash: str  # `Checkpoint.digest()` of the model that they belong to
    named: tuple[Direction, ...]
    vectors: Floats  # [D, w_dim]
    readouts: Floats  # [D, w_dim]
    centre: Floats  # [w_dim], the mean of the model's own w

    def digest(self) -> str:
        """SHA-256 over names, rows and values: equal where weights and scores mean the same."""
        rows = [(d.name, d.first, d.last) for d in self.named]
        digest = hashlib.sha256(json.dumps(rows).encode())
        for values in (self.vectors, self.readouts, self.centre):
            digest.update(np.ascontiguousarray(values, "<f4").data)
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

    def joined(self, more: "Directions") -> "Directions":
        """These and then those of another file for the same model.

        Raises UnsupportedCheckpoint where a name is in both, or scores count from elsewhere.
        """
        if both := sorted({d.name for d in self.named} & {d.name for d in more.named}):
            raise UnsupportedCheckpoint(f"the direction {both[0]!r} is in another file already")
        readouts = np.concatenate([self.readouts, more.readouts])
        if np.abs(readouts @ (self.centre - more.centre)).max(initial=0) > _SAME:
            raise UnsupportedCheckpoint(
                "the scores count from another centre of w than those of the other files: find "
                "the directions anew"
            )
        return Directions(
            model_hash=self.model_hash,
            named=self.named + more.named,
            vectors=np.concatenate([self.vectors, more.vectors]),
            readouts=readouts,
            centre=self.centre,
        )


def write(directions: Directions, path: Path) -> None:
    """Write the file, whole or not at all; raises OutputError where the system refuses."""
    described = {
        "format": _FORMAT,
        "model_hash": directions.model_hash,
        "directions": [asdict(direction) for direction in directions.named],
    }
    tensors = {
        name: np.ascontiguousarray(getattr(directions, name), np.float32) for name in _TENSORS
    }
    files.save(path, serialized(tensors, metadata={_KEY: json.dumps(described)}))


def read(path: Path) -> Directions:
    """Read what `write` wrote.

    Raises CheckpointError where the file is damaged or cannot be read, UnsupportedCheckpoint where
    it holds something else.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {}).get(_KEY, "{}")
            there = set(file.keys())
            tensors = {name: file.get_tensor(name) for name in _TENSORS if name in there}
            described = json.loads(text)
    except OSError as exc:
        raise CheckpointError(f"{path} cannot be read: {exc.strerror or exc}") from exc
    except (SafetensorError, ValueError, RecursionError, TypeError) as exc:
        raise CheckpointError(f"{path} is no file of directions: {str(exc)[:120]}") from exc
    try:
        return _checked(described, tensors)
    except CheckpointError as exc:
        raise type(exc)(f"{path}: {exc}") from exc


def _checked(described: Any, tensors: dict[str, Any]) -> Directions:
    match described:
        case {"format": 2, "model_hash": str(model_hash), "directions": list(items)}:
            named = tuple(_direction(item) for item in items[:_MOST])
        case {"format": 1}:
            raise UnsupportedCheckpoint(
                "this file is of an older nonesuch and cannot tell scores: find the directions anew"
            )
        case {"format": int(number)} if number > _FORMAT:
            raise UnsupportedCheckpoint("the file's format is newer; update nonesuch")
        case _:
            raise UnsupportedCheckpoint("this file holds no directions")
    if not (_sound(tensors, len(named)) and len(items) == len({d.name for d in named}) > 0):
        raise CheckpointError("the vectors of the directions are damaged")
    return Directions(model_hash=model_hash, named=named, **tensors)


def _sound(tensors: dict[str, Any], count: int) -> bool:
    """Whether all tensors are there, finite, and of shapes that belong together."""
    if set(tensors) != set(_TENSORS):
        return False
    width = tensors["centre"].shape[-1:]
    shapes = {"vectors": (count, *width), "readouts": (count, *width), "centre": width}
    return all(
        tensors[name].dtype == np.float32
        and tensors[name].shape == shape
        and bool(np.isfinite(tensors[name]).all())
        for name, shape in shapes.items()
    )


def _direction(item: Any) -> Direction:
    match item:
        case {"name": str(name), "first": int(first), "last": int(last)} if 0 <= first <= last:
            if not _is_name(name):
                raise UnsupportedCheckpoint(f"{name[:40]!r} is no name for a direction")
            about, effect = item.get("about", ""), item.get("effect", {})
            if isinstance(about, str) and _are_numbers(effect):
                return Direction(name=name, first=first, last=last, about=about, effect=effect)
    raise CheckpointError(f"a direction is described as {str(item)[:80]}")


def _are_numbers(effect: Any) -> bool:
    return isinstance(effect, dict) and all(
        isinstance(name, str) and isinstance(value, int | float) for name, value in effect.items()
    )


def check_names(names: Sequence[str]) -> None:
    """Raise InvalidRequest unless they can name directions, each another one."""
    for name in names:
        if not _is_name(name):
            raise InvalidRequest(f"{name[:40]!r} is no name for a direction: no comma, no =")
        if names.count(name) > 1:
            raise InvalidRequest(f"two directions are called {name[:40]!r}")


def _is_name(name: str) -> bool:
    return name != "" and not any(sign in name for sign in ",=")


def span(text: str, resolutions: Sequence[int]) -> range:
    """The rows of ws that a text names, which must be one piece.

    Raises InvalidRequest for what `layers.select` refuses, for no row and for a gap.

    >>> span("middle", [4, 8, 8, 16, 16, 32])
    range(3, 6)
    """
    if not resolutions:
        raise UnsupportedCheckpoint("the model has no ws, in which a direction could lead")
    rows = [row for row, chosen in enumerate(select(text, resolutions)) if chosen]
    if not rows or rows[-1] - rows[0] >= len(rows):
        raise InvalidRequest(f"the layers {text[:40]!r} are not one span of rows, such as 4-7")
    return range(rows[0], rows[-1] + 1)


def spans(
    places: Sequence[str], names: Sequence[str], resolutions: Sequence[int]
) -> dict[str, range]:
    """The rows of each direction by its name, from texts `LAYERS` (of all) and `NAME=LAYERS`.

    Raises InvalidRequest as `span` does, and for a name that is none of them.

    >>> spans(["coarse", "smile=3-4"], ["age", "smile"], [4, 8, 8, 16, 16, 32])
    {'age': range(0, 3), 'smile': range(3, 5)}
    """
    rows = dict.fromkeys(names, span("all", resolutions))
    for place in sorted(places, key=lambda place: "=" in place):
        name, _, text = place.rpartition("=")
        if name and name not in rows:
            raise InvalidRequest(f"no attribute is called {name[:40]!r}: {', '.join(names)[:80]}")
        rows |= dict.fromkeys([name] if name else names, span(text, resolutions))
    return rows
