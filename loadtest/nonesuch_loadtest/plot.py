"""Plots as SVG: lines over two axes, and stacked bars; colours come from the page's style sheet.

All lengths are in units of the picture's own width; the page scales it to the screen.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from nonesuch_loadtest.axis import Axis, from_zero, short

_WIDTH = 460
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 16, 32, 40  # around the field on which the lines lie
_FIELD = _WIDTH - _LEFT - _RIGHT
_LETTER = 7.2  # width of one at the size of the labels, roughly
_BAR, _ROW = 22, 48  # height of a bar, and of a row with its name

Point = tuple[float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """A series; where y is NaN the line has a gap.

    `kind` are classes of the style sheet: a colour (s1 to s8, bad), dashed, dots (without a line).
    """

    name: str
    points: Sequence[Point]
    kind: str = "s1"
    band: Sequence[tuple[float, float, float]] = ()  # x, and the interval of y there
    words: Sequence[str] = ()  # of each point, shown where one points at it; "" = none
    dots: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """A line across the field at one value of x or of y, with a word or two."""

    text: str
    x: float | None = None
    y: float | None = None
    bad: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Plot:
    """Lines over two axes. `about` says in a sentence what one sees."""

    title: str
    about: str
    x: Axis
    y: Axis
    lines: Sequence[Line]
    marks: Sequence[Mark] = ()
    height: int = 220  # of the field

    @property
    def legend(self) -> list[tuple[str, str]]:
        """Name and classes of each line; none where there is one line only."""
        return [(line.name, line.kind) for line in self.lines] if len(self.lines) > 1 else []

    @property
    def svg(self) -> str:
        root = _picture(self.title, self.about, _TOP + self.height + _BOTTOM)
        for parts in (self._grid(), self._marks(), self._bands(), self._lines(), self._dots()):
            root.extend(list(parts))
        return ET.tostring(root, encoding="unicode")

    def _at(self, x: float, y: float) -> Point:
        return _LEFT + self.x.at(x) * _FIELD, _TOP + (1 - self.y.at(y)) * self.height

    def _grid(self) -> Iterator[ET.Element]:
        base = _TOP + self.height
        for value in self.y.ticks():
            y = self._at(self.x.low, value)[1]
            yield _stroke("grid", _LEFT, y, _LEFT + _FIELD, y)
            yield _text("end", _LEFT - 6, y + 4.5, self.y.text(value))
        for value in self.x.ticks():
            x = self._at(value, self.y.low)[0]
            yield _stroke("grid", x, base, x, base + 5)
            yield _text("middle", x, base + 19, self.x.text(value))
        yield _stroke("axis", _LEFT, base, _LEFT + _FIELD, base)
        yield _text("start name", 0, 13, self.y.label)
        yield _text("end name", _LEFT + _FIELD, base + 36, self.x.label)

    def _marks(self) -> Iterator[ET.Element]:
        for mark in self.marks:
            kind = "mark bad" if mark.bad else "mark"
            if mark.x is not None:
                x = self._at(mark.x, self.y.low)[0]
                right = x + len(mark.text) * _LETTER > _LEFT + _FIELD
                yield _stroke(kind, x, _TOP, x, _TOP + self.height)
                yield _text(
                    "end" if right else "start", x + (-5 if right else 5), _TOP + 12, mark.text
                )
            if mark.y is not None:
                y = self._at(self.x.low, mark.y)[1]
                yield _stroke(kind, _LEFT, y, _LEFT + _FIELD, y)
                yield _text("start", _LEFT + 5, y - 5 if y > _TOP + 18 else y + 15, mark.text)

    def _bands(self) -> Iterator[ET.Element]:
        for line in self.lines:
            known = [b for b in line.band if all(map(math.isfinite, b))]
            if known:
                edge = [self._at(x, low) for x, low, _ in known]
                edge += [self._at(x, high) for x, _, high in reversed(known)]
                points = " ".join(f"{x:.1f},{y:.1f}" for x, y in edge)
                yield ET.Element("polygon", {"class": f"band {line.kind}", "points": points})

    def _lines(self) -> Iterator[ET.Element]:
        for line in self.lines:
            for run in _runs(line.points):
                points = " ".join("{:.1f},{:.1f}".format(*self._at(*p)) for p in run)
                yield ET.Element("polyline", {"class": f"line {line.kind}", "points": points})

    def _dots(self) -> Iterator[ET.Element]:
        for line in self.lines:
            seen = line.dots or len(line.points) == 1
            words = line.words or [""] * len(line.points)
            for point, word in zip(line.points, words, strict=True):
                if math.isfinite(point[1]) and (seen or word):
                    x, y = self._at(*point)
                    size = "4" if seen else "9"  # one that is not seen is easier to point at
                    where = {"cx": f"{x:.1f}", "cy": f"{y:.1f}", "r": size}
                    kind = f"dot {line.kind}" if seen else "hit"
                    said = word or f"{line.name}: {short(point[1])}"
                    yield _titled(ET.Element("circle", {"class": kind, **where}), said)


@dataclass(frozen=True, kw_only=True, slots=True)
class Bars:
    """A bar a row, of parts that add up; `rows` are a name and the values of `parts`, 0 or above.

    `kinds` are the parts' classes in the style sheet; `ends` what stands beside each row's name.
    """

    title: str
    about: str
    unit: str
    parts: Sequence[str]
    kinds: Sequence[str]
    rows: Sequence[tuple[str, Sequence[float]]]
    ends: Sequence[str] = ()

    @property
    def legend(self) -> list[tuple[str, str]]:
        """Name and classes of each part; none where there is one part only."""
        return list(zip(self.parts, self.kinds, strict=True)) if len(self.parts) > 1 else []

    @property
    def svg(self) -> str:
        axis = from_zero(self.unit, [sum(values) for _, values in self.rows])
        height = len(self.rows) * _ROW
        root = _picture(self.title, self.about, height + _BOTTOM)
        for value in axis.ticks():
            x = axis.at(value) * (_WIDTH - _RIGHT)
            root.append(_stroke("grid", x, 0, x, height + 4))
            root.append(_text("middle" if value else "start", x, height + 20, axis.text(value)))
        root.append(_text("end name", _WIDTH - _RIGHT, height + 36, self.unit))
        ends = self.ends or [""] * len(self.rows)
        for i, ((name, values), end) in enumerate(zip(self.rows, ends, strict=True)):
            root.append(_text("start row", 0, i * _ROW + 16, name))
            root.append(_text("end row", _WIDTH - _RIGHT, i * _ROW + 16, end))
            root.extend(self._row(values, axis, i * _ROW + 21))
        return ET.tostring(root, encoding="unicode")

    def _row(self, values: Sequence[float], axis: Axis, y: float) -> Iterator[ET.Element]:
        scale, x = (_WIDTH - _RIGHT) / axis.high, 0.0
        for name, kind, value in zip(self.parts, self.kinds, values, strict=True):
            width = value * scale
            where = {"x": f"{x:.1f}", "y": f"{y:.1f}", "width": f"{width:.1f}", "height": str(_BAR)}
            if width >= 0.1:
                part = ET.Element("rect", {"class": f"part {kind}", **where})
                yield _titled(part, f"{name}: {short(value)} {self.unit}")
            if len(self.parts) > 1 and width > _LETTER * (len(short(value)) + 1):
                yield _text("middle inside", x + width / 2, y + 16, short(value))
            x += width


def _picture(title: str, about: str, height: float) -> ET.Element:
    box = {"viewBox": f"0 0 {_WIDTH} {height:.0f}", "role": "img", "class": "plot"}
    root = ET.Element("svg", {**box, "aria-label": f"{title}. {about}"})
    root.append(_named("title", title))
    root.append(_named("desc", about))
    return root


def _runs(points: Sequence[Point]) -> Iterator[list[Point]]:
    """The parts of a line between its gaps, of two points or more."""
    run: list[Point] = []
    for point in (*points, (math.nan, math.nan)):
        if math.isfinite(point[1]):
            run.append(point)
        else:
            if len(run) > 1:
                yield run
            run = []


def _stroke(kind: str, x1: float, y1: float, x2: float, y2: float) -> ET.Element:
    ends = {"x1": x1, "y1": y1, "x2": x2, "y2": y2}
    return ET.Element("line", {"class": kind, **{k: f"{v:.1f}" for k, v in ends.items()}})


def _text(kind: str, x: float, y: float, words: str) -> ET.Element:
    made = ET.Element("text", {"class": kind, "x": f"{x:.1f}", "y": f"{y:.1f}"})
    made.text = words
    return made


def _titled(element: ET.Element, words: str) -> ET.Element:
    element.append(_named("title", words))
    return element


def _named(tag: str, words: str) -> ET.Element:
    made = ET.Element(tag)
    made.text = words
    return made
