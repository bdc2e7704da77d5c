"""The closed scenario: a fixed number of callers, each sending its next request after an answer.

What is sent: `batch` seeds a request, all different. When: as soon as the caller's last request
has ended. The result: images per second over the window.
"""

import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from nonesuch.errors import NonesuchError
from nonesuch_loadtest.target import Target


@dataclass(frozen=True, slots=True)
class Sample:
    """One request: when it began and ended on a monotonic clock, and how."""

    start_ns: int
    end_ns: int
    images: int
    error: str = ""  # the class of a failure


@dataclass(frozen=True, slots=True)
class Window:
    """The requests of one window of time, those that failed among them."""

    samples: tuple[Sample, ...]
    start_ns: int
    end_ns: int

    @property
    def rate_hz(self) -> float:
        """Images per second; a request counts by the share of it that lies in the window."""
        images = sum(s.images * self._share(s) for s in self.samples if not s.error)
        return images / ((self.end_ns - self.start_ns) / 1e9)

    @property
    def failures(self) -> int:
        return sum(bool(sample.error) for sample in self.samples)

    def _share(self, sample: Sample) -> float:
        inside = min(sample.end_ns, self.end_ns) - max(sample.start_ns, self.start_ns)
        return max(0, inside) / max(1, sample.end_ns - sample.start_ns)


def drive(target: Target, *, callers: int, batch: int, warmup_s: float, window_s: float) -> Window:
    """Run `callers` threads for warm-up and window; the warm-up's requests do not count.

    All requests that were begun are waited for, so the target is idle afterwards.
    """
    start_ns = time.monotonic_ns() + int(warmup_s * 1e9)
    end_ns = start_ns + int(window_s * 1e9)
    seeds = itertools.count()
    lock = threading.Lock()

    def call(_: int) -> list[Sample]:
        samples = []
        while time.monotonic_ns() < end_ns:
            with lock:
                mine = [next(seeds) for _ in range(batch)]
            samples.append(_timed(target, mine))
        return samples

    with ThreadPoolExecutor(callers) as pool:
        done = [sample for samples in pool.map(call, range(callers)) for sample in samples]
    return Window(tuple(s for s in done if s.end_ns > start_ns), start_ns, end_ns)


def _timed(target: Target, seeds: list[int]) -> Sample:
    begun = time.monotonic_ns()
    try:
        target.generate(seeds)
    except NonesuchError as exc:
        return Sample(begun, time.monotonic_ns(), len(seeds), type(exc).__name__)
    return Sample(begun, time.monotonic_ns(), len(seeds))
