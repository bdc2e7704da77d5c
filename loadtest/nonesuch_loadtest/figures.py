"""The plots of a report: latencies, curves over the load, where the time goes, the time line."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from nonesuch_loadtest import axis
from nonesuch_loadtest.axis import Axis
from nonesuch_loadtest.estimate import Estimate
from nonesuch_loadtest.plot import Bars, Line, Mark, Plot
from nonesuch_loadtest.reading import PARTS, PERCENTS, Reading
from nonesuch_loadtest.words import interval, ms, number

COLOURS = 8
_CURVE = 160  # points of a distribution: more than a screen shows
_KINDS = ("", " dashed", " dotted")
_PART_KINDS = ("s8", "s5", "s2", "s3", "s1", "s4", "s7")  # in the order of PARTS


@dataclass(frozen=True, kw_only=True, slots=True)
class _Curve:
    """The points of one result that lie along an axis, in order."""

    name: str
    kind: str
    along: Sequence[tuple[float, Reading]]


def kind(index: int) -> str:
    """The classes of series number `index`: eight colours, then the same ones dashed."""
    return f"s{index % COLOURS + 1}{_KINDS[index // COLOURS % len(_KINDS)]}"


def distribution(readings: Sequence[Reading]) -> Iterator[Plot]:
    """Which share of the requests was answered within a time, up to the last known percentile."""
    shown = [r for r in _some(readings) if r.known and r.total.latency]
    if not shown:
        return
    lines = [
        Line(name=r.name, points=points, words=words, kind=kind(i))
        for i, r in enumerate(shown)
        for points, words in [_cumulative(r)]
    ]
    left = "" if len(shown) == len(readings) else f" {len(shown)} of {len(readings)} are shown."
    limit = [Mark(text="objective", x=ms) for ms in _objective(shown)]
    yield Plot(
        title="Latency: cumulative distribution",
        about="Share of the requests that were answered within a time since they were due. "
        f"The curve ends at the last percentile that the run can know, or at its failures.{left}",
        x=axis.fitting("latency, ms", [x for line in lines for x, _ in line.points] + _room(limit)),
        y=Axis(label="share of requests", low=0, high=_top(shown), scale="nines"),
        lines=lines,
        marks=limit,
    )


def _objective(readings: Sequence[Reading]) -> list[float]:
    """The limit in ms, where all have the same one."""
    objectives = {r.result.scenario.objective for r in readings}
    return [1e3 * one.limit_s for one in objectives if one] if len(objectives) == 1 else []


def _room(limit: Sequence[Mark]) -> list[float]:
    """What an axis must reach for a mark to stand inside."""
    return [1.1 * (mark.x or mark.y or 0) for mark in limit]


def _some(readings: Sequence[Reading]) -> list[Reading]:
    """As many as there are colours, the first and the last among them."""
    last, most = len(readings) - 1, COLOURS - 1
    return [readings[i] for i in sorted({round(k * last / most) for k in range(COLOURS)})]


def _top(readings: Sequence[Reading]) -> float:
    return max(0.99, *(max(reading.known) / 100 for reading in readings))


def _cumulative(reading: Reading) -> tuple[list[tuple[float, float]], list[str]]:
    """Points in ms and shares; the percentiles among them carry their words."""
    end = max(reading.known) / 100
    curve = [(1e3 * s, n / reading.requests) for s, n in reading.total.latency.cumulative()]
    nines = Axis(label="", low=0, high=end, scale="nines")
    thin = {round(_CURVE * nines.at(y)): (x, y) for x, y in curve if y <= end}
    points = [(x, y, "") for x, y in thin.values()]
    for percent in reading.known:
        found = reading.percentile(percent)
        if found and math.isfinite(found.value):
            said = f"{reading.name}: p{percent:g} {interval(found, ms)} ms"
            points.append((1e3 * found.value, percent / 100, said))
    points.sort()
    return [(x, y) for x, y, _ in points], [said for _, _, said in points]


def curves(readings: Sequence[Reading]) -> Iterator[Plot]:
    """Latency and throughput over rate and concurrency, where two points differ in them."""
    over_rate = _along(readings, lambda r: r.rate_hz)
    over_count = _along(readings, lambda r: r.concurrency)
    if over_rate:
        yield _latency(over_rate, "rate", "requests/s that were due")
        yield _throughput(over_rate, "rate", "requests/s that were due")
    if over_count:
        yield _throughput(over_count, "concurrency", "requests under way")
        yield _latency(over_count, "concurrency", "requests under way")


def _along(readings: Sequence[Reading], load: Callable[[Reading], float | None]) -> list[_Curve]:
    """One curve a result; none at all if there are not two different loads."""
    placed = [(x, reading) for reading in readings if (x := load(reading)) is not None]
    if len({x for x, _ in placed}) < 2:
        return []
    found: list[_Curve] = []
    for _, group in groupby(placed, key=lambda p: id(p[1].result)):
        along = sorted(group, key=lambda p: p[0])
        found.append(_Curve(name=along[0][1].run, kind=kind(len(found)), along=along))
    return found


def _latency(found: Sequence[_Curve], over: str, label: str) -> Plot:
    percents = _told([reading for curve in found for _, reading in curve.along])
    alone = len(found) == 1
    lines = []
    for curve in found:
        for i, percent in enumerate(percents if alone else percents[-1:]):
            name = f"p{percent:g}" if alone else f"{curve.name}, p{percent:g}"
            lines.append(_estimates(name, kind(i) if alone else curve.kind, curve, percent))
    limit = [
        Mark(text="objective", y=ms) for ms in _objective([r for c in found for _, r in c.along])
    ]
    above = [y for line in lines for _, y in line.points if math.isfinite(y)]
    return Plot(
        title=f"Latency against {over}",
        about="Since the scheduled time, with the interval of 95 %. A point is missing where "
        "the percentile is not known or was not answered.",
        x=axis.from_zero(label, [x for curve in found for x, _ in curve.along]),
        y=axis.fitting("ms", [*above, *_room(limit)]),
        lines=lines,
        marks=limit,
    )


def _told(readings: Sequence[Reading]) -> list[float]:
    """The median, and the last percentile that half of them know."""
    half = len(readings) / 2
    known = [p for p in PERCENTS if sum(p in reading.known for reading in readings) >= half]
    return sorted({50.0, *known[-1:]})


def _estimates(name: str, style: str, curve: _Curve, percent: float) -> Line:
    told = [(x, _scaled(reading.percentile(percent))) for x, reading in curve.along]
    return _estimated(name, style, told, "ms")


def _scaled(found: Estimate | None) -> Estimate:
    if found is None or not math.isfinite(found.value):
        return Estimate(value=math.nan)
    return Estimate(value=1e3 * found.value, low=1e3 * found.low, high=1e3 * found.high)


def _estimated(name: str, style: str, told: Sequence[tuple[float, Estimate]], unit: str) -> Line:
    return Line(
        name=name,
        kind=style,
        points=[(x, found.value) for x, found in told],
        band=[(x, found.low, found.high) for x, found in told],
        words=[f"{name}, at {number(x)}: {interval(found)} {unit}" for x, found in told],
        dots=True,
    )


def _throughput(found: Sequence[_Curve], over: str, label: str) -> Plot:
    lines = [
        _estimated(c.name, c.kind, [(x, reading.rate) for x, reading in c.along], "images/s")
        for c in found
    ]
    return Plot(
        title=f"Throughput against {over}",
        about="Images per second that were answered, with the interval of 95 %.",
        x=axis.from_zero(label, [x for curve in found for x, _ in curve.along]),
        y=axis.from_zero("images/s", [y for line in lines for _, y in line.points]),
        lines=lines,
    )


def split(readings: Sequence[Reading]) -> Iterator[Bars]:
    """Where a request's time goes, a bar for each point and model."""
    # A burst is nearly all queue, beside which nothing else can be seen.
    spread = [r for r in readings if r.result.scenario.kind != "offline"] or readings
    found = [(r, model, parts) for r in spread for model, parts in r.parts.items() if parts]
    if not found:
        return
    used = [p for p in PARTS if any(parts[p] > 0 for _, _, parts in found)]
    rows: list[tuple[str, dict[str, float]]] = []
    ends: list[str] = []
    for reading, model, parts in found:
        several = len(reading.parts) > 1
        rows.append((f"{reading.name}, {model}" if several else reading.name, parts))
        ends.append(f"{ms(sum(parts.values()))} ms")
    yield Bars(
        title="Where the time goes",
        about="Mean milliseconds of an answered request. Client: waiting to be sent, and the "
        "driver's own work; network: what neither driver nor server accounts for; other: the "
        "server's time between the steps.",
        unit="ms",
        parts=used,
        kinds=[_PART_KINDS[PARTS.index(p)] for p in used],
        rows=[(name, [1e3 * parts[p] for p in used]) for name, parts in rows],
        ends=ends,
    )


def batches(readings: Sequence[Reading]) -> Iterator[Bars]:
    """With which batch sizes the generator of a single point ran."""
    splits = readings[0].point.splits if len(readings) == 1 else ()
    for step in (step for one in splits for step in one.steps):
        if step.role == "generator" and any(step.batches.values()):
            yield _sizes(step.model, step.batches)


def _sizes(model: str, counts: dict[int, int]) -> Bars:
    total = sum(counts.values())
    sizes = sorted(counts)
    return Bars(
        title=f"Batch sizes of {model}",
        about=f"Shares of the generator's {total:,} executions.",
        unit="%",
        parts=["executions"],
        kinds=["s1"],
        rows=[(f"batch {size}", [100 * counts[size] / total]) for size in sizes],
        ends=[f"{counts[size]:,}" for size in sizes],
    )


def settings(readings: Sequence[Reading]) -> Iterator[Bars]:
    """A sweep: the throughput of settings that lie along no axis."""
    swept = [r for r in readings if set(r.point.setting) - {"rate_hz", "concurrency"}]
    if len(swept) > 1:
        yield Bars(
            title="Throughput of each setting",
            about="Images per second, with the interval of 95 %.",
            unit="images/s",
            parts=["images/s"],
            kinds=["s1"],
            rows=[(r.name, [max(0.0, r.rate.value)]) for r in swept],
            ends=[interval(r.rate) for r in swept],
        )
