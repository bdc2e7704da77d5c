"""Seeds in asked proportions: those that a model draws too often are left out.

Nothing is done to the pictures. Seeds are looked at in their order, scored along directions, and
each is kept while its class is not yet full; so the result is a list of plain seeds.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from nonesuch import variety
from nonesuch.card import Card
from nonesuch.contract import SEEDS
from nonesuch.errors import InvalidRequest, TooRare
from nonesuch.latents import Seeds, check_seed
from nonesuch.options import Truncation

MOST = 1000  # seeds are looked at for each one that is wanted, unless told otherwise
_MOST_CLASSES = 16
_LARGEST_SHARE = 1e6
_AT_ONCE = 256  # seeds that are scored together


class Scorer(Protocol):
    """What is needed of a `Client`."""

    def info(self, model: str) -> Card: ...
    def scores(
        self, model: str, seeds: Seeds, *, class_idx: int | None = None
    ) -> variety.Scores: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Balance:
    """The shares that the classes along a direction ought to have (`variety.classes`)."""

    direction: str
    shares: tuple[float, ...] = (1.0, 1.0, 1.0)  # in any unit, from the lowest scores up

    def __post_init__(self) -> None:
        if not 2 <= len(self.shares) <= _MOST_CLASSES:
            raise InvalidRequest(
                f"{self.direction} is to have {len(self.shares)} shares, expected 2 to "
                f"{_MOST_CLASSES}"
            )
        for share in self.shares:
            if not 0 <= share <= _LARGEST_SHARE:
                raise InvalidRequest(
                    f"a share of {self.direction} is {share:g}, expected 0 to {_LARGEST_SHARE:g}"
                )
        if not any(self.shares):
            raise InvalidRequest(f"all shares of {self.direction} are 0, give one more than that")

    @classmethod
    def parse(cls, text: str) -> "Balance":
        """Read `DIRECTION`, for equal thirds, or `DIRECTION=SHARE,SHARE,…`.

        >>> Balance.parse("skin=1,2,1")
        Balance(direction='skin', shares=(1.0, 2.0, 1.0))
        """
        name, equals, shares = text.partition("=")
        if not equals:
            return cls(direction=name)
        try:
            return cls(direction=name, shares=tuple(map(float, shares.split(","))))
        except ValueError as exc:
            if isinstance(exc, InvalidRequest):
                raise
            raise InvalidRequest(
                f"cannot read {text!r} as a balance, expected DIRECTION or DIRECTION=SHARE,… as in "
                f"skin=1,1,1"
            ) from None


class Draw(Iterator[int]):
    """Seeds one by one, `count` in all, such that they are balanced in the end.

    Where there are several balances, each combination of their classes gets the product of the
    shares. Raises InvalidRequest for a direction that the model has not, and, while iterating,
    TooRare where `most` seeds hold too few of a class.
    """

    def __init__(  # noqa: PLR0913 (each is a setting of its own, by keyword)
        self,
        scorer: Scorer,
        model: str,
        balances: Sequence[Balance],
        *,
        count: int,
        first: int = 0,
        most: int | None = None,
        truncation: Truncation | None = None,
        class_idx: int | None = None,
    ) -> None:
        """Draw from seed `first` on; truncation (None = the card's) is that of the pictures."""
        if count < 1:
            raise InvalidRequest(f"count is {count}, expected at least 1")
        self.count, self.looked_at = count, 0
        self._scorer, self._model, self._class_idx = scorer, model, class_idx
        self._balances = _distinct(balances)
        card = scorer.info(model)
        order = [direction.name for direction in card.directions]
        self._columns = [order.index(card.direction(b.direction).name) for b in balances]
        self._remaining = variety.remaining(card, truncation)
        self._shape = [len(balance.shares) for balance in balances]
        self._wanted = quotas(balances, count)
        self._open = self._wanted.copy()
        self._natural = np.zeros(self._shape, np.int64)
        last = min(check_seed(first, "first seed") + (most or MOST * count), SEEDS)
        self._seeds = self._kept(Seeds.of(range(first, last)))

    def __len__(self) -> int:
        return self.count

    def __next__(self) -> int:
        return next(self._seeds)

    @property
    def acceptance(self) -> float:
        """The share of seeds kept among those looked at."""
        kept = int((self._wanted - self._open).sum())
        return kept / max(self.looked_at, 1)

    def natural(self, balance: Balance) -> tuple[float, ...]:
        """The shares that the classes have among all seeds that were looked at."""
        return self._shares(self._natural, balance)

    def reached(self, balance: Balance) -> tuple[float, ...]:
        """The shares that the classes have among the seeds that were kept."""
        return self._shares(self._wanted - self._open, balance)

    def _shares(self, counts: NDArray[np.int64], balance: Balance) -> tuple[float, ...]:
        at = self._balances.index(balance)
        one = counts.sum(axis=tuple(i for i in range(counts.ndim) if i != at))
        return tuple(round(float(part), 4) for part in one / max(one.sum(), 1))

    def _kept(self, seeds: Seeds) -> Iterator[int]:
        if not self._open.any():
            return
        for seed, cell in self._placed(seeds):
            self.looked_at += 1
            self._natural[cell] += 1
            if self._open[cell]:
                self._open[cell] -= 1
                yield seed
                if not self._open.any():
                    return
        raise TooRare(self._short(seeds))

    def _placed(self, seeds: Seeds) -> Iterator[tuple[int, tuple[int, ...]]]:
        """Each seed with its class along each direction."""
        for start in range(0, len(seeds), _AT_ONCE):
            part = Seeds.of(seeds[start : start + _AT_ONCE])
            scores = self._scorer.scores(self._model, part, class_idx=self._class_idx)
            columns = (scores * self._remaining)[:, self._columns].T
            found = [variety.classes(*of) for of in zip(columns, self._shape, strict=True)]
            cells = zip(*(one.tolist() for one in found), strict=True)
            yield from zip(part, cells, strict=True)

    def _short(self, seeds: Seeds) -> str:
        worst = np.unravel_index(int(self._open.argmax()), self._open.shape)
        where = ", ".join(
            f"class {at + 1} of {len(b.shares)} of {b.direction}"
            for at, b in zip(worst, self._balances, strict=True)
        )
        return (
            f"the seeds {seeds} hold {self._wanted[worst] - self._open[worst]} of the "
            f"{self._wanted[worst]} wanted in {where}: look at more of them, truncate less, or "
            f"ask for a smaller share"
        )


def _distinct(balances: Sequence[Balance]) -> Sequence[Balance]:
    if not balances:
        raise InvalidRequest("there is nothing to balance, name a direction")
    names = [balance.direction for balance in balances]
    for name in names:
        if names.count(name) > 1:
            raise InvalidRequest(f"{name} is to be balanced twice, give one of them")
    return balances


def quotas(balances: Sequence[Balance], count: int) -> NDArray[np.int64]:
    """How many of `count` each combination of classes gets, [classes of each balance].

    Each gets its share rounded down; what is left goes one each to the largest remainders.

    >>> quotas([Balance(direction="skin")], 8)
    array([3, 3, 2])
    """
    shape = [len(balance.shares) for balance in balances]
    products = [math.prod(cell) for cell in itertools.product(*(b.shares for b in balances))]
    exact = np.array(products) / sum(products) * count
    whole = np.floor(exact + 1e-9).astype(np.int64)
    by_remainder = np.argsort(whole - exact, kind="stable")
    whole[by_remainder[: count - int(whole.sum())]] += 1
    return whole.reshape(shape)
