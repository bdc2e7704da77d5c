"""Seeds, written as people write them, and the latents that they stand for."""

import re
import threading
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, chain
from numbers import Integral
from typing import overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nonesuch.contract import LATENT, SEEDS
from nonesuch.errors import InvalidRequest

_SPAN = re.compile(r"(\d{1,20})(?:-(\d{1,20}))?", re.ASCII)


class Seeds(Sequence[int]):
    """A sequence of seeds that takes memory by its spans, not by its length.

    >>> seeds = Seeds([range(0, 8), range(12, 13)])
    >>> len(seeds), seeds[-1], str(seeds)
    (9, 12, '0-7,12')
    """

    __slots__ = ("_ends", "_spans")

    def __init__(self, spans: Iterable[range]) -> None:
        """Chain spans of step 1; raises InvalidRequest where a seed is not in 0 … 2³² - 1."""
        joined: list[range] = []
        for span in filter(len, spans):
            check_seed(span[0])
            check_seed(span[-1])
            if joined and joined[-1].stop == span.start:
                joined[-1] = range(joined[-1].start, span.stop)
            else:
                joined.append(span)
        self._spans = tuple(joined)
        self._ends = tuple(accumulate(len(span) for span in joined))

    @classmethod
    def of(cls, seeds: Iterable[int]) -> "Seeds":
        """Take any whole numbers, numpy's too, in their order."""
        if isinstance(seeds, Seeds):
            return seeds
        if isinstance(seeds, range) and seeds.step == 1:
            return cls([seeds])
        return cls(range(seed, seed + 1) for seed in map(check_seed, seeds))

    @property
    def spans(self) -> tuple[range, ...]:
        """The seeds as spans of step 1, in their order."""
        return self._spans

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __iter__(self) -> Iterator[int]:
        return chain.from_iterable(self._spans)

    @overload
    def __getitem__(self, index: int) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[int, ...]: ...
    def __getitem__(self, index: int | slice) -> int | tuple[int, ...]:
        if isinstance(index, slice):
            return tuple(self[i] for i in range(*index.indices(len(self))))
        at = range(len(self))[index]  # counts negative ones from the end, raises IndexError
        span = bisect_right(self._ends, at)
        return self._spans[span][at - self._ends[span]]  # negative: from the end of its span

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Seeds) and self._spans == other._spans

    def __hash__(self) -> int:
        return hash(self._spans)

    def __str__(self) -> str:
        """The seeds as `parse_seeds` reads them."""
        return ",".join(f"{s[0]}-{s[-1]}" if len(s) > 1 else str(s[0]) for s in self._spans)

    def __repr__(self) -> str:
        return f"parse_seeds({str(self)!r})"


def parse_seeds(text: str) -> Seeds:
    """Read a list of seeds such as `0-7,12`: numbers and spans with both ends, in their order.

    Raises InvalidRequest that names the part which cannot be read.

    >>> list(parse_seeds("0-3,12"))
    [0, 1, 2, 3, 12]
    """
    return Seeds(_span(part.strip()) for part in text.split(","))


def _span(text: str) -> range:
    found = _SPAN.fullmatch(text)
    if found is None:
        raise InvalidRequest(f"cannot read {text!r} as seeds, expected a list such as 0-7,12")
    first = check_seed(int(found[1]))
    last = first if found[2] is None else check_seed(int(found[2]))
    if last < first:
        raise InvalidRequest(f"the seeds {text} run backwards, write {last}-{first}")
    return range(first, last + 1)


def check_seed(seed: int, name: str = "seed") -> int:
    """Return the seed as Python's own number; raises InvalidRequest, under the name given, for
    what is no whole number or out of range.
    """
    if not (isinstance(seed, Integral) and 0 <= seed < SEEDS):
        raise InvalidRequest(f"{name} is {seed!r}, expected a whole number from 0 to {SEEDS - 1}")
    return int(seed)


def check_latent(values: ArrayLike, name: str, *shapes: str) -> NDArray[np.float32]:
    """Return a latent as float32, in a copy that nobody can write to.

    shapes are those allowed, as `[num_ws, w_dim]`. Raises InvalidRequest, under the name given, for
    what is no array of numbers, has another count of axes, or lies beyond what a request may hold.

    >>> check_latent([[0.5, 1.0]], "ws", "[w_dim]", "[num_ws, w_dim]").shape
    (1, 2)
    """
    expected = " or ".join(shapes)
    try:
        found = np.asarray(values)
    except ValueError:  # rows of unlike lengths
        raise InvalidRequest(f"{name} is no array, expected {expected}") from None
    if found.dtype.kind not in "fiu":
        raise InvalidRequest(f"{name} holds {found.dtype.name}, expected numbers, {expected}")
    if not found.size or found.ndim not in {shape.count(",") + 1 for shape in shapes}:
        raise InvalidRequest(f"{name} is {list(found.shape)}, expected {expected}")
    wrong = ~(np.abs(found.astype(np.float64)) <= LATENT)  # true for nan as well
    if wrong.any():
        raise InvalidRequest(
            f"{name} holds {found[wrong][0]:g}, expected values from {-LATENT:g} to {LATENT:g}"
        )
    latent = found.astype(np.float32)  # a copy: what is sent later must not change meanwhile
    latent.flags.writeable = False
    return latent


def latent(seed: int, z_dim: int) -> NDArray[np.float32]:
    """Return z of a seed, [1, z_dim], as the published scripts draw it.

    >>> latent(85, 4).round(2)
    array([[ 0.18,  2.38,  1.  , -1.31]], dtype=float32)
    """
    check_seed(seed)
    _legacy.random.seed(seed)
    return _legacy.random.randn(1, z_dim).astype(np.float32)


class _Legacy(threading.local):
    """The legacy generator on purpose: it is what makes our seed 85 everyone's seed 85.

    Each thread keeps one, as to make one takes several times as long as to draw a latent.
    """

    def __init__(self) -> None:
        self.random = np.random.RandomState()


_legacy = _Legacy()
