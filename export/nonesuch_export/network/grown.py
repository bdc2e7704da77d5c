"""What shapes Progressive GAN and StyleGAN, checked in full: networks that grew in training."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from nonesuch_export.network.values import (
    EPSILON,
    MAX_LAYERS,
    MAX_WIDTH,
    Configuration,
    Rule,
    are_widths,
    is_filter,
    is_int,
    is_number,
    is_positive,
    is_resolution,
)

RECTIFIERS = ("lrelu", "relu")
Filter = tuple[float, ...] | tuple[tuple[float, ...], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class GrowingConfig(Configuration):
    """What shapes the layers of a growing generator, up to the resolution that it draws."""

    usual: ClassVar[Mapping[str, Any]] = {
        "channels": 3,
        "activation": "lrelu",
        "normalize_z": True,
        "use_wscale": True,
    }

    widths: tuple[int, ...]  # channels at 4, 8, …, resolution
    fused: tuple[bool, ...]  # at 8, …, resolution: whether up-scaling is fused (see `Convolution`)
    fade: float = 0.0  # share of the image that comes from half the resolution, below 1
    activation: str = "lrelu"
    normalize_z: bool = True  # together with the class that is joined to it
    use_wscale: bool = True  # weights are scaled at run time

    def growing_rules(self) -> list[Rule]:
        """The rules of these fields and the common ones; families add their own."""
        blocks = len(self.block_resolutions) if is_resolution(self.resolution) else 0
        fused = isinstance(self.fused, tuple) and len(self.fused) == blocks - 1
        fused = fused and all(isinstance(f, bool) for f in self.fused)
        fade = is_number(self.fade) and 0 <= self.fade < 1 and (blocks > 1 or self.fade == 0)
        return [
            *self.common_rules(),
            ("widths", are_widths(self.widths) and len(self.widths) == blocks, "one a block"),
            ("fused", fused, "true or false for each block but the first"),
            ("fade", fade, "at least 0, below 1, and 0 at 4x4"),
            ("activation", self.activation in RECTIFIERS, ", ".join(RECTIFIERS)),
            self.switch("normalize_z"),
            self.switch("use_wscale"),
        ]

    def switch(self, name: str) -> Rule:
        """The rule of a field that is true or false."""
        return name, isinstance(getattr(self, name), bool), "true or false"

    @property
    def block_resolutions(self) -> list[int]:
        return [2**i for i in range(2, self.resolution.bit_length())]

    @property
    def layer_resolutions(self) -> list[int]:
        """The resolution of each layer: 4, 4, 8, 8, …; the input is a layer too."""
        return [r for r in self.block_resolutions for _ in range(2)]


@dataclass(frozen=True, kw_only=True, slots=True)
class ProGANConfig(GrowingConfig):
    """Everything that shapes a Progressive GAN generator; the defaults are the authors'."""

    title: ClassVar[str] = "Progressive GAN"
    usual: ClassVar[Mapping[str, Any]] = {**GrowingConfig.usual, "use_pixel_norm": True}

    use_pixel_norm: bool = True
    epsilon: float = EPSILON  # of all normalisation

    def rules(self) -> list[Rule]:
        return [
            *self.growing_rules(),
            self.switch("use_pixel_norm"),
            ("epsilon", is_positive(self.epsilon), "a positive number"),
        ]


@dataclass(frozen=True, kw_only=True, slots=True)
class StyleGAN1Config(GrowingConfig):
    """Everything that shapes a StyleGAN generator; the defaults are the authors'."""

    title: ClassVar[str] = "StyleGAN"
    usual: ClassVar[Mapping[str, Any]] = {
        **GrowingConfig.usual,
        "mapping_activation": "lrelu",
        "lr_multiplier": 0.01,
        "const_input": True,
        "use_styles": True,
        "use_pixel_norm": False,
        "use_instance_norm": True,
        "blur_filter": (1.0, 2.0, 1.0),
    }

    w_dim: int = 512
    mapping_widths: tuple[int, ...] = (512,) * 8  # outputs of the mapping's layers
    mapping_activation: str = "lrelu"
    lr_multiplier: float = 0.01  # of the mapping network
    const_input: bool = True  # begin with a learned constant; else with a layer on w
    use_styles: bool = True
    use_noise: bool = True
    use_pixel_norm: bool = False
    use_instance_norm: bool = True
    blur_filter: Filter | None = (1.0, 2.0, 1.0)  # after up-scaling; scaled to the sum 1
    has_w_avg: bool = True
    psi: float = 1.0  # truncation of a plain run
    cutoff: int | None = None  # rows of ws that a plain run truncates; None = all

    def rules(self) -> list[Rule]:
        layers = are_widths(self.mapping_widths) and len(self.mapping_widths) <= MAX_LAYERS
        growing = self.growing_rules()
        layers = layers and all(good for _, good, _ in growing) and self._w_width == self.w_dim
        blur = self.blur_filter is None or _is_blur(self.blur_filter)
        cutoff = self.cutoff is None or is_int(self.cutoff, 0, MAX_WIDTH)
        switches = ("use_styles", "use_noise", "use_pixel_norm", "use_instance_norm", "has_w_avg")
        # A constant without styles hears nothing of w and draws one picture.
        start = isinstance(self.const_input, bool) and (self.use_styles or not self.const_input)
        return [
            *growing,
            ("w_dim", is_int(self.w_dim, 1, MAX_WIDTH), f"1 to {MAX_WIDTH}"),
            ("mapping_widths", layers, f"at most {MAX_LAYERS} widths, w_dim last"),
            ("mapping_activation", self.mapping_activation in RECTIFIERS, ", ".join(RECTIFIERS)),
            ("lr_multiplier", is_positive(self.lr_multiplier), "a positive number"),
            *map(self.switch, switches),
            ("const_input", bool(start), "true or false, and false without styles"),
            ("blur_filter", blur, "numbers, [taps] or [taps, taps], of a sum that is not 0"),
            ("psi", is_number(self.psi), "a number"),
            ("cutoff", cutoff, "a number of rows or null"),
        ]

    @property
    def _w_width(self) -> int:
        joined = self.z_dim * (2 if self.c_dim else 1)
        return self.mapping_widths[-1] if self.mapping_widths else joined

    @property
    def num_ws(self) -> int:
        """One row for each layer, or a single one for a network without styles."""
        return len(self.layer_resolutions) if self.use_styles else 1

    @property
    def noise_layers(self) -> int:
        return len(self.layer_resolutions) if self.use_noise else 0

    @property
    def recommended(self) -> tuple[float, int | None]:
        # A network that is not fully grown has fewer rows than its cutoff was chosen for.
        return self.psi, None if self.cutoff is None or self.cutoff >= self.num_ws else self.cutoff


def _is_blur(taps: Filter) -> bool:
    rows = [row if isinstance(row, tuple) else (row,) for row in taps] if is_filter(taps) else []
    return sum(map(sum, rows)) != 0
