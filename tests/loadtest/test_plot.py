"""Axes are round, plots are sound SVG that says what it shows."""

import math
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nonesuch_loadtest import axis
from nonesuch_loadtest.axis import Axis
from nonesuch_loadtest.plot import Bars, Line, Mark, Plot

values = st.lists(st.floats(1e-6, 1e9), min_size=1, max_size=20)


@settings(deadline=None)
@given(given_values=values)
def test_an_axis_holds_all_values_and_a_few_ticks(given_values: list[float]) -> None:
    made = axis.fitting("ms", given_values)

    assert made.low <= min(given_values)
    assert made.high >= max(given_values) * (1 - 1e-6)
    ticks = made.ticks()
    assert 2 <= len(ticks) <= 17
    assert all(-1e-6 <= made.at(tick) <= 1 + 1e-6 for tick in ticks)
    assert ticks == sorted(ticks)


@settings(deadline=None)
@given(low=st.floats(0.001, 10), factor=st.floats(31, 1e6))
def test_values_of_unlike_size_get_a_logarithmic_axis(low: float, factor: float) -> None:
    made = axis.fitting("ms", [low, low * factor])

    assert made.scale == "log"
    middle = math.sqrt(made.low * made.high)
    assert made.at(middle) == pytest.approx(0.5)


def test_nines_lie_equally_far_apart() -> None:
    made = Axis(label="", low=0, high=0.999, scale="nines")

    assert [made.at(x) for x in (0, 0.9, 0.99, 0.999)] == pytest.approx([0, 1 / 3, 2 / 3, 1])


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.25, "0.25"), (17.5, "17.5"), (250, "250"), (1200, "1.2k"), (3e6, "3M")],
)
def test_ticks_are_short(value: float, text: str) -> None:
    assert axis.short(value) == text


def plot(points: list[tuple[float, float]], **given: Any) -> ET.Element:
    line = Line(name="p50 <b>", points=points, dots=True)
    scale = Axis(label="seconds", low=0, high=10)
    made = Plot(
        title="Latency & load", about="What one sees.", x=scale, y=scale, lines=[line], **given
    )
    return ET.fromstring(made.svg)


def test_a_plot_has_a_title_a_description_and_its_points_in_their_place() -> None:
    root = plot([(0, 0), (10, 10), (5, 5)])

    assert root.get("role") == "img"
    assert root.findtext("title") == "Latency & load"
    assert root.findtext("desc") == "What one sees."
    dots = root.findall("circle")
    (left, bottom), (right, top), (x, y) = (
        (float(d.get("cx", "")), float(d.get("cy", ""))) for d in dots
    )
    assert left < right
    assert bottom > top
    assert [x, y] == pytest.approx([(left + right) / 2, (top + bottom) / 2])
    assert dots[0].findtext("title") == "p50 <b>: 0"


def test_a_line_has_a_gap_where_nothing_is_known() -> None:
    root = plot([(0, 1), (1, 1), (2, math.nan), (3, 1), (4, 1), (5, math.nan)])

    assert [len(line.get("points", "").split()) for line in root.findall("polyline")] == [2, 2]
    assert len(root.findall("circle")) == 4


def test_a_mark_crosses_the_field_with_its_words() -> None:
    root = plot([(0, 1), (1, 1)], marks=[Mark(text="objective", y=5), Mark(text="end", x=9.9)])

    marks = [line for line in root.findall("line") if line.get("class") == "mark"]
    assert [m.get("y1") == m.get("y2") for m in marks] == [True, False]
    assert {"objective", "end"} <= {text.text for text in root.findall("text")}


def test_bars_are_as_long_as_their_parts() -> None:
    bars = Bars(
        title="Time", about="Where it goes.", unit="ms", parts=["queue", "generator"],
        kinds=["s1", "s2"], rows=[("a", [10, 30]), ("b", [0, 20])], ends=["40 ms", "20 ms"],
    )  # fmt: skip

    root = ET.fromstring(bars.svg)

    widths = [float(part.get("width", "")) for part in root.findall("rect")]
    assert widths == pytest.approx([widths[0], 3 * widths[0], 2 * widths[0]], abs=0.2)
    assert root.findall("rect")[0].findtext("title") == "queue: 10 ms"
    assert {"a", "b", "40 ms", "20 ms"} <= {text.text for text in root.findall("text")}
