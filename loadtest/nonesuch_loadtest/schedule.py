"""Which request is due when: drawn from the scenario's seed before anything is sent."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nonesuch.contract import SEEDS
from nonesuch.errors import InvalidRequest
from nonesuch_loadtest import record
from nonesuch_loadtest.scenario import Request, Scenario

_BLOCK = 4096  # draws at once


@dataclass(frozen=True, slots=True)
class Job:
    """One request to be sent."""

    due_ns: int | None  # after the start; None = as soon as another has ended
    kind: int  # which of the scenario's requests
    seed: int  # of its first picture; the others follow


@dataclass(frozen=True, slots=True, eq=False)
class Arrivals:
    """All requests of an open scenario, [N] each, in the order of time."""

    due_ns: NDArray[np.int64]
    kind: NDArray[np.int64]
    seed: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.due_ns)

    def part(self, worker: int, workers: int) -> Iterator[Job]:
        """Every request whose number leaves `worker` when divided by `workers`."""
        for i in range(worker, len(self), workers):
            yield Job(int(self.due_ns[i]), int(self.kind[i]), int(self.seed[i]))


def poisson(rate_hz: float, duration_s: float, seed: int) -> NDArray[np.int64]:
    """Times in ns of a Poisson process from 0 to `duration_s`, sorted.

    >>> times = poisson(100.0, 60.0, seed=1)
    >>> len(times), bool((times[1:] >= times[:-1]).all()), int(times[-1]) < 60e9
    (6002, True, True)
    """
    random = np.random.default_rng([seed, 0])
    # Given their number, the times of a Poisson process are independent and uniform.
    count = random.poisson(rate_hz * duration_s)
    return np.sort((random.random(count) * duration_s * 1e9).astype(np.int64))


def arrivals(scenario: Scenario) -> Arrivals:
    """The whole schedule of `server`, `offline` or `replay`, the warm-up at its beginning."""
    if scenario.kind == "replay":
        return _replayed(scenario)
    if scenario.kind == "offline":
        due = np.zeros(scenario.count or 0, np.int64)
    else:
        assert scenario.rate_hz is not None
        due = poisson(scenario.rate_hz, scenario.warmup_s + scenario.measured_s, scenario.seed)
    return Arrivals(due, *_draws(scenario, len(due), stream=1))


def endless(scenario: Scenario, worker: int) -> Iterator[Job]:
    """The requests of a closed scenario in one driver process, in the order of their sending."""
    for block in range(2**31):
        kinds, seeds = _draws(scenario, _BLOCK, stream=2 + (block << 8) + worker)
        for kind, seed in zip(kinds.tolist(), seeds.tolist(), strict=True):
            yield Job(None, kind, seed)


def _draws(
    scenario: Scenario, count: int, stream: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    random = np.random.default_rng([scenario.seed, stream])
    shares = np.array([request.share for request in scenario.requests])
    kinds = random.choice(len(shares), size=count, p=shares / shares.sum())
    return kinds, random.integers(0, SEEDS, size=count)


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A line of a log: at which second, which request, and the seed of its first picture."""

    at_s: float
    seed: int = 0
    request: Request = Request()  # noqa: RUF009 (frozen)

    def __post_init__(self) -> None:
        if not (self.at_s >= 0 and 0 <= self.seed < SEEDS):
            raise InvalidRequest("expected at_s from 0 on, and a seed of 0 to 4294967295")


def recorded(path: Path) -> list[Entry]:
    """Read a log of requests, sorted by time.

    A line is JSON as `{"at_s": 0.25, "seed": 7, "request": {"model": "portraits"}}`. Raises
    InvalidRequest for a file that is no such log, with the line's number.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        raise InvalidRequest(f"cannot read the log {path}: {exc}") from exc
    found = [_entry(line, f"{path}, line {i}") for i, line in enumerate(lines, 1) if line.strip()]
    if not found:
        raise InvalidRequest(f"the log {path} is empty")
    return sorted(found, key=lambda entry: entry.at_s)


def _entry(text: str, where: str) -> Entry:
    try:
        return record.load(Entry, json.loads(text))
    except ValueError as exc:  # InvalidRequest is one too
        raise InvalidRequest(f"{where}: {exc}") from exc


def logged(path: Path, model: str) -> tuple[Request, ...]:
    """The sorts of request in a log, by their first lines; `model` is that of those without."""
    found: dict[str, Request] = {}
    for entry in recorded(path):
        request = entry.request if entry.request.model else replace(entry.request, model=model)
        found.setdefault(_key(entry.request), request)
    return tuple(found.values())


def _replayed(scenario: Scenario) -> Arrivals:
    """A log's requests, numbered as `logged` did."""
    entries = recorded(Path(scenario.log or ""))
    number: dict[str, int] = {}
    kinds = [number.setdefault(_key(entry.request), len(number)) for entry in entries]
    due = [(entry.at_s - entries[0].at_s) / scenario.speed * 1e9 for entry in entries]
    seeds = [entry.seed for entry in entries]
    return Arrivals(np.array(due, np.int64), np.array(kinds, np.int64), np.array(seeds, np.int64))


def _key(request: Request) -> str:
    return json.dumps(record.dump(request), sort_keys=True)
