"""The mapping network z → w (StyleGAN, section 2), conditional as in either of the programs."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from nonesuch_export.network.ops import Linear, normalize


class Mapping(nn.Module):
    """z [N, z_dim], and c [N, c_dim] where there are classes, to w [N, w_dim].

    `widths` are the outputs of the layers, the last one w_dim. With classes, c goes through a
    linear layer of `embed_width` outputs, and both halves are normalised before they are joined;
    with `label_concat` (TensorFlow) through a bare matrix, and both are normalised as one vector.
    Without `normalize_z` z is not normalised, and with `label_concat` nothing is. `w_avg` [w_dim]
    is the centre of truncation, or None where it was never tracked.
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
        label_concat: bool = False,
        normalize_z: bool = True,
    ) -> None:
        super().__init__()
        self._count = len(widths)
        self._joint = label_concat
        self._normalize = normalize if normalize_z else nn.Identity()
        if c_dim:
            plain = nn.Linear(c_dim, embed_width, bias=False)
            self.embed = plain if label_concat else Linear(c_dim, embed_width)
        inputs = z_dim + embed_width
        for i, width in enumerate(widths):
            layer = Linear(inputs, width, lr_multiplier=lr_multiplier, activation=activation)
            self.add_module(f"fc{i}", layer)
            inputs = width
        self.register_buffer("w_avg", torch.zeros(inputs) if has_w_avg else None)

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        x = self._latents(z, c)
        for i in range(self._count):
            x = self.get_submodule(f"fc{i}")(x)
        return x

    def _latents(self, z: Tensor, c: Tensor | None) -> Tensor:
        """z and the classes, joined and normalised, [N, z_dim + embed_width]."""
        if c is None:
            return self._normalize(z)
        if self._joint:
            return self._normalize(torch.cat([z, self.embed(c)], dim=1))
        return torch.cat([self._normalize(z), normalize(self.embed(c))], dim=1)
