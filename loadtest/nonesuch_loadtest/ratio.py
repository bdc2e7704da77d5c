"""How much of the bare engine's speed does the server keep? Both in turn, on one machine."""

import statistics
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from nonesuch_loadtest import point
from nonesuch_loadtest.crew import Crew
from nonesuch_loadtest.point import NOBODY, Going
from nonesuch_loadtest.progress import Progress
from nonesuch_loadtest.result import Point, Result, Window
from nonesuch_loadtest.run import Beginning, Plan, Stopped, ceiling, finished
from nonesuch_loadtest.scenario import Scenario

BATCHES = (1, 2, 4, 8)  # the bare engine runs with the fastest of these


@dataclass(frozen=True, kw_only=True, slots=True)
class Ratio:
    """Two runs whose windows took turns; the medians are the result."""

    bare: Result
    served: Result

    @property
    def batch(self) -> int:
        """With which the bare engine ran."""
        return self.bare.scenario.requests[0].batch

    @property
    def bare_hz(self) -> float:
        """Images per second."""
        return statistics.median(w.rate_hz for w in self.bare.points[0].windows)

    @property
    def served_hz(self) -> float:
        """Images per second."""
        return statistics.median(w.rate_hz for w in self.served.points[0].windows)

    @property
    def ratio(self) -> float:
        """Of the rounds, each of which has a window of both."""
        pairs = zip(self.served.points[0].windows, self.bare.points[0].windows, strict=False)
        return statistics.median(served.rate_hz / bare.rate_hz for served, bare in pairs)

    @property
    def failures(self) -> int:
        return sum(result.points[0].total.failures for result in (self.bare, self.served))

    def to_dict(self) -> dict[str, Any]:
        """The figures."""
        names = ("batch", "bare_hz", "served_hz", "ratio", "failures")
        return {name: getattr(self, name) for name in names}


def take_turns(bare: Plan, served: Plan) -> Generator[Progress, None, Ratio]:
    """Alternate windows of two closed runs, as many as the served one's scenario has.

    Each begins with its warm-up, because the other has cooled what it left. The bare engine's
    batch is that of `BATCHES` with which it is fastest here. A round that the user cuts short is
    left out; raises Stopped where that leaves none.
    """
    beginning = Beginning.of(served)
    about = bare.spec.about(), served.spec.about()
    tops = (yield from ceiling(bare)), (yield from ceiling(served))
    batches = tuple(replace(bare.scenario.requests[0], batch=batch) for batch in BATCHES)
    asked = served.scenario.requests
    with Crew(bare.spec, batches, 1) as alone, Crew(served.spec, asked, 1) as loaded:
        bare = yield from _fastest(bare, alone)
        rounds: list[tuple[Point, Point]] = []
        for turn in range(served.scenario.windows):
            both = (yield from _turn(alone, bare, turn)), (yield from _turn(loaded, served, turn))
            if any(found.ended for found in both):
                break
            rounds.append(both)
    if not rounds:
        raise Stopped("stopped before both had had their first turn")
    ended = "stopped by the user" if len(rounds) < served.scenario.windows else ""
    ours, its = (replace(_joined(points), ended=ended) for points in zip(*rounds, strict=True))
    return Ratio(
        bare=finished(bare, (ours,), beginning=beginning, about=about[0], ceiling_hz=tops[0]),
        served=finished(served, (its,), beginning=beginning, about=about[1], ceiling_hz=tops[1]),
    )


def _turn(crew: Crew, plan: Plan, turn: int) -> Going:
    scenario = replace(plan.scenario, windows=1, seed=plan.scenario.seed + turn)
    setting = {"engine": "bare" if plan.observed is NOBODY else "served"}
    return point.measure(crew, scenario, plan.observed, setting, plan.stop)


def _fastest(bare: Plan, crew: Crew) -> Generator[Progress, None, Plan]:
    """The plan with the batch that makes most images per second."""
    rates: dict[int, float] = {}
    for batch in BATCHES:
        scenario = _batched(bare.scenario, batch)
        short = replace(scenario, windows=1, window_s=scenario.window_s / 3, warmup_s=0.5)
        rates[batch] = (
            yield from point.measure(crew, short, NOBODY, {"batch": batch}, bare.stop)
        ).total.rate_hz
    return replace(bare, scenario=_batched(bare.scenario, max(rates, key=rates.__getitem__)))


def _batched(scenario: Scenario, batch: int) -> Scenario:
    return replace(scenario, requests=(replace(scenario.requests[0], batch=batch),))


def _joined(points: Sequence[Point]) -> Point:
    """The windows of several points as those of one, a row in time."""
    length_s = points[0].windows[0].length_s
    shift = [i * length_s for i in range(len(points))]
    timed = list(zip(points, shift, strict=True))
    sorts = tuple(
        Window.merged(parts) for parts in zip(*(p.by_request for p in points), strict=True)
    )
    return Point(
        warmup=Window.merged(p.warmup for p in points),
        windows=tuple(replace(w, start_s=w.start_s + s) for p, s in timed for w in p.windows),
        by_request=sorts,
        splits=points[-1].splits,
        resources=tuple(
            replace(r, at_s=r.at_s + s) for p, s in timed for r in p.resources if r.at_s >= 0
        ),
    )
