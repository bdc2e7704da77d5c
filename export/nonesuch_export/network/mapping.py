"""The mapping network z → w (StyleGAN, section 2), conditional as in StyleGAN2-ADA."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from nonesuch_export.network.ops import Linear, normalize


class Mapping(nn.Module):
    """z [N, z_dim], and c [N, c_dim] where there are classes, to w [N, w_dim].

    `widths` are the outputs of the layers, the last one w_dim. With classes, c goes through a
    linear layer of `embed_width` outputs, and both halves are normalised before they are joined.
    `w_avg` [w_dim] is the centre of truncation, or None where it was never tracked.
    """

    w_avg: Tensor | None

    def __init__(  # noqa: PLR0913 (a network's whole configuration)
        self,
        z_dim: int,
        c_dim: int,
        widths: Sequence[int],
        *,
        embed_width: int = 0,
        activation: str = "lrelu",
        lr_multiplier: float = 0.01,
        has_w_avg: bool = True,
    ) -> None:
        super().__init__()
        self._count = len(widths)
        if c_dim:
            self.embed = Linear(c_dim, embed_width)
        inputs = z_dim + embed_width
        for i, width in enumerate(widths):
            layer = Linear(inputs, width, lr_multiplier=lr_multiplier, activation=activation)
            self.add_module(f"fc{i}", layer)
            inputs = width
        self.register_buffer("w_avg", torch.zeros(inputs) if has_w_avg else None)

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        x = normalize(z)
        if c is not None:
            x = torch.cat([x, normalize(self.embed(c))], dim=1)
        for i in range(self._count):
            x = self.get_submodule(f"fc{i}")(x)
        return x
