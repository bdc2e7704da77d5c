"""What a run lets one say: a figure with the interval in which, 19 times of 20, the truth lies.

Percentiles: order statistics (H. A. David, Order Statistics, section 7.1), which assume nothing
of the distribution; a percentile without such an interval within the samples is not known. Means
of repeated windows: Student's t. Ratios: the method of variance estimates recovery, in logarithms
(A. Donner, G. Y. Zou, Statistical Methods in Medical Research 21, 2012). Shares: Wilson's
interval, and Newcombe's for their difference (R. G. Newcombe, Statistics in Medicine 17, 1998).
"""

import functools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nonesuch_loadtest.result import Window

_TAIL = 0.025  # the risk on either side
_Z = statistics.NormalDist().inv_cdf(1 - _TAIL)
_T_OF_FEW = {1: 12.7062, 2: 4.3027, 3: 3.1824, 4: 2.7764}  # by degrees of freedom


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """A figure and its interval at 95 %; low and high are NaN where one window tells no spread."""

    value: float
    low: float = math.nan
    high: float = math.nan

    @property
    def spread(self) -> float:
        """Half the interval's width as a share of the value; NaN without an interval."""
        return (self.high - self.low) / 2 / self.value if self.value else math.nan


def needed(percent: float) -> int:
    """How many samples know a percentile: in which the largest lies above it, 39 times of 40."""
    share = max(percent, 100 - percent) / 100
    return math.ceil(math.log(_TAIL) / math.log(share))


def percentile(windows: Sequence[Window], percent: float) -> Estimate | None:
    """Seconds of latency at `percent` of all requests; None where too few were made to know.

    Infinite where that many were not answered. The interval is that of the order statistics,
    widened to the spread between windows where each of them knows the percentile: requests that
    queue for one server are not independent.
    """
    total = Window.merged(windows)
    count = requests(total)
    if count < needed(percent):
        return None
    low, high = (ranked(total, rank) for rank in ranks(count, percent))
    value = total.percentile(percent)
    if len(windows) > 1 and all(requests(w) >= needed(percent) for w in windows):
        margin = _margin([w.percentile(percent) for w in windows])
        low, high = min(low, _above_0(value - margin)), max(high, value + margin)
    return Estimate(value=value, low=low, high=high)


def requests(window: Window) -> int:
    """How many were due in it, answered or not."""
    return len(window.latency) + len(window.failed)


def ranked(window: Window, rank: int) -> float:
    """Latency number `rank` from 1 in order of size, in seconds; failures are infinite."""
    return window.latency.at_rank(rank) if rank <= len(window.latency) else math.inf


@functools.lru_cache
def ranks(count: int, percent: float) -> tuple[int, int]:
    """Ranks from 1 of the two samples of `count` between which a percentile lies, at 95 %.

    `count` is at least `needed(percent)`.
    """
    share = percent / 100
    reach = 9 * math.sqrt(count * share * (1 - share)) + 9  # beyond it lies nothing to speak of
    first = max(0, math.floor(count * share - reach))
    below = np.arange(first, min(count, math.ceil(count * share + reach)) + 1)
    odds = np.log((count - below[:-1]) / (below[:-1] + 1)) + math.log(share / (1 - share))
    log_chance = np.concatenate([[0.0], np.cumsum(odds)])
    chance = np.exp(log_chance - log_chance.max())
    at_most = np.cumsum(chance / chance.sum())  # P(so many samples or fewer lie below it)
    low = first + int(np.searchsorted(at_most, _TAIL, side="right"))
    high = first + int(np.searchsorted(at_most, 1 - _TAIL, side="left")) + 1
    return max(1, low), min(count, high)


def mean(values: Sequence[float]) -> Estimate:
    """The mean of one figure of repeated windows, none of which is NaN; at least one value."""
    centre, margin = statistics.fmean(values), _margin(values)
    return Estimate(value=centre, low=_above_0(centre - margin), high=centre + margin)


def ratio(a: Estimate, b: Estimate) -> Estimate:
    """B's figure over A's; both are above 0."""
    if not (a.value > 0 and b.value > 0 and math.isfinite(a.value) and math.isfinite(b.value)):
        return Estimate(value=b.value / a.value if a.value else math.nan)
    below = math.hypot(_gap(b.low, b.value), _gap(a.value, a.high))
    above = math.hypot(_gap(b.value, b.high), _gap(a.low, a.value))
    value = b.value / a.value
    return Estimate(value=value, low=value * math.exp(-below), high=value * math.exp(above))


def share(count: int, total: int) -> Estimate:
    """`count` of `total`, as a share from 0 to 1; total is above 0."""
    p, z2 = count / total, _Z * _Z
    middle = (p + z2 / (2 * total)) / (1 + z2 / total)
    reach = _Z * math.sqrt(p * (1 - p) / total + z2 / (4 * total * total)) / (1 + z2 / total)
    return Estimate(
        value=p, low=max(0.0, min(p, middle - reach)), high=min(1.0, max(p, middle + reach))
    )


def difference(a: Estimate, b: Estimate) -> Estimate:
    """B's share less A's."""
    value = b.value - a.value
    below = math.hypot(b.value - b.low, a.high - a.value)
    above = math.hypot(b.high - b.value, a.value - a.low)
    return Estimate(value=value, low=value - below, high=value + above)


def _margin(values: Sequence[float]) -> float:
    if len(values) < 2:
        return math.nan
    if not all(map(math.isfinite, values)):
        return math.inf
    return _student(len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))


def _above_0(value: float) -> float:
    return 0.0 if value < 0 else value  # NaN stays


def _student(freedom: int) -> float:
    """Student's t at 97.5 % (Abramowitz and Stegun, 26.7.5, good to 0.1 % from 5 on)."""
    if freedom in _T_OF_FEW:
        return _T_OF_FEW[freedom]
    z, n = _Z, freedom
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / n + second / n**2 + third / n**3


def _gap(low: float, high: float) -> float:
    """How far apart two figures are, as a logarithm; infinite where either is not known."""
    return math.log(high / low) if low > 0 and high < math.inf else math.inf
