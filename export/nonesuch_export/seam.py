"""Seam: the axes along which pictures repeat, and how far the place shows where they meet."""

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Tile = Literal["both", "x", "y"]  # x from left to right, y from top to bottom

_AXES: dict[Tile, tuple[int, ...]] = {"x": (1,), "y": (0,), "both": (0, 1)}  # of [H, W, C]
_RUN = 4  # pixels of a line that are seen as one: noise of single pixels hides no seam
_USUAL = 0.8  # share of the steps inside that are smaller than what a seam is held against
_NOISE = math.sqrt(10)  # how many steps pure noise has beyond the trend


def seam(pixels: NDArray[np.uint8], tile: Tile) -> float:
    """How far the seam of repeated pixels [H, W, C] shows along the axes of `tile`, the worse one.

    What the step from the last line x[-1] to the first has beyond the trend of the steps beside
    it, x[1] - 3 x[0] + 3 x[-1] - x[-2], is held in its mean size against the steps between
    neighbouring lines inside: that one which four of five stay below, or a level of 255 where
    it is smaller. Noise gives about 1, a smooth transition less, however steep it is, and a seam
    the more the sharper it is. `pixels` has at least four lines along each of the axes.
    """
    return max(_along(np.moveaxis(pixels, axis, 0)) for axis in _AXES[tile])


def _along(pixels: NDArray[np.uint8]) -> float:
    """The seam between the last and the first line of [lines, places, C]."""
    lines, places, channels = pixels.shape
    run = min(_RUN, places)
    whole = pixels[:, : places // run * run].reshape(lines, -1, run, channels)
    x = whole[:, :, 0].astype(np.int16)  # sums: of whole numbers, as these are quick
    for i in range(1, run):
        x += whole[:, :, i]
    steps = np.abs(np.diff(x, axis=0)).mean(axis=(1, 2)) / run
    beyond = np.abs(x[1] - 3 * x[0] + 3 * x[-1] - x[-2]).mean() / run / _NOISE
    return float(beyond / max(np.quantile(steps, _USUAL), 1.0))
