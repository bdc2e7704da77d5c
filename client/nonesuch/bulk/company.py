"""Whether others ask a server as well: by its own count of pictures, less those that are ours."""

import threading
import time

STAYS_S = 10.0  # how long others count as there after the last sign of them
LOOK_S = 0.2  # between two looks at a server's count


class Company:
    """The bookkeeping of one server.

    Since the first look the server cannot have counted more of ours than those asked for since, and
    those that were under way then: what is beyond is others'. So a sign of them is certain, and
    comes late by as many pictures as are under way.
    """

    def __init__(self) -> None:
        self._asked = self._answered = 0
        self._first: tuple[int, int] | None = None  # the server's count, and the answers we had
        self._served = self._others = 0
        self._sign_s: float | None = None
        self._lock = threading.Lock()

    def ask(self, pictures: int) -> None:
        """Take notice of pictures that are asked for; negative: that did not come."""
        with self._lock:
            self._asked += pictures

    def answer(self, pictures: int) -> None:
        """Take notice of pictures that came."""
        with self._lock:
            self._answered += pictures

    def look(self, served: int) -> bool:
        """Take notice of the server's count; returns whether others are there."""
        with self._lock:
            if self._first is None or served < self._served:  # it was started anew
                self._first, self._others = (served, self._answered), 0
            self._served = served
            counted, answered = self._first
            if (others := (served - counted) - (self._asked - answered)) > self._others:
                self._others, self._sign_s = others, time.monotonic()
            return self._sign_s is not None and time.monotonic() - self._sign_s < STAYS_S
