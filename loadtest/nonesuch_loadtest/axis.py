"""Axes of plots: which values they reach, where their ticks stand, and how numbers are written."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

Scale = Literal["linear", "log", "nines"]
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_PREFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"))
_WIDE = 30.0  # values that span more than this factor get a logarithmic axis


@dataclass(frozen=True, kw_only=True, slots=True)
class Axis:
    """The values from `low` to `high` on a line.

    low < high; both are above 0 on a log scale and in 0…1 below 1 on that of nines, on which
    0.9, 0.99 and 0.999 lie equally far apart.
    """

    label: str
    low: float
    high: float
    scale: Scale = "linear"

    def at(self, value: float) -> float:
        """Where `value` lies, 0 at the low end and 1 at the high one; others are cut off."""
        low, high, x = (self._bent(v) for v in (self.low, self.high, self._held(value)))
        return (x - low) / (high - low)

    def ticks(self) -> list[float]:
        """Four to eight round values within the range."""
        if self.scale == "nines":
            return [v for v in (0.0, 0.5, 0.9, 0.99, 0.999, 0.9999) if self.low <= v <= self.high]
        if self.scale == "log":
            return _decades(self.low, self.high)
        step = _step((self.high - self.low) / 5)
        first = math.ceil(self.low / step - 1e-9)
        return [i * step for i in range(first, math.floor(self.high / step + 1e-9) + 1)]

    def text(self, value: float) -> str:
        """How a tick at `value` is marked."""
        return f"{100 * value:g} %" if self.scale == "nines" else short(value)

    def _held(self, value: float) -> float:
        return min(max(value, self.low), self.high)

    def _bent(self, value: float) -> float:
        if self.scale == "linear":
            return value
        return math.log10(value) if self.scale == "log" else -math.log10(1 - value)


def from_zero(label: str, values: Iterable[float], *, least: float = 0.0) -> Axis:
    """A linear axis from 0 to a round value at or above all `values` and `least`."""
    top = max([least, *values])
    if top <= 0:
        return Axis(label=label, low=0, high=1)
    step = _step(top / 5)
    return Axis(label=label, low=0, high=math.ceil(top / step - 1e-9) * step)


def fitting(label: str, values: Iterable[float]) -> Axis:
    """From 0 for values of one size; logarithmic for those that span orders of magnitude."""
    above = [value for value in values if value > 0]
    if not above or max(above) / min(above) <= _WIDE:
        return from_zero(label, above)
    low, high = _round_down(min(above)), _round_up(max(above))
    return Axis(label=label, low=low, high=high, scale="log")


def short(value: float) -> str:
    """Three digits at most, with a prefix from a thousand on: 0.25, 17.5, 1.2k."""
    for size, prefix in _PREFIXES:
        if abs(value) >= size:
            return f"{_plain(value / size)}{prefix}"
    return _plain(value)


def _plain(value: float) -> str:
    digits = 0 if value == 0 else 2 - math.floor(math.log10(abs(value)))
    text = f"{value:.{min(max(digits, 0), 6)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _step(width: float) -> float:
    """The smallest round number at or above `width`."""
    size = 10.0 ** math.floor(math.log10(width))
    return next(s * size for s in _STEPS if s * size >= width * (1 - 1e-9))


def _round_down(value: float) -> float:
    return max(tick for tick in _marks(value) if tick <= value * (1 + 1e-9))


def _round_up(value: float) -> float:
    return min(tick for tick in _marks(value) if tick >= value * (1 - 1e-9))


def _marks(value: float) -> Iterator[float]:
    size = 10.0 ** math.floor(math.log10(value))
    yield from (factor * size for factor in (0.5, 1.0, 2.0, 5.0, 10.0))


def _decades(low: float, high: float) -> list[float]:
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    parts = (1.0,) if len(exponents) > 4 else (1.0, 2.0, 5.0)
    ticks = [part * 10.0**e for e in exponents for part in parts]
    return [t for t in ticks if low * (1 - 1e-9) <= t <= high * (1 + 1e-9)]
