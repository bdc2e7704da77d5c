"""Crop: the part of a network's picture that leaves the graph, as for 512x384 cars in 512x512."""

import re
from dataclasses import dataclass, replace

from nonesuch.errors import InvalidRequest
from nonesuch_export.seam import Tile

_GEOMETRY = re.compile(r"(\d{1,5})x(\d{1,5})(?:\+(\d{1,5})\+(\d{1,5}))?", re.ASCII)


@dataclass(frozen=True, kw_only=True, slots=True)
class Crop:
    """A rectangle of a picture, in pixels; without `left` and `top` it lies in the middle."""

    width: int
    height: int
    left: int | None = None
    top: int | None = None

    @classmethod
    def parse(cls, text: str) -> "Crop":
        """Read `WIDTHxHEIGHT` or `WIDTHxHEIGHT+LEFT+TOP`; raises InvalidRequest for what is none.

        >>> Crop.parse("512x384+0+64")
        Crop(width=512, height=384, left=0, top=64)
        """
        found = _GEOMETRY.fullmatch(text)
        if found is None:
            raise InvalidRequest(
                f"cannot read {text[:40]!r} as a crop, expected WIDTHxHEIGHT as in 512x384, or "
                "WIDTHxHEIGHT+LEFT+TOP"
            )
        width, height, left, top = (None if part is None else int(part) for part in found.groups())
        assert width is not None
        assert height is not None
        return cls(width=width, height=height, left=left, top=top)

    def within(self, height: int, width: int) -> "Crop":
        """This crop of a picture of that size, with its corner in numbers.

        Raises InvalidRequest where it reaches beyond the picture.
        """
        left = (width - self.width) // 2 if self.left is None else self.left
        top = (height - self.height) // 2 if self.top is None else self.top
        across = self.width > 0 and 0 <= left <= width - self.width
        if not (across and self.height > 0 and 0 <= top <= height - self.height):
            raise InvalidRequest(f"the crop is {self}, but the network draws {width}x{height}")
        return replace(self, left=left, top=top)

    def check_whole(self, tile: Tile, height: int, width: int) -> None:
        """Raise InvalidRequest where it cuts a picture of that size along an axis of `tile`."""
        cut = {"x": self.width < width, "y": self.height < height}
        cut["both"] = cut["x"] or cut["y"]
        if cut[tile]:
            raise InvalidRequest(
                f"the crop {self} cuts a picture of {width}x{height}, and what is cut does not "
                f"tile along {tile}; leave out either --crop or --tile"
            )

    def __str__(self) -> str:
        corner = "" if self.left is None else f"+{self.left}+{self.top}"
        return f"{self.width}x{self.height}{corner}"
