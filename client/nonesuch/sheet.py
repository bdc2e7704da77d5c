"""Sheets of pictures with words on them: rows and columns of tiles, a heading to each."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from nonesuch.errors import InvalidRequest
from nonesuch.images import Pixels

_PAPER, _INK = (250, 250, 247), (40, 40, 45)
_LETTERS = 13  # pixels, their size
_LINE = 26  # pixels for a line of words
_GAP = 8  # pixels between words and what is beside them

_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True, kw_only=True, slots=True)
class Sheet:
    """Tiles of one shape in rows; `above` names the columns, `beside` the rows.

    Tiles are [H, W, C], None is a free place. What is transparent shows the paper.
    """

    title: str
    rows: Sequence[Sequence[Pixels | None]]
    above: Sequence[str] = ()
    beside: Sequence[str] = ()

    def __post_init__(self) -> None:
        shapes = {tile.shape for row in self.rows for tile in row if tile is not None}
        if len(shapes) != 1:
            raise InvalidRequest(f"a sheet takes tiles of one shape, got {sorted(shapes)}")

    def draw(self) -> Pixels:
        """The sheet as pixels [H, W, 3]."""
        font = ImageFont.load_default(size=_LETTERS)
        height, width = next(t for row in self.rows for t in row if t is not None).shape[:2]
        pitch = max([width, *(_length(text, font) + _GAP for text in self.above)])
        left = max((_length(text, font) + 2 * _GAP for text in self.beside), default=0)
        top = _LINE * (2 if any(self.above) else 1)
        right = left + pitch * max(map(len, self.rows))
        right = max(right, _length(self.title, font) + 2 * _GAP)
        sheet = Image.new("RGB", (right, top + height * len(self.rows)), _PAPER)
        pen = ImageDraw.Draw(sheet)
        pen.text((_GAP, _LINE // 2), self.title, _INK, font, anchor="lm")
        for column, text in enumerate(self.above):
            middle = left + column * pitch + width // 2
            pen.text((middle, _LINE + _LINE // 2), text, _INK, font, anchor="mm")
        for row, text in enumerate(self.beside):
            pen.text((_GAP, top + row * height + height // 2), text, _INK, font, anchor="lm")
        for row, tiles in enumerate(self.rows):
            for column, tile in enumerate(tiles):
                if tile is not None:
                    _paste(sheet, tile, (left + column * pitch, top + row * height))
        return np.asarray(sheet)


def _length(text: str, font: _Font) -> int:
    return round(font.getlength(text))


def _paste(sheet: Image.Image, tile: Pixels, place: tuple[int, int]) -> None:
    image = Image.fromarray(tile[:, :, 0] if tile.shape[2] == 1 else tile)
    sheet.paste(image, place, image if tile.shape[2] == 4 else None)
