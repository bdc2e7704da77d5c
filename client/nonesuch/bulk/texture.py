"""Textures for engines and renderers: a normal map and smaller copies beside each picture."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nonesuch.card import Card
from nonesuch.errors import InvalidRequest
from nonesuch.images import Picture, Pixels, encode

_LUMA = np.array([0.2126, 0.7152, 0.0722])  # of red, green and blue, ITU-R BT.709
_SLOPE = 2.0  # how steep a step from black to white is


def check(card: Card) -> None:
    """Raise InvalidRequest where a model's pictures are no textures."""
    if card.tile is None:
        raise InvalidRequest(
            f"{card.name} does not tile, so its pictures are no textures: build it with --tile both"
        )
    for side in (card.width, card.height):
        if side & (side - 1):
            raise InvalidRequest(
                f"{card.name} makes pictures of {card.width}x{card.height}, textures have powers "
                "of two"
            )


def files(picture: Picture, tile: str) -> dict[str, bytes]:
    """The normal map and the mip chain of a picture, by suffix."""
    pixels = picture.array()
    found = {".normal.png": encode(normals(pixels, tile), "png", [picture.recipe])}
    for level, smaller in enumerate(mips(pixels), start=1):
        found[f".mip{level}.png"] = encode(smaller, "png", [picture.recipe])
    return found


def normals(pixels: Pixels, tile: str) -> Pixels:
    """The normal map [H, W, 3] of a height map, which is the luminance of pixels [H, W, C].

    Slopes are Sobel's, across the seam on the axes that `tile` names (`x`, `y`, `both`). X points
    right, Y up and Z at the viewer (OpenGL's convention); 0 … 255 stands for -1 … 1.
    """
    colours = pixels[:, :, :3].astype(np.float64) / 255
    height = colours @ _LUMA if colours.shape[2] == 3 else colours[:, :, 0]
    around = np.pad(height, ((0, 0), (1, 1)), mode="wrap" if tile in {"x", "both"} else "edge")
    around = np.pad(around, ((1, 1), (0, 0)), mode="wrap" if tile in {"y", "both"} else "edge")
    right = _smoothed(around, 0)[:, 2:] - _smoothed(around, 0)[:, :-2]
    down = _smoothed(around, 1)[2:] - _smoothed(around, 1)[:-2]
    normal = np.stack([-_SLOPE * right, _SLOPE * down, np.ones_like(height)], axis=2)
    normal /= np.linalg.norm(normal, axis=2, keepdims=True)
    return np.rint(127.5 * (normal + 1)).astype(np.uint8)


def mips(pixels: Pixels) -> list[Pixels]:
    """Copies of half the size each, down to a single pixel, every pixel the mean of those under it.

    >>> [mip.shape for mip in mips(np.zeros((4, 2, 3), np.uint8))]
    [(2, 1, 3), (1, 1, 3)]
    """
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    found = []
    while image.size != (1, 1):
        image = image.reduce((min(2, image.width), min(2, image.height)))
        found.append(np.asarray(image).reshape(image.height, image.width, -1))
    return found


def _smoothed(height: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Weights 1, 2, 1 along an axis, which gets two shorter; a quarter of them."""
    size = height.shape[axis]
    parts = [height.take(range(i, size - 2 + i), axis) for i in range(3)]
    smoothed: NDArray[np.float64] = (parts[0] + 2 * parts[1] + parts[2]) / 4
    return smoothed
