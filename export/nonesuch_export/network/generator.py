"""Generator: what the graph, the card and the reports need to know of a network, of any family.

A family with a w gives `mapping`, `num_ws`, `ws_resolutions` and `synthesize`; one that draws
straight from z overrides `draw` instead and leaves the rest as it is.
"""

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from nonesuch_export.crop import Crop
from nonesuch_export.network.values import Configuration


class Generator(nn.Module):
    """The base of all families, each built as `cls(config)`.

    Names in `state_dict` are those of `Checkpoint.arrays`. The constructor also runs on torch's
    meta device, where tensors have shapes and no values.
    """

    family: ClassVar[str]  # the key in `network.FAMILIES`
    takes_transform: ClassVar[bool] = False  # whether `synthesize` has a use for `transform`

    crop: Crop | None = None  # the part of the picture that leaves the graph; None = all of it
    config: Configuration
    # z [N, z_dim] and c [N, c_dim] (or None) to w [N, w_dim]; its w_avg is a tensor [w_dim] or
    # None. None for a family without w.
    mapping: nn.Module | None

    def __init__(self) -> None:
        super().__init__()
        self.mapping = None  # not in the class, where it would hide the module that a family sets

    @property
    def w_avg(self) -> Tensor | None:
        """The centre of truncation [w_dim], or None where there is none."""
        centre = getattr(self.mapping, "w_avg", None)
        return centre if isinstance(centre, Tensor) else None

    @property
    def w_dim(self) -> int:
        """0 for a family without w."""
        return int(getattr(self.config, "w_dim", 0))

    @property
    def num_ws(self) -> int:
        """Rows of ws, 0 for a family without w."""
        return self.config.num_ws

    @property
    def ws_resolutions(self) -> tuple[int, ...]:
        """The resolution of the layer that each row of ws styles, [num_ws]."""
        return ()

    @property
    def noise_const(self) -> list[Tensor]:
        """The stored noise of each noise layer, [r, r] each, in the order of synthesis."""
        return []

    @property
    def recommended(self) -> tuple[float, int | None]:
        """psi and cutoff (None = all rows) that the checkpoint itself asks for by default."""
        return self.config.recommended

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width in pixels of what the network draws."""
        return self.config.resolution, self.config.resolution

    def synthesize(
        self, ws: Tensor, noise: Sequence[Tensor], transform: Tensor | None = None
    ) -> Tensor:
        """ws [N, num_ws, w_dim] to a float image [N, C, H, W], nominally in [-1, 1].

        `noise` is [N or 1, 1, r, r] by noise layer; an empty one adds none. `transform`
        [N, 3, 3] is the authors' inverse input transform, None the identity.
        """
        raise NotImplementedError(f"{type(self).__name__} draws from z, not from ws")

    def draw(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """z [N, z_dim] and c [N, c_dim] to a float image, in families without w only."""
        raise NotImplementedError(f"{type(self).__name__} draws from ws, not from z")
