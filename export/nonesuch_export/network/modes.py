"""Many centres of w instead of one average (Mokady et al., 2022, arXiv:2202.12211).

Truncation towards the nearest of them pulls a sample to what is typical of its like, not of all.
Each group of layers has centres of its own, so a sample may be near one in its pose and near
another in its colours.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 (everyone's name for it)
from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True, slots=True)
class Centres:
    """The centres of one group of layers, in coordinates y = (w - w_avg) · basis of their own.

    The nearest centre is that of the smallest |y - centre|, and stands for w_avg + centre · back.
    """

    rows: tuple[int, ...]  # of ws
    basis: Tensor  # [w_dim, r]
    points: Tensor  # [K, r]
    back: Tensor  # [r, w_dim]


class Modes(nn.Module):
    """w [N, w_dim] to its nearest centre for each row of ws, [N, num_ws, w_dim].

    `groups` share all rows of ws among them. Where two centres are equally near but for rounding,
    engines may differ in which they take.
    """

    w_avg: Tensor
    _owner: Tensor

    def __init__(self, w_avg: Tensor, groups: Sequence[Centres]) -> None:
        super().__init__()
        self.count = len(groups[0].points)
        self._groups = len(groups)
        owner = {row: i for i, group in enumerate(groups) for row in group.rows}
        buffers = {"w_avg": w_avg, "_owner": torch.tensor([owner[row] for row in sorted(owner)])}
        for i, group in enumerate(groups):
            # |y - c|² is least where y·c - |c|²/2 is most, which is one linear layer.
            own = {"basis": group.basis, "points": group.points, "back": group.back}
            own["bias"] = group.points.square().sum(dim=1) * -0.5
            buffers |= {f"{name}{i}": value for name, value in own.items()}
        for name, value in buffers.items():  # of no checkpoint: found anew for each build
            self.register_buffer(name, value, persistent=False)

    def forward(self, w: Tensor) -> Tensor:
        way = w - self.w_avg
        ways = torch.stack([self._nearest(i, way) for i in range(self._groups)], dim=1)
        return self.w_avg + ways.index_select(1, self._owner)

    def _nearest(self, group: int, way: Tensor) -> Tensor:
        """What leads from w_avg to the centre of one group that is nearest to w_avg + way."""
        basis, points, back, bias = (
            self.get_buffer(f"{name}{group}") for name in ("basis", "points", "back", "bias")
        )
        index = F.linear(way @ basis, points, bias).argmax(dim=1)  # [N]
        return points.index_select(0, index) @ back
