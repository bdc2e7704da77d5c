"""Generator: what the graph, the card and the reports need to know of a network, of any family.

A family with a w gives `mapping`, `num_ws`, `ws_resolutions` and `synthesize`; one that draws
straight from z overrides `draw` instead and leaves the rest as it is.
"""

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from nonesuch.errors import InvalidRequest
from nonesuch_export.crop import Crop
from nonesuch_export.network.modes import Modes
from nonesuch_export.network.periodic import Periodic
from nonesuch_export.network.upconvolution import Form
from nonesuch_export.network.values import Configuration
from nonesuch_export.seam import Tile


class Generator(nn.Module):
    """The base of all families, each built as `cls(config)`.

    Names in `state_dict` are those of `Checkpoint.arrays`. The constructor also runs on torch's
    meta device, where tensors have shapes and no values.
    """

    family: ClassVar[str]  # the key in `network.FAMILIES`
    takes_transform: ClassVar[bool] = False  # whether `synthesize` has a use for `transform`

    seamed: ClassVar[str] = ""  # why the family's pictures cannot repeat, if they cannot

    crop: Crop | None = None  # the part of the picture that leaves the graph; None = all of it
    tile: Tile | None = None  # the axes along which pictures repeat without a seam
    config: Configuration
    # z [N, z_dim] and c [N, c_dim] (or None) to w [N, w_dim]; its w_avg is a tensor [w_dim] or
    # None. None for a family without w.
    mapping: nn.Module | None
    modes: Modes | None  # centres that truncation may go towards besides `w_avg`; None = no others

    def __init__(self) -> None:
        super().__init__()
        self.mapping = None  # not in the class, where it would hide the module that a family sets
        self.modes = None

    def frame(self, crop: Crop | None, tile: Tile | None) -> None:
        """Draw `crop` of the picture only, and along the axes of `tile` let pictures repeat.

        Raises InvalidRequest where the crop reaches beyond the picture or cuts an axis that is to
        repeat, and where the family cannot tile.
        """
        if tile is not None and self.seamed:
            raise InvalidRequest(f"{self.family} cannot tile: {self.seamed}; leave out --tile")
        self.crop = None if crop is None else crop.within(*self.image_size)
        if tile is not None and self.crop is not None:
            self.crop.check_whole(tile, *self.image_size)
        self.tile = tile
        for module in self.modules():
            if isinstance(module, Periodic):
                module.tile = tile

    @property
    def forms(self) -> dict[str, Form]:
        """The form of each layer that has several equal ones, by its resolution."""
        return {}

    def use_forms(self, forms: dict[str, str]) -> None:
        """Give layers these of their `forms`; names that it does not know are passed over."""

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
    def affines(self) -> tuple[Tensor, ...]:
        """What each row of ws is multiplied with to become styles, [outputs, w_dim] each.

        The weights in force, of all layers that the row styles; none in a family without w.
        """
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
