"""Is a run slower than another? Ratios of the same figures, with the interval of each."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from nonesuch.errors import InvalidRequest
from nonesuch_loadtest import estimate, record
from nonesuch_loadtest.estimate import Estimate
from nonesuch_loadtest.reading import Reading, readings
from nonesuch_loadtest.result import Result

Verdict = Literal["worse", "unclear", "same", "better"]

# What may differ between two runs that are compared: how long they looked, and from which seed.
_FREE = {"seed", "warmup_s", "window_s", "windows", "timeout_s", "objective", "requests"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """One figure of both runs.

    `ratio` is B's over A's; of failures, whose share may be 0, it is B's share less A's.
    """

    setting: str  # of the point; "" where the runs have one only
    figure: str
    a: Estimate
    b: Estimate
    ratio: Estimate
    verdict: Verdict


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """All figures that both runs know."""

    regression: float  # a share: a figure that is worse by more than this counts
    changes: tuple[Change, ...]

    @property
    def worse(self) -> tuple[Change, ...]:
        return tuple(change for change in self.changes if change.verdict == "worse")

    def to_dict(self) -> dict[str, Any]:
        """For JSON: what is not finite is null."""
        plain = record.dump(self)
        return {**record.finite(plain), "worse": len(self.worse)}


def judge(a: Result, b: Result, regression: float) -> Judgement:
    """Compare B with A, point by point.

    A figure is worse if it is so by more than `regression` and its interval leaves no doubt that
    it is worse at all; without such an interval it is unclear. Raises InvalidRequest for runs
    that sent something else, or in which nothing was measured.
    """
    _check(a, b)
    changes: list[Change] = []
    for old, new in _pairs(readings([a]), readings([b])):
        setting = old.name if len(a.points) > 1 else ""
        changes += _changes(setting, old, new, regression)
    return Judgement(regression=regression, changes=tuple(changes))


def _check(a: Result, b: Result) -> None:
    names = [field.name for field in fields(a.scenario) if field.name not in _FREE]
    for name in names:
        old, new = getattr(a.scenario, name), getattr(b.scenario, name)
        if old != new:
            raise InvalidRequest(
                f"{name} is {old} in {a.name} and {new} in {b.name}: no comparison"
            )
    # The same pictures may come from a model of another name.
    mixes = [[replace(r, model="") for r in x.scenario.requests] for x in (a, b)]
    if mixes[0] != mixes[1]:
        raise InvalidRequest(f"{a.name} and {b.name} sent other requests: no comparison")


def _pairs(a: Sequence[Reading], b: Sequence[Reading]) -> Iterator[tuple[Reading, Reading]]:
    """Points of the same setting; steps that one run did not reach are left out."""
    count = 0
    for old in a:
        for new in b:
            if old.point.setting == new.point.setting and old.requests and new.requests:
                count += 1
                yield old, new
    if not count:
        raise InvalidRequest("the two runs measured nothing at the same setting: no comparison")


def _changes(setting: str, a: Reading, b: Reading, regression: float) -> Iterator[Change]:
    yield _change(setting, "images/s", (a.rate, b.rate), regression, more_is_better=True)
    if a.goodput and b.goodput and a.result.scenario.objective == b.result.scenario.objective:
        pair = (a.goodput, b.goodput)
        yield _change(setting, "good images/s", pair, regression, more_is_better=True)
    for percent in a.known:
        old, new = a.percentile(percent), b.percentile(percent)
        if old and new:
            yield _change(setting, f"p{percent:g}", (old, new), regression, more_is_better=False)
    more = estimate.difference(a.failed, b.failed)
    yield Change(
        setting=setting,
        figure="failed",
        a=a.failed,
        b=b.failed,
        ratio=more,
        verdict="worse" if more.low > 0 else "better" if more.high < 0 else "same",
    )


def _change(
    setting: str,
    figure: str,
    pair: tuple[Estimate, Estimate],
    regression: float,
    *,
    more_is_better: bool,
) -> Change:
    ratio = estimate.ratio(*pair)
    verdict = _verdict(ratio, regression, more_is_better=more_is_better)
    a, b = pair
    return Change(setting=setting, figure=figure, a=a, b=b, ratio=ratio, verdict=verdict)


def _verdict(ratio: Estimate, regression: float, *, more_is_better: bool) -> Verdict:
    if ratio.value in {0.0, math.inf}:  # one of them never answered, or not once
        return "better" if (ratio.value > 1) == more_is_better else "worse"
    sure_less, sure_more = ratio.high < 1, ratio.low > 1
    worse, better = (sure_less, sure_more) if more_is_better else (sure_more, sure_less)
    loss = 1 - ratio.value if more_is_better else ratio.value - 1
    if loss > regression:
        return "worse" if worse else "unclear"
    if math.isnan(ratio.value):
        return "unclear"
    return "better" if better else "same"


def differences(a: Result, b: Result) -> list[tuple[str, str, str]]:
    """What sets the runs apart besides their figures: name, A's and B's."""
    old, new = _origin(a), _origin(b)
    names = dict.fromkeys([*old, *new])
    pairs = [(name, old.get(name, "none"), new.get(name, "none")) for name in names]
    return [pair for pair in pairs if pair[1] != pair[2]]


def _origin(result: Result) -> dict[str, str]:
    target, hardware = result.target, result.hardware
    found = {"target": target.kind, "transport": target.transport, "server": target.server}
    for i, model in enumerate(target.models):
        found |= {f"model {i + 1}": model.name, f"model {i + 1} hash": model.model_hash}
        found |= {f"model {i + 1} engine": f"{model.engine} {model.precision}"}
    found |= {"processor": f"{hardware.cpu}, {hardware.cores} cores"}
    found |= {"GPU": ", ".join(hardware.gpus)}
    return {**found, **result.versions}
