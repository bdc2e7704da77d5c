"""Pictures that melt into each other: keyframes to the samples of frames between them.

Through z the way between two keyframes is an arc (Shoemake 1985, section 3.3): latents drawn from
a normal distribution lie near a sphere, and a straight line would cut through its inside, where no
seed is. In W, which has no such shape, it is the straight line, or one smooth curve through all
keyframes (Catmull and Rom 1974).
"""

import base64
from collections.abc import Iterable, Iterator, Mapping, Sized
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from nonesuch.card import Card
from nonesuch.codes import Codes
from nonesuch.errors import InvalidRequest
from nonesuch.latents import Seeds, check_seed, latent
from nonesuch.options import Noise, Sample, Truncation

Through = Literal["z", "w", "spline"]
Points = NDArray[np.float64]  # [K, …], one latent a keyframe

_PARALLEL = 1e-9  # sine of the angle below which two vectors have one direction
_NOTHING = 1e-100  # a length below which a vector has no direction: its square is lost
_OF_ONE = {"seed", "z", "ws", "format", "quality"}  # of a frame's recipe: its alone


@dataclass(frozen=True, kw_only=True, slots=True)
class Morph:
    """How one keyframe becomes the next, in even steps; each is hit exactly."""

    frames: int = 60  # of each leg: from one keyframe on, until the next begins the next leg
    through: Through = "z"  # arcs in z, or in W straight lines ("w") or one curve ("spline")
    ease: bool = False  # leave and reach each keyframe slowly
    loop: bool = False  # go back to the first at the end: the last frame equals the first
    noises: int = 1  # so many noise seeds in turn, counted up from the given one and back to it

    def __post_init__(self) -> None:
        for name, count in (("frames", self.frames), ("noises", self.noises)):
            if not (isinstance(count, int) and count >= 1):
                raise InvalidRequest(f"{name} is {count!r}, expected a whole number from 1 on")
        if self.through not in get_args(Through):
            raise InvalidRequest(f"through is {self.through!r}, expected z, w or spline")

    def length(self, keyframes: int) -> int:
        """The number of frames; raises InvalidRequest for fewer than two keyframes."""
        if keyframes < 2:
            raise InvalidRequest(f"a morph takes two keyframes or more, got {keyframes}")
        return self.frames * (keyframes if self.loop else keyframes - 1) + 1


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Frames(Iterable[Sample], Sized):
    """The samples of a morph, made as they are taken, with the settings of the sample `like`.

    Raises InvalidRequest for what does not go together.
    """

    points: Points  # z [K, z_dim] through z, else ws [K, w_dim] or [K, num_ws, w_dim]
    morph: Morph
    like: Sample

    def __post_init__(self) -> None:
        self.morph.length(len(self.points))
        if self.morph.noises > 1:
            if self.like.noise.seed is None:
                raise InvalidRequest(
                    f"{self.morph.noises} noises in turn begin at a noise seed, give one"
                )
            check_seed(self.like.noise.seed + self.morph.noises - 1, "the last noise seed")

    @classmethod
    def of_seeds(
        cls, seeds: Seeds, w: NDArray[np.float32] | None, morph: Morph, like: Sample, card: Card
    ) -> "Frames":
        """Go through seeds; w [K, w_dim] is theirs, None for a morph through z.

        It is of the class already, and gets the truncation that the seeds would get.
        """
        if w is None:
            z = [latent(seed, card.z_dim)[0] for seed in seeds]
            return cls(points=np.array(z, np.float64), morph=morph, like=like)
        recommended = Truncation(psi=card.psi, cutoff=card.cutoff)
        truncation = like.truncation or recommended
        like = replace(like, truncation=truncation, class_idx=None, class_weights=None)
        return cls(points=w.astype(np.float64), morph=morph, like=like)

    @classmethod
    def of_codes(cls, codes: Codes, morph: Morph, like: Sample, card: Card) -> "Frames":
        """Go through codes of W; they are truncated only where `like` says so."""
        codes.check(card)
        if morph.through == "z":
            raise InvalidRequest("codes lie in W and have no z, go through w or spline")
        return cls(points=codes.ws.astype(np.float64), morph=morph, like=like)

    def __len__(self) -> int:
        return self.morph.length(len(self.points))

    def __iter__(self) -> Iterator[Sample]:
        source = "z" if self.morph.through == "z" else "ws"
        for frame, point in enumerate(walk(self.points, self.morph)):
            changes: dict[str, Any] = {"seed": None, source: point, "noise": self._noise(frame)}
            yield replace(self.like, **changes)

    def _noise(self, frame: int) -> Noise:
        noise = self.like.noise
        if noise.seed is None:
            return noise
        turn = frame * self.morph.noises // (len(self) - 1) % self.morph.noises
        return replace(noise, seed=noise.seed + turn)


def recipe(first: Mapping[str, Any], keyframes: Seeds | Codes, morph: Morph) -> dict[str, Any]:
    """What makes a morph again: the settings in the recipe of its first frame, and the way on.

    Codes are written as the server writes a ws: base64 of little-endian float32.
    """
    shared = {name: value for name, value in first.items() if name not in _OF_ONE}
    keys: dict[str, Any] = {"seeds": str(keyframes)}
    if isinstance(keyframes, Codes):
        values = base64.b64encode(keyframes.ws.astype("<f4").tobytes()).decode()
        keys = {"ws": values, "shape": list(keyframes.ws.shape)}
    return {**shared, "morph": {**keys, **asdict(morph)}}


def walk(points: Points, morph: Morph) -> Iterator[Points]:
    """The latents on the way through all keyframes, one a frame.

    >>> points = np.array([[0.0], [4.0]])
    >>> [x.item() for x in walk(points, Morph(frames=4, through="w"))]
    [0.0, 1.0, 2.0, 3.0, 4.0]
    """
    ends = np.concatenate([points, points[:1]]) if morph.loop else points
    slopes = _slopes(points, loop=morph.loop) if morph.through == "spline" else ends
    for leg in range(len(ends) - 1):
        for step in range(morph.frames):
            share = step / morph.frames
            yield _between(ends, slopes, leg, ease(share) if morph.ease else share, morph.through)
    yield ends[-1]


def _between(ends: Points, slopes: Points, leg: int, share: float, through: Through) -> Points:
    start, end = ends[leg], ends[leg + 1]
    if through == "z":
        return slerp(start, end, share)
    if through == "w":
        return lerp(start, end, share)
    return hermite((start, end), (slopes[leg], slopes[leg + 1]), share)


def ease(share: float) -> float:
    """Bend a share of the way, 0 to 1, so that its speed is 0 at both ends."""
    return share * share * (3 - 2 * share)


def lerp(start: Points, end: Points, share: float) -> Points:
    """Go straight from one point to another."""
    return np.asarray((1 - share) * start + share * end)


def slerp(start: Points, end: Points, share: float) -> Points:
    """Go from one vector [D] to another by turning evenly, while the length changes evenly too."""
    lengths = np.linalg.norm(start), np.linalg.norm(end)
    if min(lengths) < _NOTHING:
        return lerp(start, end, share)
    one, two = start / lengths[0], end / lengths[1]
    # The angle by the tangent of its half: the cosine says little of small ones.
    angle = 2 * np.arctan2(np.linalg.norm(one - two), np.linalg.norm(one + two))
    if np.sin(angle) < _PARALLEL:
        return lerp(start, end, share)
    length = (1 - share) * lengths[0] + share * lengths[1]
    first = np.sin((1 - share) * angle) / np.sin(angle) * (length / lengths[0])
    second = np.sin(share * angle) / np.sin(angle) * (length / lengths[1])
    return np.asarray(first * start + second * end)


def hermite(ends: tuple[Points, Points], slopes: tuple[Points, Points], share: float) -> Points:
    """The cubic with these ends and slopes, at a share of the way."""
    leave, reach = share * (1 - share) ** 2, share**2 * (share - 1)
    rise = ease(share)
    return (1 - rise) * ends[0] + rise * ends[1] + leave * slopes[0] + reach * slopes[1]


def _slopes(points: Points, *, loop: bool) -> Points:
    """Of the curve at each keyframe: half the way from the one before to the one after."""
    if loop:
        slopes = (np.roll(points, -1, 0) - np.roll(points, 1, 0)) / 2
        return np.concatenate([slopes, slopes[:1]])
    return np.asarray(np.gradient(points, axis=0))
