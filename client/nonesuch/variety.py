"""How a model's pictures spread along its directions, told from scores alone.

Scores are in standard deviations over the model's own pictures (`Client.scores`). They are sorted
into classes of equal width between -√3 and √3, the outer two open: a spread that is even, with
the same standard deviation, fills all classes equally.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nonesuch.card import Card
from nonesuch.errors import InvalidRequest
from nonesuch.options import Truncation

Scores = NDArray[np.float32]  # [N, D], or one direction's [N]

EVEN = math.sqrt(3)  # how far an even spread of standard deviation 1 reaches to both sides
THIRDS = 3
BARS, REACH = 24, 3.0  # of a histogram: their number, and the standard deviations to each side


def classes(scores: Scores, count: int) -> NDArray[np.intp]:
    """The class, 0 … count - 1, of each score.

    >>> classes(np.array([-2, -0.5, 0, 0.6], np.float32), 3)
    array([0, 1, 1, 2])
    """
    cuts = [EVEN * (2 * k / count - 1) for k in range(1, count)]
    return np.digitize(scores, cuts)


def remaining(card: Card, truncation: Truncation | None) -> Scores:
    """What a truncation leaves of the score along each of the card's directions, [D].

    Truncation scales w's way from the average, whose score is about 0, in the rows of ws that it
    holds for; a direction with rows on both sides of the cutoff keeps the mean. None is the
    card's own.
    Raises InvalidRequest for modes, whose centre of truncation is another for each picture.
    """
    if truncation is None:
        truncation = Truncation(psi=card.psi, cutoff=card.cutoff)
    if truncation.modes:
        raise InvalidRequest("scores tell nothing of truncation towards modes, remove modes")
    rows = np.ones(card.num_ws, np.float32)
    rows[: truncation.cutoff] = truncation.psi  # all of them if there is no cutoff
    return np.array([rows[d.first : d.last + 1].mean() for d in card.directions], np.float32)


@dataclass(frozen=True, kw_only=True, slots=True)
class Spread:
    """How the scores along one direction spread; in standard deviations, shares in 0 … 1."""

    direction: str
    pictures: int
    mean: float
    deviation: float  # 1 without truncation, on a large sample
    low: float  # a twentieth of the pictures lies below …
    high: float  # … and a twentieth above
    thirds: tuple[float, ...]  # shares of the lower, the middle and the upper class
    histogram: tuple[float, ...]  # shares in bars from -3 to 3, the outer two open


def spreads(card: Card, scores: Scores) -> Iterator[Spread]:
    """Measure scores [N, D], N > 0, along each of the card's directions."""
    edges = np.linspace(-REACH, REACH, BARS + 1)[1:-1]
    for direction, column in zip(card.directions, scores.T, strict=True):
        low, high = np.percentile(column, (5, 95))
        yield Spread(
            direction=direction.name,
            pictures=len(column),
            mean=_rounded(column.mean()),
            deviation=_rounded(column.std()),
            low=_rounded(low),
            high=_rounded(high),
            thirds=shares(classes(column, THIRDS), THIRDS),
            histogram=shares(np.digitize(column, edges), BARS),
        )


def shares(found: NDArray[np.intp], count: int) -> tuple[float, ...]:
    """The share of each class among those found."""
    counts = np.bincount(found, minlength=count)
    return tuple(_rounded(part / max(len(found), 1)) for part in counts)


def percent(parts: Sequence[float]) -> str:
    """Shares as people read them.

    >>> percent((0.262, 0.476, 0.262))
    '26 / 48 / 26 %'
    """
    return " / ".join(f"{100 * part:.0f}" for part in parts) + " %"


def _rounded(value: float) -> float:
    return round(float(value), 4)
