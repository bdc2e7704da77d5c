"""What a run sends and when: the scenarios, frozen and valid by construction.

A scenario is three facts (MLPerf's words for the first three of them):

| scenario        | what is sent         | when the next one is sent          | the result        |
|-----------------|----------------------|------------------------------------|-------------------|
| `single-stream` | one request          | when the last one has ended        | p90 of latency    |
| `server`        | `rate_hz` a second   | Poisson arrivals, whatever is open | p99 of latency    |
| `offline`       | `count` requests     | all at once                        | images per second |
| `closed`        | `concurrency` ones   | when one of them has ended         | images per second |
| `ramp`          | as one of the others | as `server` or `closed`, by steps  | the curve         |
| `replay`        | those of a log       | when the log says, times `speed`   | p99 of latency    |
"""

import math
from dataclasses import dataclass, field
from typing import Literal, get_args

from nonesuch.errors import InvalidRequest
from nonesuch.options import FormatName

Kind = Literal["single-stream", "server", "offline", "closed", "ramp", "replay"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Priority = Literal["interactive", "bulk"]


def _listed(value: float | tuple[float, ...] | None) -> tuple[float, ...]:
    if value is None:
        return ()
    return value if isinstance(value, tuple) else (value,)


def _above(name: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise InvalidRequest(f"{name} is {value:g}, expected above 0")


def _whole(name: str, value: float, least: int) -> None:
    if value < least:
        raise InvalidRequest(f"{name} is {value:g}, expected at least {least}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One sort of request in the mix."""

    share: float = 1.0  # how often it is sent, beside the shares of the others
    model: str = ""  # "" = the model of the command line
    batch: int = 1  # pictures in a request
    format: FormatName = "jpeg"
    quality: int | None = None
    priority: Priority = "interactive"
    psi: float | None = None  # None = what the card recommends
    mix_layers: str | None = None  # style mixing with a second seed in these layers
    noise: Literal["const", "random", "none"] = "const"
    directions: dict[str, float] = field(default_factory=dict)
    class_idx: int | None = None

    def __post_init__(self) -> None:
        _above("share", self.share)
        _whole("batch", self.batch, 1)

    @property
    def label(self) -> str:
        """What a report calls it."""
        words = [self.model, self.format, f"batch {self.batch}" if self.batch > 1 else ""]
        words += [self.priority if self.priority == "bulk" else "", f"mix {self.mix_layers}"]
        words += [f"psi {self.psi:g}" if self.psi is not None else ""]
        words += [f"noise {self.noise}" if self.noise != "const" else "", *self.directions]
        return ", ".join(w for w in words if w and w != "mix None")


@dataclass(frozen=True, kw_only=True, slots=True)
class Objective:
    """What is fast enough: a percentile of the latency under a limit."""

    percentile: float = 99.0
    limit_s: float

    def __post_init__(self) -> None:
        _above("limit_s", self.limit_s)
        if not 0 < self.percentile < 100:
            raise InvalidRequest(f"percentile is {self.percentile:g}, expected between 0 and 100")


@dataclass(frozen=True, kw_only=True, slots=True)
class Scenario:
    """A run, all of it drawn from `seed`; `window_s` and `windows` are its measured time."""

    kind: Kind = "closed"
    rate_hz: float | None = None  # server: requests per second
    concurrency: int | None = None  # closed: requests under way at once
    count: int | None = None  # offline: requests in a burst; each window is one burst
    rates_hz: tuple[float, ...] = ()  # ramp: either these
    concurrencies: tuple[int, ...] = ()  # … or these, one step each
    log: str | None = None  # replay: a file of lines as `{"at_s": 0.5, "request": {…}}`
    speed: float = 1.0  # replay: 2 = twice as fast as it was recorded
    warmup_s: float = 2.0  # before the measured time, kept apart
    window_s: float = 10.0
    windows: int = 3  # their spread gives the confidence intervals
    timeout_s: float = 60.0  # of each request
    seed: int = 1
    requests: tuple[Request, ...] = (Request(),)
    objective: Objective | None = None

    def __post_init__(self) -> None:
        _above("window_s", self.window_s)
        _above("timeout_s", self.timeout_s)
        _above("speed", self.speed)
        _whole("windows", self.windows, 1)
        if not 0 <= self.warmup_s < math.inf:
            raise InvalidRequest(f"warmup_s is {self.warmup_s:g}, expected seconds from 0 on")
        if not self.requests:
            raise InvalidRequest("requests is empty, expected at least one")
        self._check_needs()
        for name in ("rate_hz", *(["rates_hz"] if self.rates_hz else [])):
            for rate in _listed(getattr(self, name)):
                _above(name, rate)
        for name in ("concurrency", "count", "concurrencies"):
            for count in _listed(getattr(self, name)):
                _whole(name, count, 1)

    def _check_needs(self) -> None:
        """Raise unless exactly the fields are given that this kind needs."""
        given = {name for name in _ALL if getattr(self, name) not in {None, ()}}
        for needed in _NEEDS[self.kind]:
            if given == needed:
                return
        wanted = " or ".join(" and ".join(sorted(n)) or "none of them" for n in _NEEDS[self.kind])
        raise InvalidRequest(
            f"scenario {self.kind} takes {wanted}, got {', '.join(sorted(given)) or 'none'}"
        )

    @property
    def measured_s(self) -> float:
        """Seconds that are measured in each step."""
        return self.window_s * self.windows


_ALL = ("rate_hz", "concurrency", "count", "rates_hz", "concurrencies", "log")
_NEEDS: dict[Kind, tuple[set[str], ...]] = {
    "single-stream": (set(),),
    "server": ({"rate_hz"},),
    "offline": ({"count"},),
    "closed": ({"concurrency"},),
    "ramp": ({"rates_hz"}, {"concurrencies"}),
    "replay": ({"log"},),
}
