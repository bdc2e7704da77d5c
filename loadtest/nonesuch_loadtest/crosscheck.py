"""A second opinion: Triton's own load generator on the same server, beside ours.

perf_analyzer asks for every output of a model, so ours does the same here. Both take turns.
"""

import csv
import json
import subprocess
import tempfile
from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nonesuch.errors import InvalidRequest, SetupError
from nonesuch_loadtest import estimate, point
from nonesuch_loadtest.crew import Crew
from nonesuch_loadtest.estimate import Estimate
from nonesuch_loadtest.progress import Progress
from nonesuch_loadtest.result import Window
from nonesuch_loadtest.run import Plan, Stopped
from nonesuch_loadtest.scenario import Scenario
from nonesuch_loadtest.served import Served

_SEEDS = 256  # in its input file, used over and over
_ANY_SPREAD = "500"  # in percent; it refuses to tell the figures of windows that differ more
_SLACK_S = 120.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Opinion:
    """What both say of one number of callers; means over the rounds, latencies in seconds."""

    concurrency: int
    ours_hz: float
    theirs_hz: float
    ratio: Estimate  # of the throughputs, ours over theirs; the rounds tell how well it is known
    ours_p50_s: float
    theirs_p50_s: float
    ours_p99_s: float
    theirs_p99_s: float


@dataclass(frozen=True, slots=True)
class _Theirs:
    rate_hz: float
    p50_s: float
    p99_s: float


def crosscheck(
    plan: Plan, program: Path, concurrencies: tuple[int, ...]
) -> Generator[Progress | Opinion, None, None]:
    """Measure with both; yields progress of ours, and an opinion for each number of callers.

    `plan` is a closed run of one model behind a server over gRPC. Each window of ours has one of
    theirs after it, so that what else the machine does hits both. Raises SetupError where the
    program does not run, Stopped where the user has enough.
    """
    if not isinstance(plan.spec, Served) or plan.spec.transport != "grpc":
        raise InvalidRequest("perf_analyzer is compared over gRPC to a server alone")
    spec = replace(plan.spec, everything=True)
    with Crew(spec, plan.scenario.requests, plan.processes) as crew:
        for concurrency in concurrencies:
            asked = replace(plan, scenario=replace(plan.scenario, concurrency=concurrency))
            rounds = yield from _rounds(asked, crew, program, spec.url)
            if plan.stop.is_set():
                raise Stopped(f"stopped before {concurrency} callers were compared")
            yield _opinion(concurrency, rounds)


def _rounds(
    plan: Plan, crew: Crew, program: Path, url: str
) -> Generator[Progress, None, list[tuple[Window, _Theirs]]]:
    """What both find in each round, until the user stops it."""
    found: list[tuple[Window, _Theirs]] = []
    for turn in range(plan.scenario.windows):
        scenario = replace(plan.scenario, windows=1, seed=plan.scenario.seed + turn)
        ours = yield from point.measure(crew, scenario, plan.observed, {}, plan.stop)
        if plan.stop.is_set():
            break
        try:
            found.append((ours.total, _run(program, url, scenario)))
        except SetupError:  # Ctrl-C ends the program as well
            if not plan.stop.is_set():
                raise
            break
    return found


def _opinion(concurrency: int, rounds: list[tuple[Window, _Theirs]]) -> Opinion:
    ours, theirs = Window.merged(w for w, _ in rounds), [t for _, t in rounds]
    return Opinion(
        concurrency=concurrency,
        ours_hz=ours.requests_hz,
        theirs_hz=_mean([t.rate_hz for t in theirs]),
        ratio=estimate.mean([w.requests_hz / t.rate_hz for w, t in rounds]),
        ours_p50_s=ours.percentile(50),
        theirs_p50_s=_mean([t.p50_s for t in theirs]),
        ours_p99_s=ours.percentile(99),
        theirs_p99_s=_mean([t.p99_s for t in theirs]),
    )


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _run(program: Path, url: str, scenario: Scenario) -> _Theirs:
    """One measurement by perf_analyzer; its words are in its own documentation."""
    (request,) = scenario.requests
    samples = [{"seed": [seed], "format": [request.format]} for seed in range(_SEEDS)]
    # It tells the mean of its last three windows.
    window_ms = round(scenario.window_s * 1000 / 3)
    with tempfile.TemporaryDirectory(prefix="nonesuch-crosscheck-") as folder:
        inputs, table = Path(folder) / "inputs.json", Path(folder) / "table.csv"
        inputs.write_text(json.dumps({"data": samples}), encoding="utf-8")
        words = ["-m", request.model, "-u", url, "-i", "grpc", "-a", "-b", str(request.batch)]
        words += ["--concurrency-range", f"{scenario.concurrency}:{scenario.concurrency}:1"]
        words += ["--input-data", str(inputs), "-p", str(window_ms), "-s", _ANY_SPREAD, "-r", "3"]
        _call([str(program), *words, "-f", str(table), "--verbose-csv"], scenario)
        return _read(table, request.batch)


def _call(words: list[str], scenario: Scenario) -> None:
    limit_s = 10 * scenario.window_s + _SLACK_S
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=limit_s)
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise SetupError(f"{words[0]} does not run: {exc}") from exc
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines() or ["it said nothing"]
        raise SetupError(f"{words[0]} ended with {done.returncode}: {said[-1]}")


def _read(table: Path, batch: int) -> _Theirs:
    try:
        with table.open(encoding="utf-8", newline="") as file:
            row: dict[str, Any] = next(csv.DictReader(file))
        return _Theirs(
            rate_hz=float(row["Inferences/Second"]) / batch,  # it counts every picture
            p50_s=float(row["p50 latency"]) / 1e6,
            p99_s=float(row["p99 latency"]) / 1e6,
        )
    except (OSError, StopIteration, KeyError, ValueError) as exc:
        raise SetupError(f"perf_analyzer told no figures: {exc}") from exc
