"""Settings that differ from picture to picture: drawn from a range, always alike for a seed."""

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from nonesuch.card import Card
from nonesuch.contract import FACTOR, SEEDS
from nonesuch.errors import InvalidRequest
from nonesuch.options import Noise, Sample, Truncation

_FACTORS = ("psi", "noise_scale")
_LARGEST = {"class": 2**31 - 1, "noise_seed": SEEDS - 1}  # those in whole numbers
_DIGITS = 4  # after the point, so that recipes stay readable
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)"
_TEXT = re.compile(rf"([^=\s]+)=({_NUMBER})\.\.({_NUMBER})", re.ASCII)


@dataclass(frozen=True, kw_only=True, slots=True)
class Vary:
    """A setting with a range: `psi`, `noise_scale`, `noise_seed`, `class` or a direction's name.

    The value of seed s is low + u · (high - low), rounded to 4 digits, where u is the first 8
    bytes, big-endian, of SHA-256 over the text `NAME:s`, divided by 2⁶⁴. `noise_seed` and `class`
    are whole numbers, both ends included: low + ⌊u · (high - low + 1)⌋.
    """

    name: str
    low: float
    high: float

    def __post_init__(self) -> None:
        most = float(_LARGEST.get(self.name, FACTOR))
        least = 0.0 if self.whole else -FACTOR
        for end in (self.low, self.high):
            if not (math.isfinite(end) and least <= end <= most):
                raise InvalidRequest(f"{self.name} is {end:g}, expected {least:g} to {most:g}")
            if self.whole and end != int(end):
                raise InvalidRequest(f"{self.name} is {end:g}, expected a whole number")
        if self.low >= self.high:
            raise InvalidRequest(
                f"{self.name} goes from {self.low:g} to {self.high:g}, expected the lower end first"
            )

    @classmethod
    def parse(cls, text: str) -> "Vary":
        """Read `NAME=LOW..HIGH`.

        >>> Vary.parse("psi=0.5..1")
        Vary(name='psi', low=0.5, high=1.0)
        """
        if not (found := _TEXT.fullmatch(text)):
            raise InvalidRequest(f"cannot read {text!r}, expected NAME=LOW..HIGH as in psi=0.5..1")
        return cls(name=found[1], low=float(found[2]), high=float(found[3]))

    @property
    def whole(self) -> bool:
        return self.name in _LARGEST

    def value(self, seed: int) -> float:
        """What the setting is for a seed.

        >>> Vary.parse("psi=0.5..1").value(85), Vary.parse("class=0..9").value(85)
        (0.8644, 9)
        """
        digest = hashlib.sha256(f"{self.name}:{seed}".encode()).digest()
        share = int.from_bytes(digest[:8], "big") / 2**64
        if self.whole:
            return int(self.low) + math.floor(share * (int(self.high) - int(self.low) + 1))
        return round(self.low + share * (self.high - self.low), _DIGITS)

    def __str__(self) -> str:
        return f"{self.low:g}..{self.high:g}"


def check(varied: Sequence[Vary], like: Sample, card: Card) -> None:
    """Raise InvalidRequest where the card's model, or a fixed setting, does not allow a range."""
    names = [vary.name for vary in varied]
    for vary in varied:
        if names.count(vary.name) > 1:
            raise InvalidRequest(f"{vary.name} varies twice, give one range")
        if vary.name not in {*_FACTORS, *_LARGEST}:
            card.direction(vary.name)
        if vary.name in (like.directions or {}):
            raise InvalidRequest(f"{vary.name} is set and varies, remove one of the two")
    fixed = {
        "class": like.class_idx is not None or like.class_weights is not None,
        "noise_seed": like.noise.seed is not None,
        "psi": like.truncation is not None and like.truncation.psi != 1.0,
        "noise_scale": like.noise.scale != 1.0,
    }
    for name, is_set in fixed.items():
        if is_set and name in names:
            raise InvalidRequest(f"{name} is set and varies, remove one of the two")


def varied(like: Sample, seed: int, ranges: Sequence[Vary]) -> Sample:
    """The sample of a seed: settings as those of `like`, with what varies drawn."""
    values = {vary.name: vary.value(seed) for vary in ranges}
    return replace(
        like,
        seed=seed,
        truncation=_truncation(like.truncation, values.pop("psi", None)),
        class_idx=_whole(values.pop("class", like.class_idx)),
        noise=_noise(
            like.noise,
            values.pop("noise_scale", None),
            _whole(values.pop("noise_seed", None)),
        ),
        directions=_directions(like.directions, values),
    )


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def _truncation(fixed: Truncation | None, psi: float | None) -> Truncation | None:
    return fixed if psi is None else replace(fixed or Truncation(), psi=psi)


def _noise(fixed: Noise, scale: float | None, seed: int | None) -> Noise:
    if scale is not None:
        fixed = replace(fixed, scale=scale)
    return fixed if seed is None else replace(fixed, mode="random", seed=seed)


def _directions(
    fixed: Mapping[str, float] | None, drawn: Mapping[str, float]
) -> Mapping[str, float] | None:
    return {**(fixed or {}), **drawn} if drawn else fixed
