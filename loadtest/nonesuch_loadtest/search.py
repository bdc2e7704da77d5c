"""The highest rate that keeps an objective: bisection, each rate measured by repeated windows."""

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any

from nonesuch.errors import InvalidRequest
from nonesuch_loadtest import point
from nonesuch_loadtest.crew import Crew
from nonesuch_loadtest.progress import Progress
from nonesuch_loadtest.result import Point, Result
from nonesuch_loadtest.run import Beginning, Plan, Stopped, ceiling, finished
from nonesuch_loadtest.scenario import Objective

_MOST_STEPS = 12


@dataclass(frozen=True, kw_only=True, slots=True)
class Bounds:
    """A rate that keeps the objective and one that does not, in requests per second."""

    good: float
    bad: float

    def near(self, share: float) -> bool:
        """Whether they are so near to each other that the search is over."""
        return self.bad <= self.good * (1 + share)


def search(
    plan: Plan, *, begin_hz: float | None = None, within: float = 0.05
) -> Generator[Progress, None, Result]:
    """Bisect to the highest rate, to a share of `within`; `answer` of the result holds it.

    The plan's scenario is a closed one with an objective, which tells how much the server can do
    at most, unless `begin_hz` does. The last rate is confirmed with arrivals of another seed;
    where it fails, the search goes on below. No rate at all gives an answer of 0.
    """
    objective = plan.scenario.objective
    if objective is None:
        raise InvalidRequest("a search needs an objective, as p99<200ms")
    beginning, about = Beginning.of(plan), plan.spec.about()
    top_hz = yield from ceiling(plan)
    with Crew(plan.spec, plan.scenario.requests, plan.processes) as crew:
        rate_hz = begin_hz or (yield from _capacity(plan, crew))
        rates = _Rates(plan, crew, objective)
        best = yield from _bisect(rates, Bounds(good=0.0, bad=1.2 * rate_hz), within)
    points = sorted(rates.points, key=lambda p: p.setting["rate_hz"])
    tried = tuple(p.setting["rate_hz"] for p in points)
    if not tried:
        raise Stopped("stopped before a rate was measured")
    ramp = replace(plan.scenario, kind="ramp", concurrency=None, rates_hz=tried)
    result = finished(
        replace(plan, scenario=ramp),
        tuple(points),
        beginning=beginning,
        about=about,
        ceiling_hz=top_hz,
    )
    return replace(result, answer={"rate_hz": best})


def holds(found: Point, objective: Objective) -> bool:
    """Whether a measurement kept the objective; a failure counts as infinitely slow."""
    return not found.ended and found.total.percentile(objective.percentile) <= objective.limit_s


class _Rates:
    """Measures rates and keeps what it found."""

    def __init__(self, plan: Plan, crew: Crew, objective: Objective) -> None:
        self._plan, self._crew, self._objective = plan, crew, objective
        self.points: list[Point] = []

    @property
    def over(self) -> bool:
        return self._plan.stop.is_set() or len(self.points) >= _MOST_STEPS

    def good(self, rate_hz: float, seed: int) -> Generator[Progress, None, bool]:
        scenario = replace(
            self._plan.scenario, kind="server", concurrency=None, rate_hz=rate_hz, seed=seed
        )
        setting: dict[str, Any] = {"rate_hz": round(rate_hz, 3)}
        going = point.measure(self._crew, scenario, self._plan.observed, setting, self._plan.stop)
        found = yield from going
        self.points.append(found)
        return holds(found, self._objective)


def _bisect(rates: _Rates, bounds: Bounds, within: float) -> Generator[Progress, None, float]:
    seed, first = 1, bounds
    while not rates.over:
        while not bounds.near(within) and not rates.over:
            middle = (bounds.good + bounds.bad) / 2
            good = yield from rates.good(middle, seed)
            bounds = replace(bounds, good=middle) if good else replace(bounds, bad=middle)
        if bounds.bad == first.bad and bounds.good:  # nobody has tried it: look further up
            bounds = first = replace(bounds, bad=2 * bounds.bad)
            continue
        seed += 1
        if not bounds.good or rates.over or (yield from rates.good(bounds.good, seed)):
            break
        bounds = Bounds(good=bounds.good / 2, bad=bounds.good)
    return round(bounds.good, 3)


def _capacity(plan: Plan, crew: Crew) -> Generator[Progress, None, float]:
    """Requests per second where some are always under way."""
    closed = replace(plan.scenario, windows=1)
    found = yield from point.measure(crew, closed, plan.observed, {}, plan.stop)
    return found.total.requests_hz
