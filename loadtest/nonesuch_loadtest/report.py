"""A report of one or several results: notices, headline figures, tables and plots."""

import math
from collections.abc import Iterator, Sequence

from nonesuch_loadtest import figures, tables
from nonesuch_loadtest.document import Report, Section, Tile
from nonesuch_loadtest.estimate import Estimate
from nonesuch_loadtest.notices import notices
from nonesuch_loadtest.plot import Bars, Plot
from nonesuch_loadtest.reading import Reading, readings, scenario_words
from nonesuch_loadtest.result import Model, Result
from nonesuch_loadtest.scenario import Objective
from nonesuch_loadtest.timeline import timeline
from nonesuch_loadtest.words import ms, number, percent, setting, span

_FOOTER = (
    "Latency counts from the moment when a request was due, not from when it was sent, and every "
    "failure is a sample. Intervals hold the truth 19 times of 20: of percentiles by order "
    "statistics and the spread between windows, of means by Student's t over the windows. A "
    "percentile that so few samples cannot know is not shown."
)


def report(results: Sequence[Result]) -> Report:
    """Everything that one page says of the results, of which there is one or more."""
    found = readings(results)
    alone = len(results) == 1
    return Report(
        title=_title(results),
        about=_about(results[0]) if alone else f"{len(results)} runs, {len(found)} measurements",
        notices=notices(found),
        tiles=[*_answers(results), *(_tiles(found[0]) if len(found) == 1 else [])],
        sections=[*_sections(found), *_origins(found)],
        footer=_FOOTER,
    )


def _title(results: Sequence[Result]) -> str:
    if len(results) == 1:
        return f"Load test: {results[0].name}"
    models = dict.fromkeys(model.name for result in results for model in result.target.models)
    return f"Load tests: {', '.join(models) or 'the driver'}, {len(results)} runs"


def _about(result: Result) -> str:
    target, hardware = result.target, result.hardware
    server = " ".join(w for w in (target.server or target.kind, target.transport) if w)
    parts = [*map(_model, target.models), scenario_words(result.scenario), server, hardware.cpu]
    parts += [f"{hardware.cores} cores", *hardware.gpus, result.started]
    return " · ".join(part for part in parts if part)


def _model(model: Model) -> str:
    size = f"{model.width}x{model.height}" if model.width else ""
    return " ".join(word for word in (model.name, size, model.engine, model.precision) if word)


def _answers(results: Sequence[Result]) -> Iterator[Tile]:
    """What a search or a sweep found."""
    for result in results:
        if result.answer:
            within = _within(result.scenario.objective)
            yield Tile(label=f"Best{within}", value=setting(result.answer), under=result.name)


def _within(objective: Objective | None) -> str:
    if objective is None:
        return ""
    return f" with p{objective.percentile:g} under {number(1e3 * objective.limit_s)} ms"


def _tiles(reading: Reading) -> Iterator[Tile]:
    """The headline of a run with one point."""
    yield _rate("Throughput", reading.rate)
    for p in sorted({*reading.known[:1], *reading.known[-2:]}):
        yield from _percentile(reading, p)
    objective = reading.result.scenario.objective
    if objective and reading.goodput:
        yield _rate(f"Goodput within {number(1e3 * objective.limit_s)} ms", reading.goodput)
    failed = reading.total.failures
    of_all = f"{percent(reading.failed.value)} of {reading.requests:,}"
    yield Tile(label="Failed requests", value=f"{failed:,}", under=of_all, bad=failed > 0)
    if not math.isnan(reading.watts):
        energy, at = number(reading.images_per_joule), f"at {number(reading.watts)} W"
        yield Tile(label="Energy", value=energy, unit="images/J", under=at)
    if math.isfinite(reading.room):
        yield Tile(
            label="Driver's own ceiling",
            value=number(reading.result.ceiling_hz or math.nan),
            unit="requests/s",
            under=f"{number(reading.room)} times this run's",
        )


def _rate(label: str, found: Estimate) -> Tile:
    return Tile(label=label, value=number(found.value), unit="images/s", under=span(found))


def _percentile(reading: Reading, percent: float) -> Iterator[Tile]:
    found = reading.percentile(percent)
    if found is not None:
        lost = math.isinf(found.value)
        unit, under = ("", "") if lost else ("ms", span(found, ms))
        value = ms(found.value)
        yield Tile(label=f"Latency p{percent:g}", value=value, unit=unit, under=under, bad=lost)


def _sections(found: Sequence[Reading]) -> Iterator[Section]:
    yield Section(title="Figures", tables=[tables.throughput(found), tables.latency(found)])
    plots: list[Plot | Bars] = [
        *figures.distribution(found),
        *figures.curves(found),
        *figures.settings(found),
    ]
    bars: list[Plot | Bars] = [*figures.split(found), *figures.batches(found)]
    parts = [
        Section(title="Latency and load", figures=plots),
        Section(title="Inside a request", figures=bars, tables=list(tables.steps(found))),
        Section(title="Time line", figures=list(timeline(found))),
    ]
    yield from (part for part in parts if part.figures)
    details = [*tables.errors(found)]
    details += [table for reading in found for table in tables.sorts(reading)]
    details += [table for reading in found for table in tables.windows(reading)]
    yield Section(title="In detail", tables=details)


def _origins(found: Sequence[Reading]) -> Iterator[Section]:
    """How to repeat each result."""
    first = {id(reading.result): reading for reading in reversed(found)}
    for reading in reversed(first.values()):
        result = reading.result
        name = "" if len(first) == 1 else f": {reading.run}"
        yield Section(
            title=f"To repeat it{name}", command=result.command, tables=[tables.origin(result)]
        )
