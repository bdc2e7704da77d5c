"""How much of the bare engine's speed does the server keep? Both in turn, on one machine."""

import statistics
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from nonesuch_loadtest.closed import drive
from nonesuch_loadtest.target import Bare, Served

BATCHES = (1, 2, 4, 8)  # the bare engine runs with the fastest of these


@dataclass(frozen=True, kw_only=True, slots=True)
class Round:
    """One window of each, one after the other; images per second."""

    bare_hz: float
    served_hz: float
    failures: int

    @property
    def ratio(self) -> float:
        return self.served_hz / self.bare_hz


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """All rounds; the medians are the result."""

    batch: int  # of the bare engine
    rounds: tuple[Round, ...]

    @property
    def bare_hz(self) -> float:
        return statistics.median(r.bare_hz for r in self.rounds)

    @property
    def served_hz(self) -> float:
        return statistics.median(r.served_hz for r in self.rounds)

    @property
    def ratio(self) -> float:
        return statistics.median(r.ratio for r in self.rounds)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {
            "bare_hz": self.bare_hz,
            "served_hz": self.served_hz,
            "ratio": self.ratio,
        }


def compare(
    bare: Bare, served: Served, *, callers: int, window_s: float, rounds: int
) -> Iterator[Comparison]:
    """Alternate windows of the two; yields what is known after each round."""
    batch = fastest_batch(bare, window_s / 3)
    done: list[Round] = []
    for _ in range(rounds):
        alone = drive(bare, callers=1, batch=batch, warmup_s=1.0, window_s=window_s)
        loaded = drive(served, callers=callers, batch=1, warmup_s=window_s / 3, window_s=window_s)
        failures = loaded.failures
        done.append(Round(bare_hz=alone.rate_hz, served_hz=loaded.rate_hz, failures=failures))
        yield Comparison(batch=batch, rounds=tuple(done))


def fastest_batch(bare: Bare, window_s: float) -> int:
    """The batch size with which the bare engine makes most images per second here."""
    rates = {
        batch: drive(bare, callers=1, batch=batch, warmup_s=0.5, window_s=window_s).rate_hz
        for batch in BATCHES
    }
    return max(rates, key=rates.__getitem__)
