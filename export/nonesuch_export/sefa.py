"""SeFa: directions in W straight from the weights (Shen and Zhou, 2021, arXiv:2007.06600).

The styles of a layer are A w + b. Of all ways through W of length one, the eigenvectors of the sum
of AᵀA over the layers that are looked at, largest eigenvalue first, change their styles most.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nonesuch.card import Direction
from nonesuch.errors import InvalidRequest
from nonesuch_export import population
from nonesuch_export.directions import Directions, check_names
from nonesuch_export.network import Generator

_STILL = 1e-3  # of the root of W's mean variance: below it, w does not vary along a direction

Doubles = NDArray[np.float64]


def metric(generator: Generator, rows: Sequence[int]) -> Doubles:
    """The sum of AᵀA over all affine layers of these rows of ws, [w_dim, w_dim]."""
    weights = [generator.affines[row].numpy().astype(np.float64) for row in rows]
    return np.asarray(sum(a.T @ a for a in weights))


def oriented(vectors: Doubles) -> Doubles:
    """Rows [K, D] of which the largest component in size is positive: eigenvectors have no sign."""
    largest = np.abs(vectors).argmax(axis=1)
    signs = np.sign(vectors[np.arange(len(vectors)), largest])
    return vectors * np.where(signs == 0, 1.0, signs)[:, None]


def find(
    generator: Generator, model_hash: str, *, rows: range, count: int, prefix: str = "sefa"
) -> Directions:
    """The first `count` directions for some rows of ws, named prefix0, prefix1, …

    A weight of 1 is one standard deviation of the model's own w along them. Where w does not vary
    along an eigenvector, the next one takes its place. Raises UnsupportedCheckpoint for a family
    without styles, InvalidRequest where there are not so many directions.
    """
    check_names([prefix])
    w = population.sample(generator)
    centre = w.mean(axis=0)
    eigenvalues, eigenvectors = np.linalg.eigh(metric(generator, rows))
    unit = oriented(eigenvectors.T[::-1])  # [w_dim, w_dim]
    shares = eigenvalues[::-1] / max(eigenvalues.sum(), 1e-300)
    spread = ((w - centre) @ unit.T).std(axis=0)
    alive = np.flatnonzero(spread > _STILL * np.sqrt(w.var(axis=0).mean()))
    if len(alive) < count:
        raise InvalidRequest(f"count is {count}, but w varies along {len(alive)} directions only")
    taken = alive[:count]
    named = tuple(
        Direction(
            name=f"{prefix}{i}",
            first=rows[0],
            last=rows[-1],
            about=f"SeFa, {shares[row]:.1%} of what w can change in the styles of these rows",
        )
        for i, row in enumerate(taken)
    )
    units, spreads = unit[taken], spread[taken, None]
    return Directions(
        model_hash=model_hash,
        named=named,
        vectors=(units * spreads).astype(np.float32),
        readouts=(units / spreads).astype(np.float32),
        centre=centre.astype(np.float32),
    )
