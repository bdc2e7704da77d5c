"""A chart of bars in groups, each group on a scale of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

_PAPER, _INK, _BAR = (250, 250, 247), (40, 40, 45), (92, 124, 168)
_LETTERS, _LINE, _GAP, _LENGTH = 13, 24, 12, 360  # pixels


@dataclass(frozen=True, slots=True)
class Bar:
    """What a bar is of, how long it is, and what stands behind it."""

    label: str
    value: float
    note: str


@dataclass(frozen=True, slots=True)
class Group:
    """Bars to be compared with each other; at least one, of values above zero."""

    title: str
    bars: Sequence[Bar]


def draw(groups: Sequence[Group], path: Path) -> None:
    """Write the chart to `path`, as PNG."""
    font = ImageFont.load_default(size=_LETTERS)
    rows = [bar for group in groups for bar in group.bars]
    left = 2 * _GAP + max(round(font.getlength(bar.label)) for bar in rows)
    notes = max(round(font.getlength(bar.note)) for bar in rows)
    size = (left + _LENGTH + notes + 3 * _GAP, _LINE * (len(rows) + 2 * len(groups)))
    image = Image.new("RGB", size, _PAPER)
    pen = ImageDraw.Draw(image)
    top = _LINE // 2
    for group in groups:
        pen.text((_GAP, top + _LINE // 2), group.title, _INK, font, anchor="lm")
        longest = max(bar.value for bar in group.bars)
        for i, bar in enumerate(group.bars, start=1):
            y = top + i * _LINE + _LINE // 2
            end = left + round(bar.value / longest * _LENGTH)
            pen.text((left - _GAP, y), bar.label, _INK, font, anchor="rm")
            pen.rectangle((left, y - 7, end, y + 7), _BAR)
            pen.text((end + _GAP, y), bar.note, _INK, font, anchor="lm")
        top += (len(group.bars) + 2) * _LINE
    image.save(path, "png")
