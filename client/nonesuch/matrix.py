"""The style-mixing matrix of the StyleGAN paper (figure 3), as samples."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Unpack

from nonesuch.errors import InvalidRequest
from nonesuch.latents import Seeds
from nonesuch.options import Mix, Sample, Settings


def matrix(
    rows: Iterable[int], columns: Iterable[int], layers: str, **settings: Unpack[Settings]
) -> list[Sample]:
    """For each row, each column's seed but with some layers of the row's.

    Raises InvalidRequest where there are no rows or no columns, and for a mix in the settings.
    """
    sources, bases = Seeds.of(rows), Seeds.of(columns)
    if not (sources and bases):
        raise InvalidRequest("a matrix takes at least one seed for its rows and its columns")
    if settings.get("mix") is not None:
        raise InvalidRequest("a matrix mixes by its rows and layers, remove the mix")
    like = Sample(seed=0, **settings)
    return [
        replace(like, seed=base, mix=Mix(seed=source, layers=layers))
        for source in sources
        for base in bases
    ]
