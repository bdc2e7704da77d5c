"""A chart of spreads: a histogram for each direction, and where an even spread's thirds end."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from nonesuch import embedding, provenance
from nonesuch.provenance import CHART_TYPE
from nonesuch.variety import BARS, EVEN, REACH, THIRDS, Spread, percent

_PAPER, _INK, _FAINT, _BAR = (250, 250, 247), (40, 40, 45), (205, 205, 200), (92, 124, 168)
_LETTERS, _LINE, _GAP = 13, 30, 10  # pixels
_BAR_WIDTH, _COLUMN = 10, 80
_FULL = 0.18  # the share in one bar that takes a line's whole height


def png(spreads: Sequence[Spread], title: str, about: Mapping[str, Any]) -> bytes:
    """The chart as a file, a line for each spread, of which there must be one or more.

    `about` says what the figures are of; it is kept in the file as a recipe is.
    """
    font = ImageFont.load_default(size=_LETTERS)
    names = max(round(font.getlength(spread.direction)) for spread in spreads)
    left = names + 2 * _GAP
    right = left + BARS * _BAR_WIDTH + _GAP
    image = Image.new("RGB", (right + _COLUMN + 120, _LINE * (len(spreads) + 2)), _PAPER)
    pen = ImageDraw.Draw(image)
    pen.text((_GAP, _LINE // 2), title, _INK, font, anchor="lm")
    for x, heading in ((right, "deviation"), (right + _COLUMN, "thirds")):
        pen.text((x, _LINE // 2), heading, _INK, font, anchor="lm")
    for i, spread in enumerate(spreads, start=1):
        base, middle = _LINE * (i + 1) - 4, _LINE * i + _LINE // 2
        pen.text((_GAP, middle), spread.direction, _INK, font, anchor="lm")
        _bars(pen, spread, left, base)
        for x, text in (
            (right, f"{spread.deviation:.2f}"),
            (right + _COLUMN, percent(spread.thirds)),
        ):
            pen.text((x, middle), text, _INK, font, anchor="lm")
    bottom = _LINE * (len(spreads) + 1) + _LINE // 2
    for value in (-EVEN, -EVEN / THIRDS, EVEN / THIRDS, EVEN):
        x = _place(value, left)
        pen.line((x, _LINE, x, bottom - _LETTERS // 2 - 4), _FAINT)
        pen.text((x, bottom), f"{value:+.1f}", _INK, font, anchor="mm")
    file = io.BytesIO()
    image.save(file, "png", pnginfo=embedding.xmp(provenance.packet([about], CHART_TYPE)))
    return file.getvalue()


def _bars(pen: ImageDraw.ImageDraw, spread: Spread, left: int, base: int) -> None:
    for k, share in enumerate(spread.histogram):
        height = round(min(share / _FULL, 1) * (_LINE - 6))
        x = left + k * _BAR_WIDTH
        if height:
            pen.rectangle((x + 1, base - height, x + _BAR_WIDTH - 1, base), _BAR)
    pen.line((left, base + 1, left + BARS * _BAR_WIDTH, base + 1), _FAINT)


def _place(value: float, left: int) -> int:
    return left + round((value + REACH) / (2 * REACH) * BARS * _BAR_WIDTH)
