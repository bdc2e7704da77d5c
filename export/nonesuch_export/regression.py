"""Directions from labelled samples, by ridge regression of the labels on w.

Least squares on no more samples than W has dimensions fits anything. A penalty that is chosen by
how well each sample is told from all the others (leave-one-out, which a linear fit gives in closed
form; Golub, Heath and Wahba, 1979) is right for few samples and for many, and says honestly how
much of a label can be read off w.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nonesuch.card import Direction
from nonesuch.errors import InvalidRequest
from nonesuch_export import population
from nonesuch_export.directions import Directions
from nonesuch_export.labels import Labels
from nonesuch_export.network import Generator
from nonesuch_export.population import Conditions

FEWEST = 10  # samples
_PENALTIES = 10.0 ** np.arange(-8, 5, 0.5)  # in the mean variance along W's axes
_SURE = 3.0  # standard errors of a correlation that chance does not explain
_ALIKE = 0.999  # correlation of two labels, as w tells them, that makes them one

Doubles = NDArray[np.float64]
Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class Fit:
    """What regression found for K labels."""

    moves: Floats  # [K, w_dim]: changes one label by one standard deviation and no other
    readouts: Floats  # [K, w_dim]: the slope of the label, in its standard deviations, over w
    explained: tuple[float, ...]  # R² of each label's samples, each told from all the others


def find(
    generator: Generator,
    model_hash: str,
    labels: Labels,
    spans: Mapping[str, range],
    conditions: Conditions,
) -> Directions:
    """A direction for each label of pictures that were drawn so, in the rows of ws of its span.

    A weight of 1 changes the label by one standard deviation over the labelled samples, and none
    of the others. Raises as `regress` and `Conditions.check` do, and UnsupportedCheckpoint for a
    model without w.
    """
    conditions.check(generator)
    own = population.sample(generator)
    w = population.shown(generator, labels.seeds, conditions)
    fit = regress(w, labels.values, labels.names, np.cov(own.T, ddof=0).reshape(2 * own.shape[1:]))
    named = tuple(
        Direction(
            name=name,
            first=spans[name][0],
            last=spans[name][-1],
            about=f"regression on {len(w)} labelled samples; R² {share:.2f}, each left out in turn",
        )
        for name, share in zip(labels.names, fit.explained, strict=True)
    )
    return Directions(
        model_hash=model_hash,
        named=named,
        vectors=fit.moves,
        readouts=fit.readouts,
        centre=own.mean(axis=0).astype(np.float32),
    )


def regress(w: Doubles, labels: Doubles, names: Sequence[str], covariance: Doubles) -> Fit:
    """Find the way through W that changes one label by one standard deviation and no other.

    w is [N, w_dim] of N samples and labels [N, K]. Among all moves with the wanted effect on the
    slopes B the one is taken that is likeliest under the covariance S [w_dim, w_dim] of the
    model's own w: S Bᵀ (B S Bᵀ)⁻¹. Raises InvalidRequest, with the label's name, for too few
    samples, for a label that is the same everywhere, that w says nothing about, or that says the
    same as another.
    """
    if len(w) < FEWEST:
        raise InvalidRequest(f"there are {len(w)} labelled samples, expected at least {FEWEST}")
    spread = labels.std(axis=0)
    for name, value in zip(names, spread, strict=True):
        if not value > 0:
            raise InvalidRequest(f"the label {name} is the same in all samples")
    standard = (labels - labels.mean(axis=0)) / spread
    slopes, explained = _ridge(w - w.mean(axis=0), standard)
    for name, share in zip(names, explained, strict=True):
        if share * len(w) < _SURE**2:
            raise InvalidRequest(
                f"the label {name} cannot be told from w: over {len(w)} samples R² is {share:.3f}; "
                "label more of them, or what their pictures show"
            )
    return Fit(
        moves=_moves(slopes, covariance, names).astype(np.float32),
        readouts=slopes.astype(np.float32),
        explained=tuple(explained.tolist()),
    )


def _ridge(centred: Doubles, labels: Doubles) -> tuple[Doubles, Doubles]:
    """Slopes [K, w_dim] and R² [K], each label with the penalty that predicts it best."""
    u, s, vt = np.linalg.svd(centred, full_matrices=False)
    kept = s > 1e-6 * s[0]
    u, s, vt = u[:, kept], s[kept], vt[kept]
    along = u.T @ labels  # [r, K]
    best = np.full(labels.shape[1], np.inf)
    slopes, told = np.zeros((labels.shape[1], vt.shape[1])), np.zeros_like(labels)
    for penalty in _PENALTIES * (s**2).mean():
        shrunk = s**2 / (s**2 + penalty)
        leverage = 1 / len(u) + np.square(u) @ shrunk  # [N]
        residual = labels - u @ (shrunk[:, None] * along)
        left_out = residual / np.maximum(1 - leverage, 1e-9)[:, None]
        error = np.square(left_out).mean(axis=0)
        better = error < best
        best = np.where(better, error, best)
        told[:, better] = (labels - left_out)[:, better]
        slopes[better] = ((shrunk / s)[:, None] * along)[:, better].T @ vt
    return _calibrated(slopes, told, labels)


def _calibrated(slopes: Doubles, told: Doubles, labels: Doubles) -> tuple[Doubles, Doubles]:
    """Undo what the penalty took from the slopes, or chance gave them: the slope of labels over
    what was told of each from the others; and R² after that.
    """
    power = np.maximum(np.square(told).sum(axis=0), 1e-300)
    common = (told * labels).sum(axis=0)
    explained = np.where(common > 0, common**2 / (power * np.square(labels).sum(axis=0)), 0.0)
    return slopes * (common / power)[:, None], explained


def _moves(slopes: Doubles, covariance: Doubles, names: Sequence[str]) -> Doubles:
    towards = slopes @ covariance  # [K, w_dim]
    effects = towards @ slopes.T  # [K, K]
    size = np.sqrt(np.diag(effects))
    alike = np.triu(np.abs(effects) / np.outer(size, size), 1)
    one, other = np.unravel_index(alike.argmax(), alike.shape)
    if alike[one, other] > _ALIKE:
        raise InvalidRequest(f"the labels {names[one]} and {names[other]} say the same of w")
    return np.asarray(np.linalg.solve(effects, towards), np.float64)
