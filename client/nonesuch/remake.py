"""Pictures made again: the request of a recipe, and whether two files show the same."""

import base64
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nonesuch import wire
from nonesuch.card import Card
from nonesuch.contract import REQUEST, Tensor
from nonesuch.errors import InvalidRequest
from nonesuch.images import Picture, Pixels, decode, default_format
from nonesuch.options import JPEG

# Of two lossless files: in batches of unlike sizes, or in another engine, sums round apart. It is
# what a build may differ from the reference by: so many levels of 255, in that share of the values.
LEVELS, SHARE = 1, 0.001
# Of two lossy ones, whose encoders may be unlike: PSNR in every square of so many pixels.
LEAST_DB, SQUARE = 32.0, 16

_KEYS = 8  # rows by which a picture is looked for

_ARRAYS = {"z", "mix_z", "c", "ws", "ws_offset"}  # which recipes write as base64


def model(recipe: Mapping[str, Any]) -> str:
    """The name of a recipe's model; raises InvalidRequest if it has none."""
    if not isinstance(name := recipe.get("model"), str):
        raise InvalidRequest(f"the recipe's model is {_brief(name)}, expected a name")
    return name


def exchange(recipe: Mapping[str, Any], card: Card) -> wire.Exchange[Picture]:
    """The request that a recipe is the answer to.

    Raises InvalidRequest for a recipe of another model than the card's, or that is none.
    """
    for name, has in (
        ("model_hash", card.model_hash),
        ("directions_hash", card.directions_hash if "directions" in recipe else None),
        ("crop", card.crop),
        ("tile", card.tile),
    ):
        if (wanted := recipe.get(name)) != has:
            raise InvalidRequest(
                f"the recipe's {name} is {_brief(wanted)}, that of the served {card.name} is "
                f"{_brief(has)}"
            )
    values: wire.Settings = {
        tensor.name: _value(tensor, recipe[tensor.name], card)
        for tensor in REQUEST
        if tensor.name in recipe
    }
    values.setdefault("format", [default_format(card.channels)])
    try:
        request = wire.encode(card.name, [values], JPEG)
    except (ValueError, TypeError, OverflowError) as exc:
        raise InvalidRequest(f"the recipe holds what is no setting: {exc}") from exc
    return wire.Exchange(request, partial(wire.decode, model=card.name, part=[values], card=card))


def _value(tensor: Tensor, noted: Any, card: Card) -> Any:
    """A setting as it is sent, of what a recipe notes."""
    if tensor.name in _ARRAYS:
        values = _array(tensor.name, noted)
        return values if tensor.shape[0] != -1 or tensor.name == "c" else _rows(values, card)
    if tensor.name == "directions":
        noted = json.dumps(noted)
    return noted if isinstance(noted, list) else [noted]


def _array(name: str, noted: Any) -> NDArray[np.float32]:
    try:
        return np.frombuffer(base64.b64decode(noted, validate=True), "<f4")
    except (ValueError, TypeError) as exc:
        raise InvalidRequest(
            f"the recipe's {name} is {_brief(noted)}, expected base64 of float32"
        ) from exc


def _rows(values: NDArray[np.float32], card: Card) -> NDArray[np.float32]:
    if card.w_dim == 0 or len(values) % card.w_dim:
        raise InvalidRequest(f"the recipe has {len(values)} values in W, not rows of {card.w_dim}")
    return values.reshape(-1, card.w_dim)


def _brief(value: Any) -> str:
    return repr(value) if value is None or len(str(value)) < 24 else repr(str(value)[:12] + "…")


@dataclass(frozen=True, kw_only=True, slots=True)
class Likeness:
    """How like a file is to another of the same recipe."""

    same: bool
    how: str  # in words, with the figures


def compare(found: bytes, made: bytes, *, lossless: bool) -> Likeness:
    """Compare a file with the one that its recipe makes; raises RemoteError for a damaged one.

    Lossless ones may differ as `within` says. Of lossy ones the encoder may be another: they must
    be within `LEAST_DB` (PSNR) in every square of `SQUARE` pixels, so that a small change is not
    lost in a large picture.
    """
    if found == made:
        return Likeness(same=True, how="every byte")
    one, other = decode(found), decode(made)
    if one.shape != other.shape:
        sizes = " and ".join(f"{p.shape[1]}x{p.shape[0]}x{p.shape[2]}" for p in (one, other))
        return Likeness(same=False, how=f"sizes are {sizes}")
    if (one == other).all():
        return Likeness(same=True, how="every pixel")
    least_db, share = worst(one, other), (one != other).mean()
    return Likeness(
        same=within(one, other) if lossless else least_db >= LEAST_DB,
        how=f"{share:.2%} of the values differ, PSNR {least_db:.1f} dB in the worst square",
    )


def within(one: Pixels, other: Pixels) -> bool:
    """Whether pixels differ by no more than `LEVELS`, in no more than `SHARE` of their values."""
    apart = np.abs(one.astype(np.int16) - other)
    return bool(apart.max() <= LEVELS and np.count_nonzero(apart) <= SHARE * apart.size)


def shows(sheet: Pixels, picture: Pixels) -> bool:
    """Whether a picture lies somewhere on a sheet, [H, W, C] both, as `within` says."""
    if picture.shape[2] == 1:
        picture = np.repeat(picture, sheet.shape[2], axis=2)
    lively = np.argsort(picture.std(axis=(1, 2)))[::-1]
    return any(
        within(sheet[top : top + len(picture), left : left + picture.shape[1]], picture)
        for row in lively[:_KEYS]
        for top, left in _places(sheet, picture, int(row))
    )


def _places(sheet: Pixels, picture: Pixels, row: int) -> Iterator[tuple[int, int]]:
    """Where a picture could lie by one of its rows, top and left."""
    (height, _, channels), key = picture.shape, picture[row].tobytes()
    for top in range(len(sheet) - height + 1):
        line, at = sheet[top + row].tobytes(), -1
        while (at := line.find(key, at + 1)) >= 0:
            if at % channels == 0:
                yield top, at // channels


def worst(one: Pixels, other: Pixels) -> float:
    """The lowest PSNR of two pictures [H, W, C] over squares that cover them, in dB."""
    error = np.square(one.astype(np.float64) - other).mean(axis=2)
    height, width = error.shape
    starts = np.arange(0, height, SQUARE), np.arange(0, width, SQUARE)
    sums = np.add.reduceat(np.add.reduceat(error, starts[0], axis=0), starts[1], axis=1)
    counts = np.outer(*(np.diff([*s, n]) for s, n in zip(starts, error.shape, strict=True)))
    most = float((sums / counts).max())
    return 10 * math.log10(255**2 / most) if most else math.inf
