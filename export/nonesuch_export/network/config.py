"""What shapes a StyleGAN2 generator, checked in full: a `Config` that exists can be built."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

from nonesuch_export.network.values import (
    ACTIVATIONS,
    MAX_LAYERS,
    MAX_RESOLUTION,
    MAX_WIDTH,
    Configuration,
    Rule,
    are_widths,
    is_filter,
    is_int,
    is_number,
    is_positive,
)

Architecture = Literal["skip", "resnet", "orig"]
Filter = tuple[float, ...] | tuple[tuple[float, ...], ...]

BINOMIAL = tuple(tuple(a * b / 64 for b in (1, 3, 3, 1)) for a in (1, 3, 3, 1))


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(Configuration):
    """Everything that shapes a StyleGAN2 generator; the defaults are the authors'.

    Raises UnsupportedCheckpoint for a value of the wrong type or outside its range, by name.
    """

    title: ClassVar[str] = "StyleGAN2"
    usual: ClassVar[Mapping[str, Any]] = {
        "architecture": "skip",
        "activation": "lrelu",
        "mapping_activation": "lrelu",
        "kernel_size": 3,
        "lr_multiplier": 0.01,
        "channels": 3,
        "resample_filter": BINOMIAL,
    }

    widths: tuple[int, ...]  # channels of block 4, 8, …, resolution
    mapping_widths: tuple[int, ...] = (512,) * 8  # outputs of the mapping's layers
    w_dim: int = 512
    embed_width: int = 0  # outputs of the class embedding; w_dim in the authors' code
    architecture: Architecture = "skip"
    activation: str = "lrelu"
    mapping_activation: str = "lrelu"
    lr_multiplier: float = 0.01  # of the mapping network
    conv_clamp: float | None = 256.0  # activations are cut to ± this; None = never
    use_noise: bool = True
    kernel_size: int = 3
    has_w_avg: bool = True
    resample_filter: Filter = BINOMIAL  # normalised; one row of taps is applied along both axes
    label_concat: bool = False  # classes join z by a bare matrix, then both are normalised as one
    normalize_z: bool = True  # z, with classes that join it, has mean square 1 when it enters
    equalized: bool = False  # weights are scaled by 1/√fan-in before demodulation
    fade: float = 0.0  # share of the picture of the block below, of an "orig" that still grows
    psi: float = 1.0  # truncation that the file asks for; 1 = off
    cutoff: int | None = None  # rows of ws that psi acts on; None = all

    def rules(self) -> list[Rule]:
        """Name, whether it is kept, and what is expected; later ones rely on earlier ones."""
        common = self.common_rules()
        clamp, sound = self.conv_clamp, all(good for _, good, _ in common)
        names = ", ".join(ACTIVATIONS)
        blocks = len(self.block_resolutions) if sound else 0
        layers = are_widths(self.mapping_widths) and len(self.mapping_widths) <= MAX_LAYERS
        embed = sound and is_int(self.embed_width, 0, MAX_WIDTH)
        embed = embed and (self.embed_width > 0) == (self.c_dim > 0)
        last = layers and embed and self._w_width == self.w_dim
        kernel = is_int(self.kernel_size, 1, 7) and self.kernel_size % 2 == 1
        return [
            *common,
            ("widths", are_widths(self.widths) and len(self.widths) == blocks, "one a block"),
            ("w_dim", is_int(self.w_dim, 1, MAX_WIDTH), f"1 to {MAX_WIDTH}"),
            ("embed_width", embed, "a width if there are classes, else 0"),
            ("mapping_widths", last, f"at most {MAX_LAYERS} widths, w_dim last"),
            ("architecture", self.architecture in get_args(Architecture), "skip, resnet or orig"),
            ("activation", self.activation in ACTIVATIONS, names),
            ("mapping_activation", self.mapping_activation in ACTIVATIONS, names),
            ("lr_multiplier", is_positive(self.lr_multiplier), "a positive number"),
            ("conv_clamp", clamp is None or is_positive(clamp), "a positive number or null"),
            ("kernel_size", kernel, "1, 3, 5 or 7"),
            ("use_noise", isinstance(self.use_noise, bool), "true or false"),
            ("has_w_avg", isinstance(self.has_w_avg, bool), "true or false"),
            ("resample_filter", is_filter(self.resample_filter), "numbers, [taps] or [taps, taps]"),
            *self._rules_of_tensorflow(),
        ]

    def _rules_of_tensorflow(self) -> list[Rule]:
        """The rules for what only the TensorFlow program has."""
        flags = ("label_concat", "normalize_z", "equalized")
        below = is_int(self.resolution, 8, MAX_RESOLUTION) and self.architecture == "orig"
        fade = is_number(self.fade) and (self.fade == 0 or (below and 0 < self.fade < 1))
        rows = self.cutoff is None or is_int(self.cutoff, 0, MAX_WIDTH)
        return [
            *((name, isinstance(getattr(self, name), bool), "true or false") for name in flags),
            ("fade", fade, "0, or in an 'orig' of more than one block a share below 1"),
            ("psi", is_number(self.psi), "a number"),
            ("cutoff", rows, "a number of rows or null"),
        ]

    @property
    def kind(self) -> str:
        return self.architecture

    @property
    def _w_width(self) -> int:
        return self.mapping_widths[-1] if self.mapping_widths else self.z_dim + self.embed_width

    @classmethod
    def sized(
        cls, *, resolution: int, classes: int, channel_base: int | None, channel_max: int
    ) -> "Config":
        """The configuration that the authors' training gives a new network.

        Without `channel_base` the widths are those that they take for the resolution.
        """
        if channel_base is None:
            channel_base = 32768 if resolution >= 512 else 16384
        return cls(
            resolution=resolution,
            widths=channel_widths(resolution, channel_base, channel_max),
            c_dim=classes,
            embed_width=512 if classes else 0,
        )

    @property
    def block_resolutions(self) -> list[int]:
        return [2**i for i in range(2, self.resolution.bit_length())]

    @property
    def num_ws(self) -> int:
        """One row for each convolution and one for the last ToRGB."""
        return 2 * len(self.block_resolutions)

    @property
    def noise_layers(self) -> int:
        return self.num_ws - 1 if self.use_noise else 0

    @property
    def recommended(self) -> tuple[float, int | None]:
        return self.psi, self.cutoff


def channel_widths(resolution: int, base: int = 32768, most: int = 512) -> tuple[int, ...]:
    """The authors' rule for `Config.widths`: min(base // r, most) channels at resolution r."""
    return tuple(min(base // 2**i, most) for i in range(2, resolution.bit_length()))
