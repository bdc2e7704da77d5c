"""What a run reports is true: against servers whose delays are known."""

import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from tests.loadtest.conftest import (
    ANYWHERE,
    BASE_S,
    QUICK,
    finish,
    log_of,
    plan,
    quantile,
    slept_s,
)

from nonesuch_loadtest import schedule
from nonesuch_loadtest.progress import Progress
from nonesuch_loadtest.result import Result
from nonesuch_loadtest.scenario import Scenario
from nonesuch_server import Embedded, Runtime

PERCENTS = (50, 90, 95, 99)
STALLS = {"staller": (2.0, 0.8), "slow_staller": (10.0, 2.0)}

pytestmark = pytest.mark.triton


def measured(scenario: Scenario) -> list[tuple[float, int]]:
    """When the requests after the warm-up are due, from its end, and their seeds."""
    drawn = schedule.arrivals(scenario)
    pairs = zip((drawn.due_ns / 1e9 - scenario.warmup_s).tolist(), drawn.seed.tolist(), strict=True)
    return [(due_s, seed) for due_s, seed in pairs if due_s >= 0]


def noted(server: Embedded, result: Result) -> list[tuple[float, float, float]]:
    """When each measured request was due, begun and answered by the server's own log (Unix)."""
    (point,) = result.points
    log = log_of(server.repository, result.scenario.requests[0].model)
    lines = map(str.split, log.read_text(encoding="utf-8").splitlines())
    times = {int(seed): (float(begun), float(left)) for seed, begun, left in lines}
    return [(point.began + due_s, *times[seed]) for due_s, seed in measured(result.scenario)]


def assert_close(told: Callable[[float], float], truth: Sequence[float]) -> None:
    """Each percentile is within 2 % or 1 ms of the truth."""
    for percent in PERCENTS:
        expected = quantile(truth, percent)
        assert told(percent) == pytest.approx(expected, rel=0.02, abs=1e-3), percent


def assert_true(server: Embedded, result: Result) -> None:
    """The percentiles are those of the spans from the schedule to the server's own answers."""
    total = result.points[0].total
    truth = [left - due for due, _, left in noted(server, result)]
    assert len(total.latency) == len(truth)
    assert total.failures == 0
    assert_close(total.percentile, truth)


@pytest.mark.parametrize(
    ("model", "scale"), [("sleeper", 1.0), pytest.param("quick", QUICK, marks=pytest.mark.slow)]
)
def test_percentiles_are_those_of_a_server_that_sleeps_by_schedule(
    timed: Embedded, model: str, scale: float
) -> None:
    scenario = Scenario(kind="server", rate_hz=40, warmup_s=0.3, window_s=1.5, windows=2)

    result = finish(plan(timed, scenario, model))

    assert_true(timed, result)
    slept = [scale * slept_s(seed) for _, seed in measured(scenario)]
    asleep = [left - begun for _, begun, left in noted(timed, result)]
    assert all(found >= asked for found, asked in zip(asleep, slept, strict=True))
    assert_close(partial(quantile, asleep), slept)  # the delay is known, not only noted
    (split,) = result.points[0].splits
    (step,) = split.steps
    assert step.role == "generator"
    total = result.points[0].total
    assert split.server_s / split.requests == pytest.approx(total.latency.mean_s, rel=0.1)


@pytest.mark.parametrize("model", ["staller", pytest.param("slow_staller", marks=pytest.mark.slow)])
def test_a_stall_shows_in_the_percentiles_of_a_server_run(timed: Embedded, model: str) -> None:
    period_s, stall_s = STALLS[model]
    scenario = Scenario(
        kind="server", rate_hz=25, warmup_s=0.3, window_s=period_s, windows=2, seed=3
    )

    result = finish(replace(plan(timed, scenario, model), processes=2))

    assert_true(timed, result)
    phases = [(result.points[0].began + due_s) % period_s for due_s, _ in measured(scenario)]
    held = [BASE_S + max(0.0, stall_s - phase) for phase in phases]
    least = quantile(held, 99) - 0.01  # of two clocks
    assert result.points[0].total.percentile(99) >= least > BASE_S + 0.8 * stall_s


def test_closed_callers_wait_for_their_answers(timed: Embedded) -> None:
    scenario = Scenario(kind="closed", concurrency=12, warmup_s=2, window_s=2, windows=1)

    result = finish(plan(timed, scenario, "sleeper"))

    total = result.points[0].total
    assert total.requests_hz == pytest.approx(12 / total.latency.mean_s, rel=0.1)  # Little's law
    assert total.percentile(1) >= BASE_S


def test_a_server_that_is_killed_leaves_a_result_with_its_failures(
    timed_repository: Path, runtime: Runtime
) -> None:
    scenario = Scenario(kind="server", rate_hz=20, warmup_s=0, window_s=4, windows=1)
    with Embedded(timed_repository, runtime, ANYWHERE, timeout_s=300) as server:

        def kill(progress: Progress) -> None:
            if progress.all_answered and not progress.all_failed:
                os.kill(server.pid, signal.SIGKILL)

        result = finish(plan(server, scenario, "sleeper"), kill)

    total = result.points[0].total
    assert total.answered > 1
    assert total.failures + len(total.latency) == len(measured(scenario))
    assert set(total.errors) == {"ServerUnreachable"}
    assert total.percentile(99) == float("inf")
