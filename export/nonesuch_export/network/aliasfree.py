"""What shapes a StyleGAN3 generator, checked in full: a `Config` that exists can be built."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, Self

from nonesuch.errors import UnsupportedCheckpoint
from nonesuch_export.network.values import (
    MAX_LAYERS,
    MAX_RESOLUTION,
    MAX_WIDTH,
    Configuration,
    Rule,
    are_widths,
    is_int,
    is_positive,
    shown,
)

_MAX_SIZE = 2 * MAX_RESOLUTION  # samples along an axis, margins included
_MAX_FACTOR = 256
_MAX_TAPS = 2048
_MAX_RADIAL_TAPS = 128  # along each axis


@dataclass(frozen=True, kw_only=True, slots=True)
class Layer:
    """What shapes one layer of synthesis; sizes include the margins around the picture.

    Raises UnsupportedCheckpoint for a value of the wrong type or outside its range, by name.
    """

    width: int  # channels
    size: int  # samples along each axis
    rate: int  # samples along the side of the picture
    cutoff: float  # highest frequency that passes, in cycles along the side of the picture
    up: int  # factor from the rate of the layer before to that of the nonlinearity
    down: int  # factor from there to `rate`
    up_taps: int  # of the filters; 1 = none
    down_taps: int
    radial: bool  # the down-sampling filter is round, not separable

    def __post_init__(self) -> None:
        for name, good, rule in self._rules():
            if not good:
                value = shown(getattr(self, name))
                raise UnsupportedCheckpoint(
                    f"a layer of the StyleGAN3 configuration has {name} {value}, expected {rule}"
                )

    def _rules(self) -> list[Rule]:
        taps = "at least the factor and at most {}"
        most = _MAX_RADIAL_TAPS if self.radial else _MAX_TAPS
        factors = is_int(self.up, 1, _MAX_FACTOR), is_int(self.down, 1, _MAX_FACTOR)
        up_taps = factors[0] and is_int(self.up_taps, self.up, _MAX_TAPS)
        down_taps = factors[1] and is_int(self.down_taps, self.down, most)
        return [
            ("width", is_int(self.width, 1, MAX_WIDTH), f"1 to {MAX_WIDTH}"),
            ("size", is_int(self.size, 1, _MAX_SIZE), f"1 to {_MAX_SIZE}"),
            ("rate", is_int(self.rate, 1, _MAX_SIZE), f"1 to {_MAX_SIZE}"),
            ("cutoff", is_positive(self.cutoff), "a positive number"),
            ("up", factors[0], f"1 to {_MAX_FACTOR}"),
            ("down", factors[1], f"1 to {_MAX_FACTOR}"),
            ("up_taps", up_taps, taps.format(_MAX_TAPS)),
            ("down_taps", down_taps, taps.format(most)),
            ("radial", isinstance(self.radial, bool), "true or false"),
        ]


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(Configuration):
    """Everything that shapes a StyleGAN3 generator; the defaults are the authors'."""

    title: ClassVar[str] = "StyleGAN3"
    usual: ClassVar[Mapping[str, Any]] = {
        "lr_multiplier": 0.01, "channels": 3, "conv_clamp": 256.0, "output_scale": 0.25
    }  # fmt: skip

    layers: tuple[Layer, ...]  # without ToRGB
    input_width: int  # channels of the Fourier features
    input_size: int  # samples along each axis, margins included
    input_rate: int  # samples along the side of the picture
    input_cutoff: float = 2.0  # highest frequency, in cycles along the side of the picture
    kernel_size: int = 3  # of the layers' convolutions; 1 in configuration R
    w_dim: int = 512
    mapping_widths: tuple[int, ...] = (512, 512)  # outputs of the mapping's layers
    lr_multiplier: float = 0.01  # of the mapping network
    embed_width: int = 0  # outputs of the class embedding; w_dim in the authors' code
    has_w_avg: bool = True
    conv_clamp: float | None = 256.0  # activations are cut to ± this; None = never
    output_scale: float = 0.25  # from the last layer to the picture

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Read a checkpoint's `config`; unknown and missing keys are refused by name."""
        layers = values.get("layers")
        if not isinstance(layers, list | tuple):
            raise UnsupportedCheckpoint("the configuration does not fit StyleGAN3: no layers")
        try:
            made = tuple(layer if isinstance(layer, Layer) else Layer(**layer) for layer in layers)
        except TypeError as exc:
            raise UnsupportedCheckpoint(
                f"a layer of the configuration does not fit StyleGAN3: {str(exc)[:120]}"
            ) from exc
        # The class by name: without it, a data class with slots does not find its own base.
        return super(Config, cls).from_json({**values, "layers": made})

    def rules(self) -> list[Rule]:
        """Name, whether it is kept, and what is expected; later ones rely on earlier ones."""
        clamp = self.conv_clamp
        kernel = is_int(self.kernel_size, 1, 7) and self.kernel_size % 2 == 1
        sizes = all(is_int(n, 1, _MAX_SIZE) for n in (self.input_size, self.input_rate))
        band = is_positive(self.input_cutoff) and sizes and self.input_cutoff < self.input_rate / 2
        return [
            ("resolution", is_int(self.resolution, 4, MAX_RESOLUTION), f"4 to {MAX_RESOLUTION}"),
            *self.common_rules()[1:],
            ("input_width", is_int(self.input_width, 1, MAX_WIDTH), f"1 to {MAX_WIDTH}"),
            ("input_size", is_int(self.input_size, 1, _MAX_SIZE), f"1 to {_MAX_SIZE}"),
            ("input_rate", is_int(self.input_rate, 1, _MAX_SIZE), f"1 to {_MAX_SIZE}"),
            ("input_cutoff", band, "a positive number below half the rate"),
            ("kernel_size", kernel, "1, 3, 5 or 7"),
            ("layers", sizes and self._are_chained(), "layers whose rates and sizes follow on"),
            ("conv_clamp", clamp is None or is_positive(clamp), "a positive number or null"),
            ("output_scale", is_positive(self.output_scale), "a positive number"),
            *self._mapping_rules(),
        ]

    def _mapping_rules(self) -> list[Rule]:
        layers = are_widths(self.mapping_widths) and len(self.mapping_widths) <= MAX_LAYERS
        classes = is_int(self.c_dim, 0, MAX_WIDTH) and is_int(self.embed_width, 0, MAX_WIDTH)
        embed = classes and (self.embed_width > 0) == (self.c_dim > 0)
        last = layers and embed and self._w_width == self.w_dim
        return [
            ("w_dim", is_int(self.w_dim, 1, MAX_WIDTH), f"1 to {MAX_WIDTH}"),
            ("embed_width", embed, "a width if there are classes, else 0"),
            ("mapping_widths", last, f"at most {MAX_LAYERS} widths, w_dim last"),
            ("lr_multiplier", is_positive(self.lr_multiplier), "a positive number"),
            ("has_w_avg", isinstance(self.has_w_avg, bool), "true or false"),
        ]

    def _are_chained(self) -> bool:
        layers = self.layers
        if not isinstance(layers, tuple) or not 1 <= len(layers) <= MAX_LAYERS:
            return False
        rates = [self.input_rate, *(layer.rate for layer in layers)]
        steps = zip(pairwise(rates), layers, strict=True)
        kept = all(a * layer.up == b * layer.down for (a, b), layer in steps)
        return kept and layers[-1].size == self.resolution

    @property
    def kind(self) -> str:
        """The authors' configuration: R turns with the picture, T only moves with it."""
        round_filters = any(layer.radial for layer in self.layers)
        return {(1, True): "R", (3, False): "T"}.get((self.kernel_size, round_filters), "")

    @property
    def _w_width(self) -> int:
        return self.mapping_widths[-1] if self.mapping_widths else self.z_dim + self.embed_width

    @property
    def num_ws(self) -> int:
        """One row for the input, one for each layer, one for ToRGB."""
        return len(self.layers) + 2
