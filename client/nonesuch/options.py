"""What a caller may ask for: frozen values, valid by construction.

Each class raises InvalidRequest where a value lies outside its range. Whether a certain model can
honour them is checked against its card when the request is built (`wire.encode`).
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Literal, TypedDict

import numpy as np
from numpy.typing import NDArray

from nonesuch import layers
from nonesuch.contract import DEFAULT_QUALITY, FACTOR, FORMATS, LATENT, QUALITY
from nonesuch.errors import InvalidRequest
from nonesuch.latents import check_latent, check_seed

NoiseMode = Literal["const", "random", "none"]
FormatName = Literal["jpeg", "png", "webp", "raw"]

# Soft labels: weights by class, the others 0; or one for each class.
ClassWeights = Mapping[int, float] | Sequence[float]
Latent = NDArray[np.floating]  # any precision; kept and sent as float32

_TARGET = re.compile(r"[^/\s]+:(?P<port>\d{1,5})", re.ASCII)


def check_timeout(timeout_s: float) -> None:
    """Raise InvalidRequest unless the timeout is a span of time."""
    if not (isinstance(timeout_s, Real) and 0 < timeout_s < math.inf):
        raise InvalidRequest(f"timeout_s is {timeout_s!r}, expected seconds above 0")


def _check_factor(name: str, value: float) -> None:
    # Numbers of numpy are numbers too; NaN is in no range.
    if not (isinstance(value, Real) and -FACTOR <= value <= FACTOR):
        raise InvalidRequest(f"{name} is {value!r}, expected {-FACTOR:g} to {FACTOR:g}")


def _check_whole(name: str, value: int | None, least: int, expected: str) -> None:
    if value is not None and not (isinstance(value, Integral) and value >= least):
        raise InvalidRequest(f"{name} is {value!r}, expected {expected}")


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise InvalidRequest(f"{name} is {value!r}, expected one of {', '.join(choices)}")


def _check_shares(shares: tuple[float, ...]) -> None:
    if not shares:
        raise InvalidRequest("shares is empty, expected one share or one for each row of ws")
    for row, share in enumerate(shares):
        if not (isinstance(share, Real) and 0 <= share <= 1):
            raise InvalidRequest(f"share {row} of the mix is {share!r}, expected 0 to 1")


@dataclass(frozen=True, kw_only=True, slots=True)
class Truncation:
    """Pull latents towards the average one (StyleGAN, appendix B)."""

    psi: float = 1.0  # 1 = off, 0 = the average picture, below 0 = its opposite
    cutoff: int | None = None  # truncate the first `cutoff` rows of ws; None = all
    # Towards the nearest of the model's several centres of w, instead of the one average: keeps
    # more variety (where the card has `modes`).
    modes: bool = False

    def __post_init__(self) -> None:
        _check_factor("psi", self.psi)
        _check_whole("cutoff", self.cutoff, 0, "a count of rows from 0 on")

    @classmethod
    def parse(cls, text: str) -> "Truncation":
        """Read `psi` or `psi:cutoff`.

        >>> Truncation.parse("0.7:8")
        Truncation(psi=0.7, cutoff=8, modes=False)
        """
        psi, colon, cutoff = text.partition(":")
        try:
            factor, rows = float(psi), int(cutoff) if colon else None
        except ValueError:
            raise InvalidRequest(
                f"cannot read {text!r} as truncation, expected psi or psi:cutoff, as in 0.7:8"
            ) from None
        return cls(psi=factor, cutoff=rows)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Mix:
    """Take part of each picture's ws from a second latent (style mixing, StyleGAN section 3.1).

    The second latent is that of `seed`, or `z` [z_dim] itself. And exactly one of: `layers`, whose
    rows come from it (`coarse`, `fine`, `4-7`, …); `crossover`, from which row on they do; or
    `shares`, how much of the second w goes into each row, 0 to 1; a single share holds for all
    rows and walks on the line between the two in W.
    """

    seed: int | None = None
    z: Latent | None = None
    layers: str | None = None
    crossover: int | None = None
    shares: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if (self.seed is None) == (self.z is None):
            raise InvalidRequest("a mix takes either a seed or a z, and not both")
        if self.seed is not None:
            check_seed(self.seed, "mix seed")
        if self.z is not None:
            object.__setattr__(self, "z", check_latent(self.z, "the z of the mix", "[z_dim]"))
        given = (self.layers, self.crossover, self.shares)
        if sum(way is not None for way in given) != 1:
            raise InvalidRequest(
                "a mix takes either layers, a crossover or shares, got "
                + (", ".join(str(way) for way in given if way is not None) or "none of them")
            )
        if self.layers is not None:
            layers.check(self.layers)
        _check_whole("crossover", self.crossover, 0, "a row of ws from 0 on")
        if self.shares is not None:
            _check_shares(self.shares)


@dataclass(frozen=True, kw_only=True, slots=True)
class Noise:
    """The noise between the layers (StyleGAN section 3.2), by the published names of its modes.

    `const` is the noise stored in the model, `none` leaves it out, `random` draws other noise
    from `seed`, without which the picture could not be made again.
    """

    mode: NoiseMode = "const"
    seed: int | None = None  # for `random` only, where it must be given
    scale: float = 1.0  # times the learned strength of each layer; 1 = as trained
    layers: str = "all"  # those that get noise: `coarse`, `fine`, `4-7`, …; the others get none

    def __post_init__(self) -> None:
        _check_choice("noise mode", self.mode, ("const", "random", "none"))
        _check_factor("noise scale", self.scale)
        layers.check(self.layers)
        if self.mode == "random" and self.seed is None:
            raise InvalidRequest("random noise needs a noise seed, give one (0 will do)")
        if self.mode != "random" and self.seed is not None:
            raise InvalidRequest(
                f"noise {self.mode} takes no noise seed, remove {self.seed} or choose random"
            )
        if self.mode == "none" and self.scale != 1.0:
            raise InvalidRequest(f"noise none takes no scale, remove {self.scale}")
        if self.mode == "none" and self.layers != "all":
            raise InvalidRequest(f"noise none takes no layers, remove {self.layers}")
        if self.seed is not None:
            check_seed(self.seed, "noise seed")


@dataclass(frozen=True, kw_only=True, slots=True)
class Transform:
    """Move and turn the picture, where a model takes that (StyleGAN3, section 3.1).

    Shifts are in units of the picture's width and height; the meaning of both, and of the signs,
    is that of the authors' `gen_images.py --translate --rotate`.
    """

    translate: tuple[float, float] = (0.0, 0.0)  # x, y
    rotate: float = 0.0  # degrees

    def __post_init__(self) -> None:
        if len(self.translate) != 2:
            raise InvalidRequest(f"translate is {self.translate!r}, expected x and y")
        for axis, shift in zip("xy", self.translate, strict=True):
            _check_factor(f"translate {axis}", shift)
        if not (isinstance(self.rotate, Real) and -360 <= self.rotate <= 360):
            raise InvalidRequest(f"rotate is {self.rotate!r}, expected -360 to 360 degrees")

    @property
    def matrix(self) -> tuple[tuple[float, ...], ...]:
        """The inverse of the motion, [3, 3] by rows, as the network takes it."""
        angle = math.radians(self.rotate)
        cos, sin = math.cos(angle), math.sin(angle)
        x, y = self.translate
        return (
            (cos, -sin, sin * y - cos * x),
            (sin, cos, -sin * x - cos * y),
            (0.0, 0.0, 1.0),
        )


def parse_translate(text: str) -> tuple[float, float]:
    """Read `X,Y`; raises InvalidRequest for what is none.

    >>> parse_translate("0.15,-0.1")
    (0.15, -0.1)
    """
    try:
        x, y = map(float, text.split(","))
    except ValueError:
        raise InvalidRequest(f"cannot read {text!r}, expected X,Y as in 0.15,-0.1") from None
    return Transform(translate=(x, y)).translate


@dataclass(frozen=True, kw_only=True, slots=True)
class Format:
    """How pictures come back: as a file's bytes, or `raw` as pixels."""

    name: FormatName = "jpeg"
    quality: int | None = None  # 1 to 100, for jpeg and webp; None = the server's, 90

    def __post_init__(self) -> None:
        _check_choice("format", self.name, (*FORMATS, "raw"))
        if self.quality is None:
            return
        if self.name in {"png", "raw"}:
            raise InvalidRequest(f"{self.name} loses nothing, remove the quality ({self.quality})")
        least, most = QUALITY
        if not (isinstance(self.quality, Integral) and least <= self.quality <= most):
            raise InvalidRequest(
                f"quality is {self.quality!r}, expected {least} to {most} (or none: "
                f"{DEFAULT_QUALITY})"
            )


def _check_weights(weights: ClassWeights) -> None:
    classes: Sequence[int] = range(len(weights))
    if isinstance(weights, Mapping):
        classes, weights = list(weights), list(weights.values())
    for class_idx, weight in zip(classes, weights, strict=True):
        _check_whole("class", class_idx, 0, "a whole number from 0 on")
        if not (isinstance(weight, Real) and -LATENT <= weight <= LATENT):
            raise InvalidRequest(
                f"the weight of class {class_idx} is {weight!r}, expected {-LATENT:g} to {LATENT:g}"
            )


STORED_NOISE = Noise()
JPEG = Format()
RAW = Format(name="raw")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Sample:
    """One picture to be made: a latent and all the settings that hold for this picture alone.

    The latent is exactly one of `seed`, `z` [z_dim] and `ws`, a whole W code: [w_dim] for all
    rows, or [num_ws, w_dim]. A ws is truncated only where a truncation is given, and is neither
    mixed nor of a class. Arrays are copied, as float32.
    """

    seed: int | None = None
    z: Latent | None = None
    ws: Latent | None = None
    truncation: Truncation | None = None  # None = what the model's card recommends; for ws none
    mix: Mix | None = None
    noise: Noise = STORED_NOISE
    directions: Mapping[str, float] | None = None  # weights by name, 1 = one standard deviation
    ws_offset: Latent | None = None  # [w_dim] or [num_ws, w_dim], added to ws after truncation
    class_idx: int | None = None
    class_weights: ClassWeights | None = None
    transform: Transform | None = None

    def __post_init__(self) -> None:
        latents = {"seed": self.seed, "z": self.z, "ws": self.ws}
        given = [name for name, latent in latents.items() if latent is not None]
        if len(given) != 1:
            raise InvalidRequest(
                "a sample takes exactly one of seed, z and ws, got "
                + (" and ".join(given) or "none of them")
            )
        self._keep_arrays()
        if self.ws is not None:
            self._check_beside_ws()
        check_class(self.class_idx, self.class_weights)
        for name, weight in (self.directions or {}).items():
            _check_factor(f"the weight of {name}", weight)

    def _keep_arrays(self) -> None:
        if self.seed is not None:
            object.__setattr__(self, "seed", check_seed(self.seed))
        if self.z is not None:
            object.__setattr__(self, "z", check_latent(self.z, "z", "[z_dim]"))
        for name in ("ws", "ws_offset"):
            if (code := getattr(self, name)) is not None:
                kept = check_latent(code, name, "[w_dim]", "[num_ws, w_dim]")
                object.__setattr__(self, name, kept)

    def _check_beside_ws(self) -> None:
        if self.mix is not None:
            raise InvalidRequest("ws is the code of every layer already, remove the mix")
        if self.class_idx is not None or self.class_weights is not None:
            raise InvalidRequest("ws comes after the mapping that takes classes, remove the class")
        if self.truncation is not None and self.truncation.modes:
            raise InvalidRequest("ws is truncated towards the one average w, remove modes")


class Settings(TypedDict, total=False):
    """What a `Sample` takes beside its latent, by keyword, for functions that hand it on."""

    truncation: Truncation | None
    mix: Mix | None
    noise: Noise
    directions: Mapping[str, float] | None
    ws_offset: Latent | None
    class_idx: int | None
    class_weights: ClassWeights | None
    transform: Transform | None


def check_class(class_idx: int | None, weights: ClassWeights | None) -> None:
    """Raise InvalidRequest unless these are one class, the weights of some, or neither."""
    _check_whole("class", class_idx, 0, "a whole number from 0 on")
    if weights is not None:
        if class_idx is not None:
            raise InvalidRequest("give either a class or class weights, and not both")
        _check_weights(weights)


def parse_directions(text: str) -> dict[str, float]:
    """Read weights of directions; raises InvalidRequest for the part that cannot be read.

    >>> parse_directions("smile=1.5,age=-1")
    {'smile': 1.5, 'age': -1.0}
    """
    weights: dict[str, float] = {}
    for part in text.split(","):
        name, _, weight = part.strip().partition("=")
        try:
            weights[name] = float(weight)
        except ValueError:
            raise InvalidRequest(
                f"cannot read {part!r} as a direction, expected NAME=WEIGHT as in smile=1.5"
            ) from None
        _check_factor(f"the weight of {name}", weights[name])
    return weights


@dataclass(frozen=True, kw_only=True, slots=True)
class Connection:
    """Where a server is, and how hard it may be asked."""

    url: str = "localhost:8001"  # HOST:PORT of its gRPC endpoint
    timeout_s: float = 60.0  # for each request, from sending to the last byte of its answer
    in_flight: int = 4  # requests under way at once

    def __post_init__(self) -> None:
        if not (found := _TARGET.fullmatch(self.url)):
            raise InvalidRequest(f"url is {self.url!r}, expected HOST:PORT as in localhost:8001")
        if not 0 < int(found["port"]) < 2**16:  # gRPC would take it modulo 2**16
            raise InvalidRequest(
                f"the port of url {self.url!r} is {found['port']}, expected 1 to 65535"
            )
        check_timeout(self.timeout_s)
        _check_whole("in_flight", self.in_flight, 1, "at least 1")
