"""Whether others ask a server as well: by its own count of answers, less those that are ours."""

import threading
import time

STAYS_S = 10.0  # how long others count as there after the last sign of them
LOOK_S = 0.2  # between two looks at a server's count


class Company:
    """The bookkeeping of one server.

    Since the first look the server cannot have counted more of ours than those sent since, and
    those that were under way then: what is beyond is others'. So a sign of them is certain, and
    comes late by as many requests as are under way.
    """

    def __init__(self) -> None:
        self._sent = self._answered = 0
        self._first: tuple[int, int] | None = None  # the server's count, and the answers we had
        self._served = self._others = 0
        self._sign_s: float | None = None
        self._lock = threading.Lock()

    def ask(self) -> None:
        """Take notice of a request that is sent."""
        with self._lock:
            self._sent += 1

    def failed(self) -> None:
        """Take notice of one that the server does not count."""
        with self._lock:
            self._sent -= 1

    def answer(self) -> None:
        """Take notice of an answer."""
        with self._lock:
            self._answered += 1

    def look(self, served: int) -> bool:
        """Take notice of the server's count; returns whether others are there."""
        with self._lock:
            if self._first is None or served < self._served:  # it was started anew
                self._first, self._others = (served, self._answered), 0
            self._served = served
            counted, answered = self._first
            if (others := (served - counted) - (self._sent - answered)) > self._others:
                self._others, self._sign_s = others, time.monotonic()
            return self._sign_s is not None and time.monotonic() - self._sign_s < STAYS_S
