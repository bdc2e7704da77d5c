"""The tables of a report; each figure stands with its interval, an unknown one as a dash."""

import json
import math
from collections.abc import Iterator, Sequence
from typing import Any

from nonesuch_loadtest import estimate
from nonesuch_loadtest.document import Cell, Table
from nonesuch_loadtest.estimate import Estimate
from nonesuch_loadtest.reading import PERCENTS, Reading
from nonesuch_loadtest.result import Model, Result, Window
from nonesuch_loadtest.words import NONE, megabytes, ms, number, percent, share_span, span

_PERCENTS_OF_PARTS = (50.0, 90.0, 99.0)  # in the tables of windows and sorts of requests


def throughput(found: Sequence[Reading]) -> Table:
    """Images, requests and bytes per second, and what they took of the machine."""
    columns: dict[str, list[Cell]] = {
        "images/s": [_cell(r.rate) for r in found],
        "requests/s": [_cell(r.requests_rate) for r in found],
        "due/s": [Cell(number(r.offered_hz)) for r in found],
        "good images/s": [_cell(r.goodput) if r.goodput else Cell(NONE) for r in found],
        "MB/s": [Cell(megabytes(r.total.bytes_hz)) for r in found],
        "server cores": [Cell(number(r.server_cores)) for r in found],
        "server MB": [Cell(megabytes(r.server_bytes)) for r in found],
        "GPU W": [Cell(number(r.watts)) for r in found],
        "images/J": [Cell(number(r.images_per_joule)) for r in found],
        "ceiling ÷ due": [Cell(number(r.room) if math.isfinite(r.room) else NONE) for r in found],
    }
    return _table(
        found,
        {name: cells for name, cells in columns.items() if any(c.text != NONE for c in cells)},
        title="Throughput",
        under="Due: requests whose time came. Good: within the objective. Cores are a mean, MB "
        "the most that the server's processes held. Ceiling: the driver's own.",
    )


def latency(found: Sequence[Reading]) -> Table:
    """Percentiles of all requests, failures among them."""
    columns: dict[str, list[Cell]] = {
        "requests": [Cell(f"{r.requests:,}") for r in found],
        "failed": [_failures(r.total) for r in found],
    }
    for p in PERCENTS:
        columns[f"p{p:g}"] = [_percentile(r.percentile(p), p) for r in found]
    columns |= {
        "longest": [Cell(ms(r.total.latency.max_s)) for r in found],
        "mean": [Cell(ms(r.total.latency.mean_s)) for r in found],
        "sent late, p99": [Cell(ms(r.total.delay.percentile(99))) for r in found],
    }
    return _table(
        found,
        columns,
        title="Latency, ms since the request was due",
        under="Percentiles are of all requests, and a failure is slower than every answer; "
        "longest and mean are of the answered ones.",
    )


def sorts(reading: Reading) -> Iterator[Table]:
    """Each sort of request in a mix by itself."""
    windows = reading.point.by_request
    if len(windows) > 1:
        names = [request.label for request in reading.result.scenario.requests]
        yield _parts(f"By sort of request: {reading.name}", names, windows)


def windows(reading: Reading) -> Iterator[Table]:
    """Warm-up and windows one by one."""
    parts = (reading.point.warmup, *reading.point.windows)
    names = ["warm-up", *(f"window {i}" for i in range(1, len(parts)))]
    yield _parts(f"Windows: {reading.name}", names, parts, folded=True)


def _parts(
    title: str, names: Sequence[str], parts: Sequence[Window], folded: bool = False
) -> Table:
    rows = []
    for name, window in zip(names, parts, strict=True):
        cells = [Cell(f"{estimate.requests(window):,}"), _failures(window)]
        cells += [_percentile(estimate.percentile([window], p), p) for p in _PERCENTS_OF_PARTS]
        cells += [Cell(ms(window.latency.max_s)), Cell(number(window.length_s))]
        rows.append((name, [*cells, Cell(number(window.rate_hz))]))
    head = [f"p{p:g} ms" for p in _PERCENTS_OF_PARTS]
    head = ["", "requests", "failed", *head, "longest ms", "seconds", "images/s"]
    return Table(title=title, head=head, rows=rows, folded=folded)


def errors(found: Sequence[Reading]) -> Iterator[Table]:
    """Failures by their class, and how long they took to fail."""
    kinds = sorted({kind for r in found for kind in r.total.errors})
    failed = [r for r in found if r.total.failures]
    if failed:
        columns = {k: [Cell(f"{r.total.errors.get(k, 0):,}") for r in failed] for k in kinds}
        columns["share"] = [
            Cell(percent(r.failed.value), share_span(r.failed), "bad") for r in failed
        ]
        columns["failed after, median ms"] = [
            Cell(ms(r.total.failed.percentile(50))) for r in failed
        ]
        yield _table(failed, columns, title="Failures by class")


def steps(found: Sequence[Reading]) -> Iterator[Table]:
    """The server's own statistics of each step."""
    rows = []
    for r in found:
        for split in r.point.splits:
            for step in split.steps:
                each = step.requests or math.nan
                cells = [Cell(f"{step.requests:,}"), Cell(f"{step.failures:,}")]
                cells += [Cell(f"{step.executions:,}")]
                cells += [Cell(number(step.inferences / (step.executions or math.nan)))]
                times = (step.queue_s, step.input_s, step.infer_s, step.output_s)
                rows.append(
                    (f"{r.name}: {step.model}", [*cells, *(Cell(ms(t / each)) for t in times)])
                )
    if rows:
        head = ["", "requests", "failed", "executions", "mean batch"]
        head += ["queue ms", "input ms", "compute ms", "output ms"]
        yield Table(
            title="The server's steps",
            head=head,
            rows=rows,
            folded=True,
            under="Means of a request, by the server's statistics; the time of a batch counts "
            "for each request in it.",
        )


def origin(result: Result) -> Table:
    """All that the figures hang on: target, hardware, versions, configuration."""
    target, hardware = result.target, result.hardware
    rows = {
        "started": result.started,
        "target": " ".join(
            w for w in (target.kind, target.server, target.transport, target.style) if w
        ),
        **{f"model {model.name}": _model(model) for model in target.models},
        "processor": f"{hardware.cpu}, {hardware.cores} cores",
        "memory": f"{number(hardware.memory_bytes / 2**30)} GiB",
        "instructions": ", ".join(hardware.instructions),
        "GPU": ", ".join(hardware.gpus),
        "system": hardware.system,
        "load before the run": number(hardware.load),
        "driver": f"{result.processes} process{'es' if result.processes > 1 else ''}"
        + (", forced to run near its ceiling" if result.forced else ""),
        "seed": str(result.scenario.seed),
        **dict(sorted(result.versions.items())),
        **{name: _json(value) for name, value in sorted(target.configuration.items())},
    }
    return Table(
        head=["", ""],
        rows=[(name, [Cell(text)]) for name, text in rows.items() if text],
        title="What the figures hang on",
        words=True,
        folded=True,
    )


def _model(model: Model) -> str:
    size = f"{model.width}x{model.height}" if model.width else ""
    words = (model.family, size, model.engine, model.precision, f"hash {model.model_hash}")
    return " ".join(word for word in words if word)


def _json(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _table(
    found: Sequence[Reading], columns: dict[str, list[Cell]], *, title: str, under: str = ""
) -> Table:
    cells = zip(*columns.values(), strict=True)
    rows = [(r.name, row) for r, row in zip(found, cells, strict=True)]
    return Table(title=title, head=["", *columns], rows=rows, under=under)


def _failures(window: Window) -> Cell:
    count = window.failures
    if not count:
        return Cell("0")
    return Cell(f"{count:,}", percent(count / estimate.requests(window)), "bad")


def _percentile(found: Estimate | None, p: float) -> Cell:
    if found is None:
        return Cell(NONE, f"needs {estimate.needed(p):,}")
    if math.isinf(found.value):
        return Cell(ms(found.value), "", "bad")
    return Cell(ms(found.value), span(found, ms))


def _cell(found: Estimate) -> Cell:
    return Cell(number(found.value), span(found))
