"""What must be known before the figures of a run are read, worst first."""

import math
from collections.abc import Iterator, Mapping, Sequence, Sized

from nonesuch_loadtest import estimate
from nonesuch_loadtest.document import Notice
from nonesuch_loadtest.reading import PERCENTS, Reading
from nonesuch_loadtest.result import MARGIN, Result
from nonesuch_loadtest.words import ms, number, percent

_BEHIND = 0.95  # a server that answers less of what is due does not keep up
_LATE = 0.05  # a driver that sends later than this share of the median latency is late
_BUSY = 0.3  # load before the run for each core
_UNSTEADY = 0.1  # half an interval's width as a share of the throughput


def notices(readings: Sequence[Reading]) -> list[Notice]:
    """All that apply, the bad before the warnings before the notes."""
    several = len(readings) > 1
    said = [
        notice if not several else Notice(kind=notice.kind, text=f"{r.name}: {notice.text}")
        for r in readings
        for notice in _of_point(r)
    ]
    results = {r.run: r.result for r in readings}
    said += [
        *_late(readings),
        *_unsteady(readings),
        *_unmeasured(results),
        *_busy(results),
        *_too_few(readings),
    ]
    return sorted(said, key=lambda notice: ("bad", "warn", "note").index(notice.kind))


def _of_point(reading: Reading) -> Iterator[Notice]:
    yield from _failures(reading)
    yield from _ceiling(reading)
    yield from _pace(reading)


def _too_few(readings: Sequence[Reading]) -> Iterator[Notice]:
    """One notice for all: which percentiles are withheld."""
    counts = [reading.requests for reading in readings if reading.requests]
    few = [p for p in PERCENTS if counts and min(counts) < estimate.needed(p)]
    if few:
        names = ", ".join(f"p{p:g} ({estimate.needed(p):,})" for p in few)
        where = f"{min(counts):,} requests" if len(counts) == 1 else "Some measurements"
        yield _note(f"{where} are too few to know every percentile; it takes so many: {names}.")


def _failures(reading: Reading) -> Iterator[Notice]:
    if not reading.requests:
        yield _bad("No request ended in the measured time: there is nothing to report.")
    elif reading.total.failures:
        errors = sorted(reading.total.errors.items(), key=lambda item: -item[1])
        kinds = ", ".join(f"{name} {count:,}" for name, count in errors)
        yield _bad(
            f"{reading.total.failures:,} of {reading.requests:,} requests failed "
            f"({percent(reading.failed.value)}): {kinds}. "
            "Percentiles count a failure as slower than every answer.",
        )
    if reading.point.ended:
        yield _bad(f"The run ended early: {reading.point.ended}.")


def _ceiling(reading: Reading) -> Iterator[Notice]:
    ceiling = reading.result.ceiling_hz
    if reading.room < MARGIN and ceiling is not None:
        yield _warn(
            f"{number(reading.offered_hz)} requests/s are within {MARGIN:g} times of "
            f"the driver's own ceiling of {number(ceiling)} ({number(reading.room)} times as "
            "much): the figures measure the driver as well as the server.",
        )


def _pace(reading: Reading) -> Iterator[Notice]:
    """Whether the server kept up with the schedule."""
    answered = reading.requests_rate.value
    if _paced(reading) and answered < _BEHIND * reading.offered_hz:
        yield _warn(
            f"The server did not keep up: {number(reading.offered_hz)} requests/s were due, "
            f"{number(answered)} were answered; such latencies grow with the length of the run.",
        )


def _paced(reading: Reading) -> bool:
    """Whether the schedule says when requests are sent, not the server."""
    return reading.rate_hz is not None or reading.result.scenario.kind == "replay"


def _late(readings: Sequence[Reading]) -> Iterator[Notice]:
    late: dict[str, str] = {}
    for reading in readings:
        middle, delay = reading.total.latency.percentile(50), reading.total.delay.percentile(99)
        if delay > _LATE * middle:
            late[reading.name] = (
                f"{ms(delay)} ms at p99, beside a median latency of {ms(middle)} ms"
            )
    if late:
        yield _warn(
            f"The driver sent late: {_listed(late, readings)}; the latencies contain it.",
        )


def _unsteady(readings: Sequence[Reading]) -> Iterator[Notice]:
    # Of a paced run it is the schedule's own, which is random.
    free = [r for r in readings if math.isfinite(r.rate.spread) and not _paced(r)]
    spreads = {r.name: r.rate.spread for r in free}
    wide = {name: f"± {percent(s)}" for name, s in spreads.items() if s > _UNSTEADY}
    if wide:
        yield _warn(
            f"The windows disagree, so the throughput is known to {_listed(wide, readings)} only; "
            "more or longer windows tell it better."
        )


def _unmeasured(results: Mapping[str, Result]) -> Iterator[Notice]:
    served = [name for name, result in results.items() if result.target.kind != "null"]
    if unknown := [name for name in served if results[name].ceiling_hz is None]:
        of = f" for {'; '.join(unknown)}" if len(results) > 1 else ""
        yield _warn(f"The driver's own ceiling was not measured{of}.")


def _busy(results: Mapping[str, Result]) -> Iterator[Notice]:
    loads = {
        name: f"{number(result.hardware.load)} on {result.hardware.cores} cores"
        for name, result in results.items()
        if result.hardware.load > _BUSY * result.hardware.cores
    }
    if loads:
        yield _warn(f"The machine was busy before the run: load {_listed(loads, results)}.")


def _listed(texts: Mapping[str, str], among: Sized) -> str:
    """Each with the name of what it is about, where there is more than one such thing."""
    if len(among) == 1:
        return next(iter(texts.values()))
    return "; ".join(f"{text} ({name})" for name, text in texts.items())


def _bad(text: str) -> Notice:
    return Notice(kind="bad", text=text)


def _warn(text: str) -> Notice:
    return Notice(kind="warn", text=text)


def _note(text: str) -> Notice:
    return Notice(kind="note", text=text)
