"""What the server's metrics page tells of an engine: how long requests waited for it, and ran.

Triton's own statistics of a model end when `execute` returns; here that is when the requests have
joined the line, before they are run.
"""

import threading
import time
from contextlib import suppress
from typing import Any

import triton_python_backend_utils as pb_utils

_COUNTERS = {
    "nonesuch_engine_requests_total": "Requests that the engine has answered",
    "nonesuch_engine_wait_seconds_total": "Time that answered requests waited for their turn",
    "nonesuch_engine_run_seconds_total": "Time from a request's turn to its answer",
}
# At least between two tellings: with one after each request, a portrait took 1 ms more than 17.
_TELL_S = 0.25


class Meter:
    """Counts the requests of one model in counters that its instances share."""

    def __init__(self, model: str, version: str) -> None:
        """Announce the counters; the page has them from now on."""
        labels = {"model": model, "version": version}
        counter = pb_utils.MetricFamily.COUNTER
        # A metric is on the page as long as its family is referred to.
        self._families = [
            pb_utils.MetricFamily(name=name, description=words, kind=counter)
            for name, words in _COUNTERS.items()
        ]
        self._metrics: list[Any] = [family.Metric(labels=labels) for family in self._families]
        self._sums = [0.0] * len(self._metrics)
        self._told_s = 0.0
        self._lock = threading.Lock()

    def count(self, wait_s: float, run_s: float) -> None:
        """Add a request that was answered."""
        with self._lock:
            self._sums = [a + b for a, b in zip(self._sums, (1, wait_s, run_s), strict=True)]

    @property
    def wait_s(self) -> float | None:
        """When to tell at the latest, from now; None if all is told."""
        return _TELL_S if self._sums[0] else None

    def tell(self) -> None:
        """Tell the server what was counted, if it has not been told for a while."""
        with self._lock:
            now_s = time.monotonic()
            if now_s - self._told_s < _TELL_S:
                return
            self._told_s = now_s
            sums, self._sums = self._sums, [0.0] * len(self._sums)
        # Whatever happens to the figures, the thread that tells them has requests to answer.
        with suppress(Exception):
            for metric, value in zip(self._metrics, sums, strict=True):
                metric.increment(value)
