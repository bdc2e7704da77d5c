"""How much one client may ask for: a bucket of pictures each, that fills evenly."""

import math
import time
from dataclasses import dataclass, field

from starlette.exceptions import HTTPException

_CLIENTS = 10_000  # remembered at most
_BURST_S = 4.0  # so long a rest is saved up


@dataclass(kw_only=True, slots=True)
class Limits:
    """Pictures a second that each client may have drawn, and what each has left."""

    rate_hz: float
    _left: dict[str, tuple[float, float]] = field(default_factory=dict)  # pictures, at which time

    def take(self, client: str, pictures: int) -> None:
        """Take so many out of a client's bucket; raises HTTPException 429 while it is empty.

        A large request empties it below zero, and is paid off before the next.
        """
        now_s = time.monotonic()
        full = self.rate_hz * _BURST_S
        left, at_s = self._left.pop(client, (full, now_s))
        left = min(full, left + (now_s - at_s) * self.rate_hz)
        taken = 0 if left < 1 else pictures
        # Put in last: the first of the dictionary is who has been silent for longest.
        self._left[client] = (left - taken, now_s)
        if len(self._left) > _CLIENTS:
            del self._left[next(iter(self._left))]
        if not taken:
            wait_s = math.ceil((1 - left) / self.rate_hz)
            raise HTTPException(
                429,
                f"more than {self.rate_hz:g} pictures a second, try again in {wait_s} s",
                {"Retry-After": str(wait_s)},
            )
