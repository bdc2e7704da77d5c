"""Clusters of w, for truncation towards the nearest of many centres.

Mokady et al. (2022, arXiv:2202.12211) find the clusters in W as it is. Here each group of layers
(coarse, middle, fine) has its own, found in the metric that the group's affine layers see:
|A (w - w')|² summed over its layers. So the centres are spent on what a group can show.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from nonesuch.errors import InvalidRequest, UnsupportedCheckpoint
from nonesuch.layers import groups
from nonesuch_export import population
from nonesuch_export.network import Generator
from nonesuch_export.network.modes import Centres, Modes
from nonesuch_export.sefa import metric, oriented

MOST = 4096  # centres in each group of layers; k-means takes time by their square
_BATCH = 256  # samples whose distances from all centres fit into a cache
_SAMPLES = 30  # of w for each centre
_ROUNDS = 12  # of k-means
_KEPT = 0.99  # share of the variance of styles that the centres tell apart

Doubles = NDArray[np.float64]
Floats = NDArray[np.float32]


def find(generator: Generator, count: int) -> Modes:
    """`count` centres of w for each group of layers, the same ones each time.

    Raises UnsupportedCheckpoint for a model without w or w_avg, InvalidRequest where its w does
    not take that many values.
    """
    w_avg = generator.w_avg
    if w_avg is None and generator.mapping is not None:
        raise UnsupportedCheckpoint(
            "the model has no average w: without it there is no truncation, towards modes neither"
        )
    w = population.sample(generator, range(max(_SAMPLES * count, population.SEEDS)))
    assert w_avg is not None  # or there had been no w
    ways = w - w_avg.numpy()
    spans = groups(generator.ws_resolutions).values()
    found = [
        _centres(generator, ways, tuple(range(first, last + 1)), count) for first, last in spans
    ]
    return Modes(w_avg, found)


def _centres(generator: Generator, ways: Doubles, rows: tuple[int, ...], count: int) -> Centres:
    """The centres of one group of rows of ws; `ways` are w - w_avg, [N, w_dim]."""
    basis, back = _coordinates(metric(generator, rows), ways)
    y = ways @ basis
    # By number, not by value: what rounding does to values must not choose other samples.
    apart = np.sort(np.unique(y.astype(np.float32), axis=0, return_index=True)[1])
    if len(apart) < count:
        raise InvalidRequest(
            f"modes is {count}, but the layers {rows[0]}-{rows[-1]} tell only {len(apart)} values "
            f"of w apart among {len(ways)} seeds"
        )
    points = means(y, y[np.random.default_rng(0).choice(apart, count, replace=False)])
    basis_, points_, back_ = (torch.from_numpy(part).float() for part in (basis, points, back))
    return Centres(rows=rows, basis=basis_, points=points_, back=back_)


def means(samples: Doubles, points: Doubles) -> Doubles:
    """The centres [K, r] of clusters of samples [N, r], from `points` on: Lloyd's k-means (1982).

    A centre that loses all its samples stays where it is.
    """
    for _ in range(_ROUNDS):
        nearest = _nearest(samples.astype(np.float32), points.astype(np.float32))
        members = np.bincount(nearest, minlength=len(points))[:, None]
        sums = torch.zeros(points.shape, dtype=torch.float64)
        sums.index_add_(0, torch.from_numpy(nearest), torch.from_numpy(samples))
        points = np.where(members > 0, sums.numpy() / np.maximum(members, 1), points)
    return points


def _nearest(samples: Floats, points: Floats) -> NDArray[np.int64]:
    """Which of points [K, r] each sample [N, r] is nearest to, as in `Modes`."""
    half = np.square(points).sum(axis=1) / 2
    parts = [samples[i : i + _BATCH] for i in range(0, len(samples), _BATCH)]
    return np.concatenate([(part @ points.T - half).argmax(axis=1) for part in parts])


def _coordinates(seen: Doubles, ways: Doubles) -> tuple[Doubles, Doubles]:
    """The principal coordinates of `ways` [N, w_dim] in the metric `seen` [w_dim, w_dim].

    Returns the basis [w_dim, r] that leads to them, and the way back [r, w_dim]: the mean of all
    w with given coordinates, were W Gaussian.
    """
    covariance = ways.T @ ways / len(ways)
    values, vectors = np.linalg.eigh(seen)
    root = vectors * np.sqrt(values.clip(0))  # seen = root rootᵀ
    variances, axes = np.linalg.eigh(root.T @ covariance @ root)
    variances, axes = variances[::-1].clip(0), axes[:, ::-1]
    kept = 1 + int(np.searchsorted(variances.cumsum(), _KEPT * variances.sum()))
    basis = root @ oriented(axes[:, :kept].T).T
    back = (basis.T @ covariance) / np.maximum(variances[:kept, None], 1e-300)
    return basis, back
