"""What a server holds of ours at once: few requests, and small, while others ask it too.

What others ask waits behind what lies in the server's queue already, and Triton's own priorities
cannot be relied on. So the window follows the measured latency, as TCP Vegas does (Brakmo and
Peterson, 1995): by Little's law a share of 1 - least/now of the requests under way is waiting, and
the window grows and shrinks such that few do. With others there, hardly one waits, and each is for
a single picture, so that what they ask comes next. Alone, some wait, and each is for many, as a
request costs a server and its client much the same whatever it asks for.
"""

import threading
from typing import Self

MOST = 16  # requests under way at one server
MANY = 16  # pictures in a request, with nobody else there, but …
_LONG_S = 0.25  # … not more than take so long
_POLITE = (0.25, 0.75)  # waiting requests: below the first it grows, above the other it shrinks
_ALONE = (1.0, 1.5)  # the same with nobody else there
_SHARED = 1.0  # requests under way when others come
_RECENT = 0.2  # weight of the newest answer in a mean


class Pace:
    """The window of one server; entered for the time of each request.

    Until told otherwise, others are there.
    """

    def __init__(self, *, batch: int | None = None, largest: int = MANY, most: int = MOST) -> None:
        """Take how many pictures each request has, where that is fixed, and the largest number."""
        self._batch, self._largest, self._most = batch, largest, most
        self._window = 1.0
        self._others = True
        self._under_way = 0
        self._least_s: dict[int, float] = {}  # by the number of pictures
        self._mean_s, self._stretch = 0.0, 1.0  # latency of late; as a multiple of the least
        self._change = threading.Condition()

    def __enter__(self) -> Self:
        with self._change:
            self._change.wait_for(lambda: self._under_way < int(self._window))
            self._under_way += 1
        return self

    def __exit__(self, *_: object) -> None:
        with self._change:
            self._under_way -= 1
            self._change.notify()

    @property
    def window(self) -> int:
        """How many requests may be under way now."""
        return int(self._window)

    @property
    def mean_s(self) -> float:
        """The mean latency of late, 0 before the first answer."""
        return self._mean_s

    @property
    def pictures(self) -> int:
        """How many pictures to ask for at once."""
        if self._batch is not None:
            return self._batch
        if self._others or not self._least_s:
            return 1
        each_s = min(least_s / count for count, least_s in self._least_s.items())
        count = max(1, min(MANY, self._largest, int(_LONG_S / each_s)))
        return 1 << count.bit_length() - 1  # a power of two: cores share it evenly

    def answered(self, latency_s: float, pictures: int) -> None:
        """Take notice of the latency of a request for so many pictures."""
        with self._change:
            least_s = min(self._least_s.get(pictures, latency_s), latency_s)
            self._least_s[pictures] = least_s
            self._mean_s += _RECENT * (latency_s - self._mean_s) if self._mean_s else latency_s
            self._stretch += _RECENT * (latency_s / least_s - self._stretch)
            waiting = self._window * (1 - 1 / self._stretch)
            # One step for each answer is a whole request for each window of them.
            few, many = _POLITE if self._others else _ALONE
            if waiting < few:
                self._window = min(self._window + 1 / self._window, self._most)
            elif waiting > many:
                self._window = max(self._window - 1 / self._window, 1.0)
            self._change.notify()  # one more at most: waking all would cost more than a picture

    def share(self, others: bool) -> None:
        """Hold back at once if others are there, go ahead if not."""
        with self._change:
            if others and not self._others:
                self._window = min(self._window, _SHARED)
            self._others = others

    def reset(self) -> None:
        """Forget what was measured: the server that comes back may be another."""
        with self._change:
            self._window, self._mean_s, self._stretch = 1.0, 0.0, 1.0
            self._least_s.clear()
