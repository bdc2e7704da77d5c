"""The figures that a report shows of one point of a result."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from nonesuch_loadtest import estimate
from nonesuch_loadtest.estimate import Estimate
from nonesuch_loadtest.result import Point, Resource, Result, Window
from nonesuch_loadtest.scenario import Scenario
from nonesuch_loadtest.words import setting

PERCENTS = (50.0, 90.0, 95.0, 99.0, 99.9)
PARTS = ("client", "network", "queue", "sampler", "generator", "encoder", "other")


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A point of a result under the name that a report gives it."""

    name: str
    run: str  # the name of its result, which no other in the report has
    result: Result
    point: Point

    @cached_property
    def total(self) -> Window:
        return self.point.total

    @property
    def requests(self) -> int:
        """How many were due, answered or not."""
        return estimate.requests(self.total)

    @property
    def failed(self) -> Estimate:
        """The share of the requests that failed; 0 of none."""
        count = self.requests
        return estimate.share(self.total.failures, count) if count else Estimate(value=0.0)

    @cached_property
    def rate(self) -> Estimate:
        """Images per second, of the windows that were measured to their end."""
        return estimate.mean([window.rate_hz for window in self.whole])

    @cached_property
    def requests_rate(self) -> Estimate:
        """Answered requests per second."""
        return estimate.mean([window.requests_hz for window in self.whole])

    @cached_property
    def goodput(self) -> Estimate | None:
        """Images per second within the objective's limit; None without an objective."""
        if self.result.scenario.objective is None:
            return None
        return estimate.mean([window.goodput_hz for window in self.whole])

    @cached_property
    def whole(self) -> tuple[Window, ...]:
        """The windows but for one that was cut short; an empty one if there is none."""
        windows = [window for window in self.point.windows if window.length_s > 0]
        longest = max((window.length_s for window in windows), default=0.0)
        return tuple(w for w in windows if w.length_s > longest / 2) or (Window(),)

    def percentile(self, percent: float) -> Estimate | None:
        """Seconds; None where the requests are too few to know it."""
        return estimate.percentile(self.point.windows, percent)

    @property
    def known(self) -> list[float]:
        """The percentiles that can be told."""
        return [p for p in PERCENTS if self.requests >= estimate.needed(p)]

    @property
    def offered_hz(self) -> float:
        """Requests per second that were due."""
        return self.requests / self.total.length_s if self.total.length_s else 0.0

    @property
    def room(self) -> float:
        """The driver's own ceiling over the rate of this run; infinite where either is unknown."""
        ceiling = self.result.ceiling_hz
        return ceiling / self.offered_hz if ceiling and self.offered_hz else math.inf

    @property
    def rate_hz(self) -> float | None:
        """The rate that was asked for, None where the scenario asks for none."""
        return self._setting("rate_hz")

    @property
    def concurrency(self) -> float | None:
        """How many requests were under way at once, None where the scenario does not say."""
        return self._setting("concurrency")

    def _setting(self, name: str) -> float | None:
        value = self.point.setting.get(name, getattr(self.result.scenario, name))
        return None if value is None else float(value)

    @property
    def server_cores(self) -> float:
        """Mean of the server's busy cores; NaN where it is not on this machine."""
        return _mean(resource.server_cores for resource in self.point.resources)

    @property
    def server_bytes(self) -> float:
        """The most memory that the server held; NaN where it is not on this machine."""
        return _most(resource.server_bytes for resource in self.point.resources)

    @property
    def driver_cores(self) -> float:
        return _mean(resource.driver_cores for resource in self.point.resources)

    @property
    def watts(self) -> float:
        """Mean of the GPU's power; NaN without one."""
        return _mean(resource.gpu_watts for resource in self.point.resources)

    @property
    def images_per_joule(self) -> float:
        """NaN without a GPU."""
        return self.rate.value / self.watts

    @property
    def resources(self) -> Sequence[Resource]:
        return self.point.resources

    @cached_property
    def parts(self) -> dict[str, dict[str, float]]:
        """By model: seconds that a request spends on average in each of PARTS."""
        return {split.model: self._parts(split.model) for split in self.point.splits}

    def _parts(self, model: str) -> dict[str, float]:
        split = next(split for split in self.point.splits if split.model == model)
        window = self._window(model)
        if not split.requests or not window.latency:
            return {}
        parts = dict.fromkeys(PARTS, 0.0)
        for step in split.steps:
            role = step.role if step.role in parts else "other"
            parts[role] += (step.input_s + step.infer_s + step.output_s) / split.requests
            parts["queue"] += step.queue_s / split.requests
        server_s = split.server_s / split.requests
        parts["other"] += max(0.0, server_s - sum(parts.values()))
        parts["client"] = window.client.mean_s + window.delay.mean_s
        # Clocks of two machines' making: what is left may come out a hair below nothing.
        parts["network"] = max(0.0, window.latency.mean_s - parts["client"] - server_s)
        return parts

    def _window(self, model: str) -> Window:
        """The requests for one model."""
        requests = self.result.scenario.requests
        windows = zip(requests, self.point.by_request, strict=False)
        mine = [window for request, window in windows if request.model == model]
        return Window.merged(mine) if mine and len(self.point.splits) > 1 else self.total


def readings(results: Sequence[Result]) -> list[Reading]:
    """Every point of all results, each under a name of its own."""
    found: list[Reading] = []
    for result, name in zip(results, _names(results), strict=True):
        several = len(result.points) > 1
        for point in result.points:
            words = [name] if len(results) > 1 or not several else []
            words += [setting(point.setting)] if several else []
            found.append(Reading(name=", ".join(words), run=name, result=result, point=point))
    return found


def scenario_words(scenario: Scenario) -> str:
    """The scenario in one line."""
    of_kind = {
        "server": f"{scenario.rate_hz} requests/s, Poisson arrivals",
        "closed": _several(scenario.concurrency or 0, "request") + " under way",
        "offline": f"bursts of {_several(scenario.count or 0, 'request')}",
        "ramp": _several(len(scenario.rates_hz or scenario.concurrencies), "step"),
        "replay": f"{scenario.log}, {scenario.speed:g} times its speed",
        "single-stream": "one request after the other",
    }
    return f"{scenario.kind}: {of_kind[scenario.kind]}"


def _several(count: int, word: str) -> str:
    return f"{count} {word}{'s' * (count != 1)}"


def _names(results: Sequence[Result]) -> list[str]:
    names: list[str] = []
    for result in results:
        name, number = result.name, 1
        while name in names:
            number += 1
            name = f"{result.name} ({number})"
        names.append(name)
    return names


def _mean(values: Iterable[float | None]) -> float:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else math.nan


def _most(values: Iterable[float | None]) -> float:
    return max((value for value in values if value is not None), default=math.nan)
