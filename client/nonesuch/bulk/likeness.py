"""Pictures that look alike, by a perceptual hash: difference hashes along both axes.

A difference hash (N. Krawetz, "Kind of Like That", 2013) says of each neighbouring pair of pixels
of a tiny grey copy which is brighter. One axis alone gives 64 bits, too few for faces: of 400
portraits of different people some pairs differ in a single bit. Both together are 128.
"""

import io

import numpy as np
from PIL import Image

_SIDE = 8  # comparisons along each axis
_BITS = 2 * _SIDE * _SIDE
NEAR = 2  # bits in which pictures that are taken for the same may differ


def dhash(encoded: bytes) -> str:
    """The hash of a picture's file, 128 bits in hexadecimal: those along x, then those along y."""
    with Image.open(io.BytesIO(encoded)) as image:
        image.draft("L", (4 * _SIDE, 4 * _SIDE))  # of a JPEG no more than is needed is decoded
        grey = image.convert("L")
    along_x = np.asarray(grey.resize((_SIDE + 1, _SIDE), Image.Resampling.BOX), np.int16)
    along_y = np.asarray(grey.resize((_SIDE, _SIDE + 1), Image.Resampling.BOX), np.int16)
    bits = [np.diff(along_x, axis=1) > 0, np.diff(along_y, axis=0) > 0]
    return np.packbits(np.concatenate([each.ravel() for each in bits])).tobytes().hex()


class Seen:
    """Hashes of pictures, to be asked for one that a new picture looks like.

    Two hashes that differ in at most `NEAR` bits agree in one of `NEAR` + 1 parts: only those
    that do are compared.
    """

    def __init__(self) -> None:
        self._by_part: dict[tuple[int, int], list[tuple[int, int]]] = {}

    def add(self, seed: int, found: str) -> None:
        """Keep the hash of a seed's picture."""
        value = int(found, 16)
        for part in _parts(value):
            self._by_part.setdefault(part, []).append((seed, value))

    def like(self, found: str) -> int | None:
        """The first seed whose picture looks the same, if there is one."""
        value = int(found, 16)
        near = [
            seed
            for part in _parts(value)
            for seed, other in self._by_part.get(part, ())
            if (value ^ other).bit_count() <= NEAR
        ]
        return min(near, default=None)


def _parts(value: int) -> list[tuple[int, int]]:
    width = -(-_BITS // (NEAR + 1))
    return [(i, value >> i * width & (1 << width) - 1) for i in range(NEAR + 1)]
