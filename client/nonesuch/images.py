"""Pictures: bytes to arrays, grids, and saving so that no file is ever half written."""

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from nonesuch import embedding, provenance
from nonesuch.contract import DEFAULT_QUALITY
from nonesuch.errors import InvalidRequest, RemoteError

Pixels = NDArray[np.uint8]  # [H, W, C], C is 1 (grey), 3 (RGB) or 4 (RGBA)

_MODES = {1: "L", 3: "RGB", 4: "RGBA"}  # Pillow's, by the number of channels
SUFFIXES = {"jpeg": ".jpg", "png": ".png", "webp": ".webp"}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Picture:
    """One generated picture and the recipe that makes it again."""

    model: str
    seed: int | None  # None where a z or a ws was given
    channels: int  # of the model's pictures, 1, 3 or 4
    recipe: Mapping[str, Any]  # JSON values: model, model_hash, latent and all settings used
    encoded: bytes | None  # the file's bytes; None if raw pixels were asked for
    pixels: Pixels | None = field(default=None, repr=False)  # None if a file was asked for

    @classmethod
    def read(cls, path: Path) -> "Picture":
        """Read a file that a server encoded; its `recipe` is what `Client.remake` takes.

        Raises ProvenanceError where the file is none, or its recipe does not make one picture.
        """
        content = embedding.load(path)
        packet = embedding.find(content)
        recipe = provenance.parse(packet or b"<none/>").recipe
        return cls(
            model=str(recipe.get("model")),
            seed=recipe.get("seed"),
            channels=decode(content).shape[2],
            recipe=recipe,
            encoded=content,
        )

    def array(self) -> Pixels:
        """Return the pixels, [H, W, C]; raises RemoteError if the server's file is damaged."""
        if self.pixels is not None:
            return self.pixels
        # What comes back may have others: webp knows no grey, and drops an opaque alpha channel.
        return decode(self.encoded or b"", self.channels)

    @property
    def suffix(self) -> str:
        """What the name of a file with `encoded` should end in, `.jpg` for example."""
        return SUFFIXES.get(str(self.recipe.get("format")), "")


def decode(encoded: bytes, channels: int | None = None) -> Pixels:
    """Read a file's bytes as [H, W, C]; raises RemoteError if they are no whole picture.

    channels None is what the file has.
    """
    try:
        with Image.open(io.BytesIO(encoded)) as image:
            wanted = image if channels is None else image.convert(_MODES[channels])
            pixels = np.asarray(wanted, dtype=np.uint8)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as exc:
        raise RemoteError(f"these {len(encoded)} bytes are no whole picture: {exc}") from exc
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


def encode(pixels: Pixels, format_name: str, recipes: Sequence[Mapping[str, Any]] = ()) -> bytes:
    """Write pixels, [H, W, C], as a file of one of `contract.FORMATS`, marked as synthetic.

    `recipes` are those of the pictures that it shows. Raises InvalidRequest where the format cannot
    hold them.
    """
    check_channels(pixels.shape[2], format_name)
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    packet = provenance.packet(recipes)
    file = io.BytesIO()
    if format_name == "png":
        image.save(file, "png", pnginfo=embedding.xmp(packet))
    else:
        image.save(file, format_name, quality=DEFAULT_QUALITY, xmp=packet.encode())
    return file.getvalue()


def check_channels(channels: int, format_name: str) -> None:
    """Raise InvalidRequest where a format cannot hold pictures with so many channels."""
    if channels == 4 and format_name == "jpeg":
        raise InvalidRequest("jpeg has no transparency, choose png or webp")


def default_format(channels: int) -> Literal["jpeg", "png"]:
    """Return the format of pictures for which none is named: the server's rule."""
    return "png" if channels == 4 else "jpeg"


def format_of(path: Path) -> str:
    """Return the format that a file's name promises; raises InvalidRequest if it names none."""
    known = {suffix: name for name, suffix in SUFFIXES.items()} | {".jpeg": "jpeg"}
    try:
        return known[path.suffix.lower()]
    except KeyError:
        raise InvalidRequest(
            f"cannot tell the format of {path}, expected a name in {', '.join(sorted(known))}"
        ) from None


def grid(pictures: Sequence[Pixels], columns: int | None = None) -> Pixels:
    """Lay pictures of one shape out row by row; what stays free is zero.

    columns is chosen near square if not given, without free places where that is possible up
    to twice as wide as high. Raises InvalidRequest for no pictures, for unlike shapes and for
    columns below 1.

    >>> grid([np.zeros((2, 3, 1), np.uint8)] * 5).shape
    (4, 9, 1)
    """
    if not pictures:
        raise InvalidRequest("a grid needs at least one picture")
    if columns is None:
        columns = _near_square(len(pictures))
    if columns < 1:
        raise InvalidRequest(f"columns is {columns}, expected at least 1")
    height, width, channels = shape = pictures[0].shape
    sheet = np.zeros((-(-len(pictures) // columns), height, columns, width, channels), np.uint8)
    for at, picture in enumerate(pictures):
        if picture.shape != shape:
            raise InvalidRequest(f"picture {at} of the grid is {picture.shape}, the first {shape}")
        sheet[at // columns, :, at % columns] = picture
    return sheet.reshape(-1, columns * width, channels)


def _near_square(count: int) -> int:
    """Columns for `count` pictures: 32 go into 8 by 4, 31 into 6 by 6 with five places free."""
    side = math.ceil(math.sqrt(count))
    full = [c for c in range(side, math.isqrt(2 * count) + 1) if count % c == 0]
    return full[0] if full else side
