"""Spans of time, counted in bounded memory: HdrHistogram, mergeable, to three digits."""

import math
from collections.abc import Iterable, Iterator
from typing import Any, Self

import numpy as np
from hdrh.histogram import HdrHistogram

from nonesuch.errors import InvalidRequest

_UNIT_NS = 1_000  # it counts microseconds
_LONGEST = 3_600_000_000  # one hour, as MLPerf's and wrk2's
_DIGITS = 3


class Histogram:
    """Counts of spans from a microsecond to an hour, known to 0.1 %; longer ones count as that."""

    def __init__(self) -> None:
        self._counts: Any = HdrHistogram(1, _LONGEST, _DIGITS)  # it ships no types

    def record_ns(self, span_ns: int) -> None:
        """Count one span; below a microsecond it counts as one."""
        span = min(max(1, round(span_ns / _UNIT_NS)), _LONGEST)
        self._counts.record_value(span)

    def merge(self, other: "Histogram") -> None:
        """Add the counts of another."""
        if other:
            self._counts.add(other._counts)

    @classmethod
    def merged(cls, parts: "Iterable[Histogram]") -> Self:
        """All counts of some in a new one."""
        total = cls()
        for part in parts:
            total.merge(part)
        return total

    def __len__(self) -> int:
        count: int = self._counts.get_total_count()
        return count

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Histogram) and self.encode() == other.encode()

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return Histogram.decode, (self.encode(),)  # small, between processes

    __hash__ = None  # type: ignore[assignment]  # it changes

    @property
    def mean_s(self) -> float:
        """Seconds; NaN of none."""
        if not self:
            return math.nan
        middle = (sum(ends) / 2 * count for *ends, count in self._buckets())
        return sum(middle) / len(self) / 1e6

    @property
    def max_s(self) -> float:
        """Seconds; NaN of none."""
        return self._counts.get_max_value() / 1e6 if self else math.nan

    def percentile(self, percent: float) -> float:
        """Seconds below or at which `percent` (0 to 100) of the spans lie; NaN of none."""
        return self.at_rank(math.ceil(percent / 100 * len(self)))

    def at_rank(self, rank: int) -> float:
        """Seconds of the span that is number `rank` from 1 in order of size; NaN of none."""
        if not self:
            return math.nan
        share = 100 * min(max(rank, 1), len(self)) / len(self)
        span_s: float = self._counts.get_value_at_percentile(share) / 1e6
        return span_s

    def cumulative(self) -> list[tuple[float, int]]:
        """Of each span that occurs, in order: seconds, and how many are at most as long."""
        found, total = [], 0
        for _, longest, count in self._buckets():
            total += count
            found.append((longest / 1e6, total))
        return found

    def _buckets(self) -> Iterator[tuple[int, int, int]]:
        """What is in it, in order: least and most microseconds of a bucket, and its count."""
        # The library's own iterators look at every bucket, one by one in Python.
        counts = np.frombuffer(self._counts.counts, np.int64)
        for index in np.flatnonzero(counts).tolist():
            least = self._counts.get_value_from_index(index)
            yield least, self._counts.get_highest_equivalent_value(least), int(counts[index])

    def encode(self) -> str:
        """As text, in HdrHistogram's own compressed format (V2, base64; unit: microsecond)."""
        text: bytes = self._counts.encode()
        return text.decode("ascii")

    @classmethod
    def decode(cls, text: str) -> Self:
        """Read what `encode`, or another HdrHistogram of microseconds, wrote.

        Raises InvalidRequest for what is none.
        """
        made = cls()
        try:
            made._counts.decode_and_add(text.encode())
        except Exception as exc:  # its exceptions share no class
            raise InvalidRequest(f"{text[:20]!r} is no histogram: {exc}") from exc
        return made
