"""How many requests a server holds for us at once: few while others ask it too.

What others ask waits behind what lies in the server's queue already, and Triton's own priorities
cannot be relied on. So the window follows the measured latency, as TCP Vegas does (Brakmo and
Peterson, 1995): by Little's law a share of 1 - least/now of the requests under way is waiting, and
the window grows and shrinks such that few do. With others there, hardly one waits, so that what
they ask comes next; alone, as many as the server may join into a batch.
"""

import threading
from types import TracebackType
from typing import Self

MOST = 16  # requests under way at one server
_POLITE = (
    0.25,
    0.75,
)  # waiting requests below which the window grows, and above which it shrinks …
_ALONE = (4.0, 6.0)  # … with nobody else there
_SHARED = 1.0  # requests under way when others come
_RECENT = 0.2  # weight of the newest latency in the mean


class Pace:
    """The window of one server; entered for the time of each request."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._window = 1.0
        self._range = _POLITE
        self._under_way = 0
        self._least_s = self._mean_s = 0.0
        self._change = threading.Condition()

    def __enter__(self) -> Self:
        with self._change:
            self._change.wait_for(lambda: self._under_way < int(self._window))
            self._under_way += 1
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._change:
            self._under_way -= 1
            self._change.notify_all()

    @property
    def window(self) -> int:
        """How many requests may be under way now."""
        return int(self._window)

    @property
    def mean_s(self) -> float:
        """The mean latency of late, 0 before the first answer."""
        return self._mean_s

    def answered(self, latency_s: float) -> None:
        """Take notice of an answer's latency."""
        with self._change:
            self._least_s = min(self._least_s or latency_s, latency_s)
            mean_s = self._mean_s or latency_s
            self._mean_s = mean_s + _RECENT * (latency_s - mean_s)
            waiting = self._window * (1 - self._least_s / self._mean_s)
            # One step for each answer is a whole request for each window of them.
            few, many = self._range
            if waiting < few:
                self._window = min(self._window + 1 / self._window, self._most)
            elif waiting > many:
                self._window = max(self._window - 1 / self._window, 1.0)
            self._change.notify_all()

    def share(self, others: bool) -> None:
        """Hold back at once if others are there, go ahead if not."""
        with self._change:
            if others and self._range is not _POLITE:
                self._window = min(self._window, _SHARED)
            self._range = _POLITE if others else _ALONE

    def reset(self) -> None:
        """Forget what was measured: the server that comes back may be another."""
        with self._change:
            self._window, self._least_s, self._mean_s = 1.0, 0.0, 0.0
