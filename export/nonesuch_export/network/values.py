"""Checked values of configurations: what is common to the configurations of all families."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self

from nonesuch.errors import UnsupportedCheckpoint

MAX_RESOLUTION = 4096
MAX_WIDTH = 65536  # of latents, layers and labels
MAX_LAYERS = 64  # of a mapping network
MAX_TAPS = 64
EPSILON = 1e-8  # under every root here, as in the papers' code
# Activations of StyleGAN2's programs.
ACTIVATIONS = (
    "linear", "relu", "lrelu", "tanh", "sigmoid", "elu", "selu", "softplus", "swish"
)  # fmt: skip

MAX_NUMBER = 1e6  # clamps, multipliers, taps

Rule = tuple[str, bool, str]  # a field's name, whether the rule is kept, what is expected


@dataclass(frozen=True, kw_only=True, slots=True)
class Configuration:
    """What shapes a generator: plain data, checked in full, so that one that exists can be built.

    A family's own class adds its fields, names the family in `title` and gives its `rules`; it
    is frozen, and `dataclasses.asdict` of it is JSON data that `from_json` takes back. Raises
    UnsupportedCheckpoint for a value of the wrong type or outside its range, by name.
    """

    title: ClassVar[str]  # the family as people write it
    usual: ClassVar[Mapping[str, Any]] = {}  # of nearly every published one; others get a remark

    resolution: int  # pixels
    channels: int = 3  # of the image
    z_dim: int = 512
    c_dim: int = 0  # 0 = unconditional

    def __post_init__(self) -> None:
        for name, good, rule in self.rules():
            if not good:
                raise UnsupportedCheckpoint(
                    f"the {self.title} configuration has {name} {shown(getattr(self, name))}, "
                    f"expected {rule}"
                )

    def rules(self) -> list[Rule]:
        """All rules of the family; `common_rules` are those of every one."""
        return self.common_rules()

    def common_rules(self) -> list[Rule]:
        return [
            ("resolution", is_resolution(self.resolution), "a power of two, 4 to 4096"),
            ("channels", is_int(self.channels, 1, 4) and self.channels != 2, "1, 3 or 4"),
            ("z_dim", is_int(self.z_dim, 1, MAX_WIDTH), f"1 to {MAX_WIDTH}"),
            ("c_dim", is_int(self.c_dim, 0, MAX_WIDTH), f"0 to {MAX_WIDTH}"),
        ]

    @property
    def kind(self) -> str:
        """Which of the family's own architectures it is, in the field's words, or nothing."""
        return ""

    @property
    def num_ws(self) -> int:
        """Rows of ws, 0 for a family without w."""
        return 0

    @property
    def noise_layers(self) -> int:
        """Layers with noise of their own."""
        return 0

    @property
    def recommended(self) -> tuple[float, int | None]:
        """psi and cutoff (None = all rows) that the checkpoint itself asks for by default."""
        return 1.0, None

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Read a checkpoint's `config`; unknown and missing keys are refused by name."""
        known = {f.name for f in fields(cls)}
        for key in sorted(map(str, set(values) - known)):
            raise UnsupportedCheckpoint(f"the configuration has an unknown key {key[:60]!r}")
        try:
            return cls(**{key: tuples(value) for key, value in values.items()})
        except (TypeError, RecursionError) as exc:
            raise UnsupportedCheckpoint(
                f"the configuration does not fit {cls.title}: {str(exc)[:120]}"
            ) from exc


def shown(value: Any) -> str:
    """A value for a message, short whatever it is."""
    simple = isinstance(value, str | int | float | None)
    text = repr(value) if simple else f"a {type(value).__name__}"
    return text if len(text) <= 60 else text[:57] + "…"


def is_int(value: Any, least: int, most: int) -> bool:
    return type(value) is int and least <= value <= most


def is_resolution(value: Any) -> bool:
    """Whether it is a power of two within the bounds."""
    return is_int(value, 4, MAX_RESOLUTION) and value & (value - 1) == 0


def are_widths(values: Any) -> bool:
    return isinstance(values, tuple) and all(is_int(v, 1, MAX_WIDTH) for v in values)


def is_number(value: Any) -> bool:
    return type(value) in {int, float} and math.isfinite(value) and abs(value) <= MAX_NUMBER


def is_positive(value: Any) -> bool:
    return is_number(value) and value > 0


def is_filter(taps: Any) -> bool:
    """Whether it is a separable filter's taps, or a square of them."""
    if not isinstance(taps, tuple) or not 1 <= len(taps) <= MAX_TAPS:
        return False
    if all(map(is_number, taps)):
        return len(taps) > 1
    return all(
        isinstance(row, tuple) and len(row) == len(taps) and all(map(is_number, row))
        for row in taps
    )


def tuples(value: Any) -> Any:
    """JSON's lists as tuples, at any depth."""
    return tuple(tuples(v) for v in value) if isinstance(value, list | tuple) else value
