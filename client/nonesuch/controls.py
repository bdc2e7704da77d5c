"""The controls of a picture as text: words of the command line and of the HTTP API, read once.

On the command line `noise_seed` is `--noise-seed`, in an address `noise_seed=`. Truncation, which
the two write each in its own way, comes to `settings` as a value.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from nonesuch.contract import FACTOR, SEEDS
from nonesuch.errors import InvalidRequest
from nonesuch.options import (
    Mix,
    Noise,
    NoiseMode,
    Settings,
    Transform,
    Truncation,
    parse_directions,
    parse_translate,
)

_WHOLE = re.compile(r"[+-]?\d{1,20}", re.ASCII)
_LAYERS = "coarse, middle, fine, 4-7, …"


def parse_whole(text: str) -> int:
    """Read a whole number; raises InvalidRequest for what is none."""
    if not _WHOLE.fullmatch(text):
        raise InvalidRequest(f"cannot read {text[:40]!r}, expected a whole number")
    return int(text)


def parse_number(text: str) -> float:
    """Read a number; raises InvalidRequest for what is none."""
    try:
        return float(text)
    except ValueError:
        raise InvalidRequest(f"cannot read {text[:40]!r}, expected a number") from None


def parse_flag(text: str) -> bool:
    """Read a yes or no; raises InvalidRequest for anything but `true`, `1`, `false` and `0`."""
    if text not in {"true", "1", "false", "0"}:
        raise InvalidRequest(f"cannot read {text[:40]!r}, expected true or false")
    return text in {"true", "1"}


def parse_shares(text: str) -> tuple[float, ...]:
    """Read shares with commas between them.

    >>> parse_shares("0,0.5,1")
    (0.0, 0.5, 1.0)
    """
    return tuple(parse_number(part) for part in text.split(","))


@dataclass(frozen=True, kw_only=True, slots=True)
class Control:
    """One setting of a picture, by its name, and how its text is read."""

    name: str
    about: str  # a sentence, or a part of one that goes on in the next control's
    metavar: str = ""
    read: Callable[[str], Any] = str  # raises InvalidRequest
    # JSON Schema of a value; a boolean one is a flag, and `enum` lists all there are.
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})
    needs: str = ""  # the graph's input that a model must have for it
    example: str = ""

    @property
    def flag(self) -> bool:
        return bool(self.schema["type"] == "boolean")


_SEED = {"type": "integer", "minimum": 0, "maximum": SEEDS - 1}
_FACTOR = {"type": "number", "minimum": -FACTOR, "maximum": FACTOR}

SETTINGS = (
    Control(
        name="modes",
        about="Truncate towards the nearest of the model's centres, which keeps variety.",
        read=parse_flag,
        schema={"type": "boolean"},
        needs="modes",
        example="true",
    ),
    Control(
        name="class",
        about="Of a conditional model.",
        metavar="K",
        read=parse_whole,
        schema={"type": "integer", "minimum": 0},
        needs="c",
        example="1",
    ),
    Control(
        name="noise",
        about="As stored, or none.",
        schema={"type": "string", "enum": ["const", "none"], "default": "const"},
        needs="noise_scale",
        example="none",
    ),
    Control(
        name="noise_seed",
        about="Other noise than the stored.",
        metavar="N",
        read=parse_whole,
        schema=_SEED,
        needs="noise_shift",
        example="3",
    ),
    Control(
        name="noise_layers",
        about=f"That get noise: {_LAYERS}",
        metavar="LAYERS",
        schema={"type": "string", "default": "all"},
        needs="noise_scale",
        example="coarse",
    ),
    Control(
        name="noise_scale",
        about="Times the learned strength of the noise; 1 = as trained.",
        metavar="FACTOR",
        read=parse_number,
        schema=_FACTOR,
        needs="noise_scale",
        example="2",
    ),
    Control(
        name="directions",
        about="The model's dials, e.g. smile=1.5,age=-1 (`nonesuch info NAME` lists them).",
        metavar="NAME=WEIGHT,…",
        read=parse_directions,
        needs="ws_offset",
        example="smile=1.5",
    ),
    Control(
        name="translate",
        about="Move the picture, 1 = its width and height (StyleGAN3).",
        metavar="X,Y",
        read=parse_translate,
        needs="transform",
        example="0.1,0",
    ),
    Control(
        name="rotate",
        about="Turn the picture (StyleGAN3).",
        metavar="DEGREES",
        read=parse_number,
        schema={"type": "number", "minimum": -360, "maximum": 360},
        needs="transform",
        example="10",
    ),
)
MIXING = (
    Control(
        name="mix_seed",
        about="Take the styles of this seed …",
        metavar="N",
        read=parse_whole,
        schema=_SEED,
        needs="mix",
        example="7",
    ),
    Control(
        name="mix_layers",
        about=f"… in these layers: {_LAYERS.replace('middle, fine, ', '')}",
        metavar="LAYERS",
        needs="mix",
        example="coarse",
    ),
    Control(
        name="crossover",
        about="… or from this row of ws on,",
        metavar="ROW",
        read=parse_whole,
        schema={"type": "integer", "minimum": 0},
        needs="mix",
        example="4",
    ),
    Control(
        name="mix_shares",
        about="… or so much of them, 0 to 1, in all rows or in each.",
        metavar="SHARE,…",
        read=parse_shares,
        needs="mix",
        example="0.5",
    ),
)


def settings(given: Mapping[str, Any], truncation: Truncation | None) -> Settings:
    """Build the settings of a picture from values as they were read, by the control's name.

    What is absent or None is not set. Raises InvalidRequest for what does not go together.
    """
    return Settings(
        truncation=_truncation(truncation, bool(given.get("modes"))),
        mix=mix(given),
        noise=_noise(given),
        directions=given.get("directions"),
        class_idx=given.get("class"),
        transform=_transform(given.get("translate"), given.get("rotate")),
    )


def mix(given: Mapping[str, Any]) -> Mix | None:
    """Build the mix, if there is one; raises InvalidRequest for half of one."""
    ways = {
        "layers": given.get("mix_layers"),
        "crossover": given.get("crossover"),
        "shares": given.get("mix_shares"),
    }
    seed = given.get("mix_seed")
    count = sum(way is not None for way in ways.values())
    if count != (seed is not None):
        raise InvalidRequest(
            "a mix seed goes with one of mix layers, a crossover and mix shares, and these with it"
        )
    return None if seed is None else Mix(seed=seed, **ways)


def _truncation(truncation: Truncation | None, modes: bool) -> Truncation | None:
    if not modes:
        return truncation
    if truncation is None:
        raise InvalidRequest("modes go with a truncation, give its psi")
    return replace(truncation, modes=True)


def _noise(given: Mapping[str, Any]) -> Noise:
    mode: NoiseMode = given.get("noise") or "const"
    seed = given.get("noise_seed")
    layers, scale = given.get("noise_layers"), given.get("noise_scale")
    return Noise(
        mode="random" if mode == "const" and seed is not None else mode,
        seed=seed,
        layers="all" if layers is None else layers,
        scale=1.0 if scale is None else scale,
    )


def _transform(translate: tuple[float, float] | None, rotate: float | None) -> Transform | None:
    if translate is None and rotate is None:
        return None
    return Transform(translate=translate or (0.0, 0.0), rotate=rotate or 0.0)
