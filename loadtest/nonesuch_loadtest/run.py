"""A run from beginning to end: the driver's own ceiling, the points, the result."""

import datetime
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from threading import Event
from typing import Any

from nonesuch.errors import NonesuchError
from nonesuch_loadtest import hardware, point
from nonesuch_loadtest.crew import Crew
from nonesuch_loadtest.point import NOBODY, Going, Observed
from nonesuch_loadtest.progress import Progress
from nonesuch_loadtest.result import MARGIN, Hardware, Point, Result, Target
from nonesuch_loadtest.scenario import Scenario
from nonesuch_loadtest.target import Spec

_CEILING_S = 1.5
_CEILING_CALLERS = 16  # of each process


class TooNear(NonesuchError):
    """Raised for a run whose figures would be the driver's own."""


class Stopped(NonesuchError):
    """Raised where the user stopped a measurement before it had anything to tell."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """A run, as a command line says it."""

    scenario: Scenario
    spec: Spec
    name: str
    command: str
    observed: Observed = NOBODY
    processes: int = 1
    ceiling_hz: float | None = None  # of the same driver, requests and machine; None = measured
    force: bool = False  # measure even near the driver's ceiling
    null: bool = False  # the run is the measurement of the driver
    machine: Hardware | None = None  # as it was before other runs of ours; None = as it is
    stop: Event = field(default_factory=Event)  # set to see what there is


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


@dataclass(frozen=True, kw_only=True, slots=True)
class Beginning:
    """What is noted before a run puts load on the machine."""

    started: str
    machine: Hardware

    @classmethod
    def of(cls, plan: Plan) -> "Beginning":
        """Now."""
        return cls(started=_now(), machine=plan.machine or hardware.hardware())


def run(plan: Plan) -> Generator[Progress, None, Result]:
    """Measure; yields the progress, returns the result, which `plan.stop` cuts short.

    Raises TooNear where the driver itself would be measured, unless forced.
    """
    beginning = Beginning.of(plan)
    with _target(plan) as spec:
        about = spec.about()
        top_hz = None if plan.null else (yield from ceiling(plan))
        _check_asked(plan, top_hz)
        with Crew(spec, plan.scenario.requests, plan.processes) as crew:
            points = yield from _points(plan, crew)
    return finished(plan, points, beginning=beginning, about=about, ceiling_hz=top_hz)


def finished(
    plan: Plan,
    points: tuple[Point, ...],
    *,
    beginning: Beginning,
    about: Target,
    ceiling_hz: float | None,
) -> Result:
    """The result of what was measured; raises TooNear as `run` does."""
    return Result(
        name=plan.name,
        started=beginning.started,
        command=plan.command,
        scenario=plan.scenario,
        target=about,
        versions=hardware.versions(),
        hardware=beginning.machine,
        processes=plan.processes,
        ceiling_hz=ceiling_hz,
        forced=_check_reached(plan, ceiling_hz, points),
        points=points,
    )


@contextmanager
def _target(plan: Plan) -> Iterator[Spec]:
    if not plan.null:
        yield plan.spec
        return
    with plan.spec.null(plan.scenario.requests) as spec:
        yield spec


def ceiling(plan: Plan) -> Generator[Progress, None, float | None]:
    """Requests per second of the same driver and requests where the answer is there at once.

    None where the user stopped it.
    """
    if plan.ceiling_hz is not None:
        return plan.ceiling_hz
    closed = Scenario(
        kind="closed",
        concurrency=_CEILING_CALLERS * plan.processes,
        warmup_s=0.3,
        window_s=_CEILING_S,
        windows=1,
        requests=plan.scenario.requests,
    )
    with (
        plan.spec.null(plan.scenario.requests) as spec,
        Crew(spec, closed.requests, plan.processes) as crew,
    ):
        going = point.measure(crew, closed, NOBODY, {}, plan.stop)
        found = yield from _renamed(going, "ceiling")
    return None if found.ended else found.total.requests_hz


def _renamed(going: Going, phase: str) -> Going:
    while True:
        try:
            news = next(going)
        except StopIteration as stop:
            found: Point = stop.value
            return found
        yield replace(news, phase=phase)


def _check_asked(plan: Plan, top_hz: float | None) -> None:
    rates = [plan.scenario.rate_hz or 0.0, *plan.scenario.rates_hz]
    if top_hz is not None and max(rates) * MARGIN > top_hz and not plan.force:
        raise _too_near(max(rates), "asked for", top_hz)


def _check_reached(plan: Plan, top_hz: float | None, points: tuple[Point, ...]) -> bool:
    """Whether the figures are the driver's; raises unless that was forced."""
    reached = max((p.total.requests_hz for p in points if p.windows), default=0.0)
    if top_hz is None or reached * MARGIN <= top_hz:
        return False
    if not plan.force:
        raise _too_near(reached, "reached", top_hz)
    return True


def _too_near(rate_hz: float, how: str, top_hz: float) -> TooNear:
    return TooNear(
        f"{rate_hz:.0f} requests/s were {how}, and this driver alone makes {top_hz:.0f}: within "
        f"{MARGIN:g} times of it the driver is measured too; give it --processes, or --force"
    )


def _points(plan: Plan, crew: Crew) -> Generator[Progress, None, tuple[Point, ...]]:
    points: list[Point] = []
    for scenario, setting in steps(plan.scenario):
        observed = NOBODY if plan.null else plan.observed
        going = point.measure(crew, scenario, observed, setting, plan.stop)
        points.append((yield from going))
        if plan.stop.is_set() or saturated(scenario, points):
            break
    return tuple(points)


def steps(scenario: Scenario) -> Iterator[tuple[Scenario, dict[str, Any]]]:
    """The scenarios that a ramp consists of, with their settings; another is its only step."""
    for rate_hz in scenario.rates_hz:
        step = replace(scenario, kind="server", rates_hz=(), rate_hz=rate_hz)
        yield step, {"rate_hz": rate_hz}
    for callers in scenario.concurrencies:
        step = replace(scenario, kind="closed", concurrencies=(), concurrency=callers)
        yield step, {"concurrency": callers}
    if scenario.kind != "ramp":
        yield scenario, {}


_KEPT_UP = 0.95  # a rate of which less is answered is past saturation
_GAIN = 1.02  # more callers that bring less than this are past it


def saturated(scenario: Scenario, points: list[Point]) -> bool:
    """Whether the last step of a ramp shows that further ones would only wait longer."""
    last = points[-1].total
    if scenario.rate_hz is not None:
        due = len(last.latency) + len(last.failed)
        return last.answered < _KEPT_UP * due
    # Two steps in a row, since one may be noise.
    rates = [p.total.rate_hz for p in points[-3:]]
    return len(rates) == 3 and max(rates[1:]) < _GAIN * rates[0]
