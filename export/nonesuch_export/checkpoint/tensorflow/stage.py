"""How far a growing network had grown when it was saved (Progressive GAN, section 2).

The variable `lod`, the level of detail that is left out, counts down while a network grows: at k
only the layers up to resolution / 2^k draw. On the way from k + 1 to k, at k + f, the picture is
the finer one with a share f of the coarser one, its pixels repeated. The authors' code repeats
the pixels of either until the full size is reached; here the picture is kept as it is drawn.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from nonesuch.errors import UnsupportedCheckpoint
from nonesuch_export.checkpoint.tensors import Array


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """What draws of a network for `full` pixels at level of detail `lod`."""

    full: int  # resolution of the whole network, a power of two
    lod: float

    def __post_init__(self) -> None:
        most = self.full.bit_length() - 3  # 4x4 pixels
        if not 0 <= self.lod <= most:
            raise UnsupportedCheckpoint(f"lod is {self.lod}, expected 0 to {most}")

    @property
    def level(self) -> int:
        """The ToRGB_lod that draws; with a fade, also the one after it."""
        return int(self.lod)

    @property
    def fade(self) -> float:
        """The coarser picture's share, 0 to below 1."""
        return self.lod - self.level

    @property
    def resolution(self) -> int:
        """Pixels that are drawn."""
        return self.full >> self.level

    def remarks(self) -> Iterator[str]:
        if self.lod:
            faded = f", {self.fade:.3g} of it from {self.resolution // 2} pixels"
            yield (
                f"not fully grown (lod {self.lod:.3g}): draws {self.resolution} of {self.full} "
                f"pixels{faded if self.fade else ''}"
            )


def stage(full: int, *lods: Array | None) -> Stage:
    """The stage that the first stored `lod` tells; without any, the whole network's."""
    stored = next((lod for lod in lods if lod is not None), None)
    if stored is not None and stored.size != 1:
        raise UnsupportedCheckpoint(f"lod has {stored.size} values, expected one")
    return Stage(full=full, lod=0.0 if stored is None else float(stored.reshape(())))
