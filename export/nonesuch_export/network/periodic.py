"""Periodic: layers that take their input for one tile of a plane, so that pictures repeat.

Filters reach beyond the border of what they are given. Zeros lie there, unless the axis wraps:
then the opposite side does, and moving the input round in a circle moves the output with it. The
seam of a tiling is a place like any other.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from nonesuch_export.seam import Tile

_ROWS, _COLUMNS = 2, 3  # of [N, C, h, w]
_AXES: dict[Tile, tuple[int, ...]] = {"x": (_COLUMNS,), "y": (_ROWS,), "both": (_ROWS, _COLUMNS)}


class Periodic(nn.Module):
    """The base of all layers whose filters reach beyond their input."""

    tile: Tile | None = None  # along which axes the input goes on; None = zeros lie around it

    def around(
        self, layer: Callable[[Tensor], Tensor], x: Tensor, reach: int, factor: int = 1
    ) -> Tensor:
        """Apply a layer that enlarges by `factor` to x [N, C, h, w] and what lies around it.

        None of the layer's outputs depends on samples that lie more than `reach` beyond its own
        place. Its padding may be zeros: what they touch is cut off, or, with `padding`, not made.
        """
        if self.tile is None or reach == 0:
            return layer(x)
        wide = x
        for axis in _AXES[self.tile]:
            wide = _repeated(wide, reach, axis)
        y = layer(wide)
        for axis in _AXES[self.tile]:
            size = factor * x.shape[axis]
            if y.shape[axis] != size:
                y = y.narrow(axis, (y.shape[axis] - size) // 2, size)
        return y

    def padding(self, zeros: int) -> tuple[int, int]:
        """The zeros around rows and columns: as many as given, or none where an axis goes on."""
        wraps = _AXES[self.tile] if self.tile else ()
        return 0 if _ROWS in wraps else zeros, 0 if _COLUMNS in wraps else zeros


def _repeated(x: Tensor, reach: int, axis: int) -> Tensor:
    """x with `reach` samples of its repetitions at either end of an axis."""
    size = x.shape[axis]
    turns, rest = divmod(reach, size)  # a long filter goes round a small input more than once
    parts = [x.narrow(axis, size - rest, rest), *[x] * (2 * turns + 1), x.narrow(axis, 0, rest)]
    return torch.cat([part for part in parts if part.shape[axis]], axis)
