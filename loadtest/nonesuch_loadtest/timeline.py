"""The time line: what was answered, how fast, and what it took of the machine."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from nonesuch_loadtest import axis
from nonesuch_loadtest.figures import COLOURS, kind
from nonesuch_loadtest.plot import Line, Mark, Plot
from nonesuch_loadtest.reading import Reading
from nonesuch_loadtest.result import Resource, Tick
from nonesuch_loadtest.words import number

_BINS = 120  # of a line: more than a phone shows
_HEIGHT = 130

Sample = tuple[float, float, float]  # seconds, the sample's weight, its value
Run = Sequence[Reading]  # the points of one result


@dataclass(frozen=True, kw_only=True, slots=True)
class _Series:
    """One line a result. A series that is `detail` is shown where there is one result only."""

    name: str
    of: Callable[[Reading], Iterator[Sample]]
    kind: str = "s1"
    longest: bool = False  # of neighbours that are drawn as one the largest, not the mean
    detail: bool = False


def _of_ticks(
    value: Callable[[Tick], float], weight: Callable[[Tick], float] = lambda tick: tick.length_s
) -> Callable[[Reading], Iterator[Sample]]:
    def samples(reading: Reading) -> Iterator[Sample]:
        for tick in reading.point.ticks:
            yield tick.start_s + tick.length_s / 2, weight(tick), value(tick)

    return samples


def _of_resources(
    value: Callable[[Resource], float | None], factor: float = 1.0
) -> Callable[[Reading], Iterator[Sample]]:
    def samples(reading: Reading) -> Iterator[Sample]:
        for resource in reading.point.resources:
            if (known := value(resource)) is not None:
                yield resource.at_s, 1.0, factor * known

    return samples


_PANELS: tuple[tuple[str, str, str, tuple[_Series, ...]], ...] = (
    (
        "Throughput over time",
        "Images that were answered, and requests that failed, when they did.",
        "per second",
        (
            _Series(name="images/s", of=_of_ticks(lambda t: t.images / t.length_s)),
            _Series(name="failures/s", of=_of_ticks(lambda t: t.failed / t.length_s), kind="bad"),
        ),
    ),
    (
        "Latency over time",
        "Of the requests that were due then, and were answered.",
        "ms",
        (
            _Series(name="mean", of=_of_ticks(lambda t: 1e3 * t.mean_s, lambda t: t.due)),
            _Series(
                name="longest",
                of=_of_ticks(lambda t: 1e3 * t.max_s, lambda t: t.due),
                kind="s2 dotted",
                longest=True,
                detail=True,
            ),
        ),
    ),
    (
        "Processor over time",
        "Busy cores of the server's processes and of the driver.",
        "cores",
        (
            _Series(name="server", of=_of_resources(lambda r: r.server_cores)),
            _Series(
                name="driver", of=_of_resources(lambda r: r.driver_cores), kind="s8", detail=True
            ),
        ),
    ),
    (
        "Memory over time",
        "Resident memory of the server's processes and of the driver.",
        "MB",
        (
            _Series(name="server", of=_of_resources(lambda r: r.server_bytes, 1e-6)),
            _Series(
                name="driver",
                of=_of_resources(lambda r: r.driver_bytes, 1e-6),
                kind="s8",
                detail=True,
            ),
        ),
    ),
    (
        "GPU power over time",
        "Of the whole board.",
        "W",
        (_Series(name="power", of=_of_resources(lambda r: r.gpu_watts)),),
    ),
    (
        "GPU clock over time",
        "Of its multiprocessors.",
        "MHz",
        (_Series(name="clock", of=_of_resources(lambda r: r.gpu_mhz)),),
    ),
    (
        "GPU utilisation over time",
        "Share of the time in which it computed.",
        "%",
        (_Series(name="busy", of=_of_resources(lambda r: r.gpu_busy, 100)),),
    ),
)


def timeline(readings: Sequence[Reading]) -> Iterator[Plot]:
    """Small plots over the same seconds; the points of a result lie one after the other."""
    runs = [list(group) for _, group in groupby(readings, key=lambda r: id(r.result))][:COLOURS]
    for title, about, unit, series in _PANELS:
        lines = [line for one in series for line in _lines(one, runs)]
        if lines:
            yield _plot(title, about, unit, lines, runs)


def _plot(title: str, about: str, unit: str, lines: list[Line], runs: Sequence[Run]) -> Plot:
    above = [y for line in lines for _, y in line.points if math.isfinite(y)]
    steps = _starts(runs[0])[1:] if len(runs) == 1 else []
    first = min([0.0, *(x for line in lines for x, _ in line.points)])
    begun = [Mark(text="measured from here" if len(runs) == 1 else "", x=0)] if first < 0 else []
    return Plot(
        title=title,
        about=f"{about} The steps of the run follow each other." if steps else about,
        x=axis.Axis(label="seconds", low=first, high=max(1.0, *(_end(run) for run in runs))),
        y=axis.fitting(unit, above) if unit == "ms" else axis.from_zero(unit, above),
        lines=lines,
        marks=[*begun, *(Mark(text="", x=start) for start in steps)],
        height=_HEIGHT,
    )


def _lines(series: _Series, runs: Sequence[Run]) -> Iterator[Line]:
    alone = len(runs) == 1
    for i, run in enumerate(runs):
        points = _joined(list(_end_to_end(series, run)), series.longest)
        bad = series.kind == "bad"
        if not points or (series.detail and not alone) or (bad and not any(y for _, y in points)):
            continue
        of = run[0].run
        name = series.name if alone else f"{of}, {series.name}" if bad else of
        yield Line(
            name=name,
            kind=series.kind if alone or bad else kind(i),
            points=points,
            words=["" if math.isnan(y) else f"{x:.0f} s, {name}: {number(y)}" for x, y in points],
        )


def _end_to_end(series: _Series, run: Run) -> Iterator[Sample]:
    """A row in time; the warm-up, before 0, is shown where nothing lies before it."""
    for start, reading in zip(_starts(run), run, strict=True):
        for at_s, weight, value in series.of(reading):
            if at_s >= 0 or len(run) == 1:
                yield start + at_s, weight, value


def _starts(run: Run) -> list[float]:
    """When each point of a result begins, with the measured times put end to end."""
    starts = [0.0]
    for reading in run[:-1]:
        starts.append(starts[-1] + _length(reading))
    return starts


def _end(run: Run) -> float:
    return sum(_length(reading) for reading in run)


def _length(reading: Reading) -> float:
    ends = [tick.start_s + tick.length_s for tick in reading.point.ticks]
    return max([reading.total.length_s, *ends, *(r.at_s for r in reading.point.resources)])


def _joined(samples: Sequence[Sample], longest: bool) -> list[tuple[float, float]]:
    """A few points, each of neighbours: their mean by weight, or the largest; NaN of no weight."""
    size = math.ceil(len(samples) / _BINS) or 1
    points = []
    for k in range(0, len(samples), size):
        known = [(weight, value) for _, weight, value in samples[k : k + size] if weight > 0]
        total = sum(weight for weight, _ in known)
        joined = math.nan
        if known:
            joined = max(v for _, v in known) if longest else sum(w * v for w, v in known) / total
        middle = (samples[k][0] + samples[min(k + size, len(samples)) - 1][0]) / 2
        points.append((middle, joined))
    return points
