"""Sheets of pictures with words on them: rows and columns of tiles, a heading to each."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from nonesuch import grid
from nonesuch.images import Pixels

_PAPER, _INK = (250, 250, 247), (40, 40, 45)
_LINE = 26  # pixels for a line of words
_LETTER = 6.5  # pixels that a letter takes at most, about


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """Tiles of one shape in rows; `above` names the columns, `beside` the rows."""

    title: str
    rows: Sequence[Sequence[Pixels]]
    above: Sequence[str] = ()
    beside: Sequence[str] = ()

    def draw(self) -> Pixels:
        """The sheet as pixels [H, W, 3]."""
        tiles = grid([tile for row in self.rows for tile in row], len(self.rows[0]))
        height, width = self.rows[0][0].shape[:2]
        left = int(max((len(text) for text in self.beside), default=0) * _LETTER) + 12
        left = left if self.beside else 0
        top = _LINE * (2 if self.above else 1)
        sheet = Image.new("RGB", (left + tiles.shape[1], top + tiles.shape[0]), _PAPER)
        sheet.paste(Image.fromarray(tiles), (left, top))
        pen = ImageDraw.Draw(sheet)
        font = ImageFont.load_default(size=13)
        pen.text((8, _LINE // 2), self.title, _INK, font, anchor="lm")
        for i, text in enumerate(self.above):
            place = (left + i * width + width // 2, _LINE + _LINE // 2)
            pen.text(place, text, _INK, font, anchor="mm")
        for i, text in enumerate(self.beside):
            pen.text((8, top + i * height + height // 2), text, _INK, font, anchor="lm")
        return np.asarray(sheet)
