"""What shapes a StyleGAN2 generator, checked in full: a `Config` that exists can be built."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from nonesuch.errors import UnsupportedCheckpoint
from nonesuch_export.network.ops import ACTIVATIONS

Architecture = Literal["skip", "resnet", "orig"]
Filter = tuple[float, ...] | tuple[tuple[float, ...], ...]

BINOMIAL = tuple(tuple(a * b / 64 for b in (1, 3, 3, 1)) for a in (1, 3, 3, 1))

_MAX_RESOLUTION = 4096
_MAX_WIDTH = 65536  # of latents, layers and labels
_MAX_LAYERS = 64  # of the mapping network
_MAX_TAPS = 64
_MAX_NUMBER = 1e6  # clamps, multipliers, taps


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Everything that shapes a StyleGAN2 generator; the defaults are the authors'.

    Raises UnsupportedCheckpoint for a value of the wrong type or outside its range, by name.
    """

    resolution: int  # pixels, a power of two
    widths: tuple[int, ...]  # channels of block 4, 8, …, resolution
    mapping_widths: tuple[int, ...] = (512,) * 8  # outputs of the mapping's layers
    z_dim: int = 512
    w_dim: int = 512
    c_dim: int = 0  # 0 = unconditional
    embed_width: int = 0  # outputs of the class embedding; w_dim in the authors' code
    channels: int = 3  # of the image
    architecture: Architecture = "skip"
    activation: str = "lrelu"
    mapping_activation: str = "lrelu"
    lr_multiplier: float = 0.01  # of the mapping network
    conv_clamp: float | None = 256.0  # activations are cut to ± this; None = never
    use_noise: bool = True
    kernel_size: int = 3
    has_w_avg: bool = True
    resample_filter: Filter = BINOMIAL  # normalised; one row of taps is applied along both axes

    def __post_init__(self) -> None:
        for name, good, rule in self._rules():
            if not good:
                raise UnsupportedCheckpoint(
                    f"the StyleGAN2 configuration has {name} {_shown(getattr(self, name))}, "
                    f"expected {rule}"
                )

    def _rules(self) -> list[tuple[str, bool, str]]:
        """Name, whether it is kept, and what is expected; later ones rely on earlier ones."""
        r, clamp = self.resolution, self.conv_clamp
        names = ", ".join(ACTIVATIONS)
        size = _is_int(r, 4, _MAX_RESOLUTION) and r & (r - 1) == 0
        blocks = r.bit_length() - 2 if size else 0
        layers = _are_widths(self.mapping_widths) and len(self.mapping_widths) <= _MAX_LAYERS
        classes = _is_int(self.c_dim, 0, _MAX_WIDTH)
        embed = _is_int(self.embed_width, 0, _MAX_WIDTH)
        embed = embed and classes and (self.embed_width > 0) == (self.c_dim > 0)
        latents = _is_int(self.z_dim, 1, _MAX_WIDTH)
        last = layers and latents and embed and self._w_width == self.w_dim
        return [
            ("resolution", size, "a power of two, 4 to 4096"),
            ("widths", _are_widths(self.widths) and len(self.widths) == blocks, "one a block"),
            ("channels", _is_int(self.channels, 1, 4) and self.channels != 2, "1, 3 or 4"),
            ("z_dim", latents, f"1 to {_MAX_WIDTH}"),
            ("w_dim", _is_int(self.w_dim, 1, _MAX_WIDTH), f"1 to {_MAX_WIDTH}"),
            ("c_dim", classes, f"0 to {_MAX_WIDTH}"),
            ("embed_width", embed, "a width if there are classes, else 0"),
            ("mapping_widths", last, f"at most {_MAX_LAYERS} widths, w_dim last"),
            ("architecture", self.architecture in get_args(Architecture), "skip, resnet or orig"),
            ("activation", self.activation in ACTIVATIONS, names),
            ("mapping_activation", self.mapping_activation in ACTIVATIONS, names),
            ("lr_multiplier", _is_positive(self.lr_multiplier), "a positive number"),
            ("conv_clamp", clamp is None or _is_positive(clamp), "a positive number or null"),
            (
                "kernel_size",
                _is_int(self.kernel_size, 1, 7) and self.kernel_size % 2 == 1,
                "1, 3, 5 or 7",
            ),
            ("use_noise", isinstance(self.use_noise, bool), "true or false"),
            ("has_w_avg", isinstance(self.has_w_avg, bool), "true or false"),
            (
                "resample_filter",
                _is_filter(self.resample_filter),
                "numbers, [taps] or [taps, taps]",
            ),
        ]

    @property
    def _w_width(self) -> int:
        return self.mapping_widths[-1] if self.mapping_widths else self.z_dim + self.embed_width

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Config":
        """Read a checkpoint's `config`; unknown and missing keys are refused by name."""
        known = {f.name for f in fields(cls)}
        for key in sorted(map(str, set(values) - known)):
            raise UnsupportedCheckpoint(f"the configuration has an unknown key {key[:60]!r}")
        try:
            return cls(**{key: _tuples(value) for key, value in values.items()})
        except (TypeError, RecursionError) as exc:
            raise UnsupportedCheckpoint(
                f"the configuration does not fit StyleGAN2: {str(exc)[:120]}"
            ) from exc

    @property
    def block_resolutions(self) -> list[int]:
        return [2**i for i in range(2, self.resolution.bit_length())]

    @property
    def num_ws(self) -> int:
        """One row for each convolution and one for the last ToRGB."""
        return 2 * len(self.block_resolutions)


def channel_widths(resolution: int, base: int = 32768, most: int = 512) -> tuple[int, ...]:
    """The authors' rule for `Config.widths`: min(base // r, most) channels at resolution r."""
    return tuple(min(base // 2**i, most) for i in range(2, resolution.bit_length()))


def _shown(value: Any) -> str:
    text = (
        repr(value) if isinstance(value, str | int | float | None) else f"a {type(value).__name__}"
    )
    return text if len(text) <= 60 else text[:57] + "…"


def _is_int(value: Any, least: int, most: int) -> bool:
    return type(value) is int and least <= value <= most


def _are_widths(values: Any) -> bool:
    return isinstance(values, tuple) and all(_is_int(v, 1, _MAX_WIDTH) for v in values)


def _is_number(value: Any) -> bool:
    return type(value) in {int, float} and math.isfinite(value) and abs(value) <= _MAX_NUMBER


def _is_positive(value: Any) -> bool:
    return _is_number(value) and value > 0


def _is_filter(taps: Any) -> bool:
    if not isinstance(taps, tuple) or not 1 <= len(taps) <= _MAX_TAPS:
        return False
    if all(map(_is_number, taps)):
        return len(taps) > 1
    return all(
        isinstance(row, tuple) and len(row) == len(taps) and all(map(_is_number, row))
        for row in taps
    )


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list | tuple) else value
