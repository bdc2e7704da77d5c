"""Pictures that look alike, by a perceptual hash: difference hashes along both axes.

A difference hash (N. Krawetz, "Kind of Like That", 2013) says of each neighbouring pair of pixels
of a tiny grey copy which is brighter. One axis alone gives 64 bits, too few for faces: of 400
portraits of different people some pairs differ in a single bit. Both together are 128.
"""

import io
from array import array
from typing import Literal

import numpy as np
import simplejpeg
from PIL import Image

_SIDE = 8  # comparisons along each axis
_BITS = 2 * _SIDE * _SIDE
NEAR = 2  # bits in which pictures that are taken for the same may differ
_LATEST = 10_000  # pictures that are kept in a dictionary
_SIDES: tuple[Literal["left", "right"], ...] = ("left", "right")


def dhash(encoded: bytes) -> str:
    """The hash of a picture's file, 128 bits in hexadecimal: those along x, then those along y."""
    grey = _grey(encoded)
    along_x = np.asarray(grey.resize((_SIDE + 1, _SIDE), Image.Resampling.BOX))
    along_y = np.asarray(grey.resize((_SIDE, _SIDE + 1), Image.Resampling.BOX))
    bits = [along_x[:, 1:] > along_x[:, :-1], along_y[1:] > along_y[:-1]]
    return np.packbits(np.concatenate([each.ravel() for each in bits])).tobytes().hex()


def _grey(encoded: bytes) -> Image.Image:
    """The picture in grey, which is never smaller than 4 pixels a comparison if it was not."""
    if not simplejpeg.is_jpeg(encoded):
        with Image.open(io.BytesIO(encoded)) as image:
            return image.convert("L")
    # Of a JPEG no more than is needed is decoded, twice as fast as by Pillow.
    least = 4 * _SIDE
    pixels = simplejpeg.decode_jpeg(encoded, "GRAY", min_height=least, min_width=least)
    return Image.fromarray(pixels[:, :, 0])


class Seen:
    """Hashes of pictures, to be asked for one that a new picture looks like.

    Two hashes that differ in at most `NEAR` bits agree in one of `NEAR` + 1 parts: only those
    that do are compared. A picture takes about 60 bytes here: the latest are in a dictionary, all
    before them in arrays sorted by part.
    """

    def __init__(self) -> None:
        self._seeds, self._hashes = array("q"), bytearray()
        self._latest: dict[tuple[int, int], list[int]] = {}  # by part: indices into those
        self._count = 0  # of the latest
        empty = np.empty(0, np.uint64), np.empty(0, np.uint32)
        self._before = [empty] * (NEAR + 1)  # by part: its values, sorted, and their indices

    def add(self, seed: int, found: str) -> None:
        """Keep the hash of a seed's picture."""
        for part in _parts(int(found, 16)):
            self._latest.setdefault(part, []).append(len(self._seeds))
        self._seeds.append(seed)
        self._hashes += bytes.fromhex(found)
        self._count += 1
        if self._count == _LATEST:
            self._sort()

    def like(self, found: str) -> int | None:
        """The first seed whose picture looks the same, if there is one."""
        value = int(found, 16)
        agree = {index for part in _parts(value) for index in self._agreeing(part)}
        near = [self._seeds[i] for i in agree if (value ^ self._hash(i)).bit_count() <= NEAR]
        return min(near, default=None)

    def _agreeing(self, part: tuple[int, int]) -> list[int]:
        number, wanted = part
        values, indices = self._before[number]
        first, last = (values.searchsorted(np.uint64(wanted), side) for side in _SIDES)
        return [*indices[first:last].tolist(), *self._latest.get(part, ())]

    def _hash(self, index: int) -> int:
        width = _BITS // 8
        return int.from_bytes(self._hashes[width * index : width * (index + 1)])

    def _sort(self) -> None:
        """Put the latest among those before."""
        for number, (values, indices) in enumerate(self._before):
            pairs = [
                (value, i) for (n, value), of in self._latest.items() if n == number for i in of
            ]
            values = np.concatenate([values, np.array([value for value, _ in pairs], np.uint64)])
            indices = np.concatenate([indices, np.array([i for _, i in pairs], np.uint32)])
            order = values.argsort(kind="stable")
            self._before[number] = values[order], indices[order]
        self._latest, self._count = {}, 0


def _parts(value: int) -> list[tuple[int, int]]:
    width = -(-_BITS // (NEAR + 1))
    return [(i, value >> i * width & (1 << width) - 1) for i in range(NEAR + 1)]
