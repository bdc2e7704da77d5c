"""Batches on their way: handed out to whoever has time, taken back in the plan's order.

Whoever is fast takes more. What a slow or dead server holds is handed to another as soon as the
rest waits for it, and the first answer counts; so the order of what comes out depends on nobody.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from nonesuch.bulk.plan import Batch
from nonesuch.errors import NonesuchError
from nonesuch.images import Picture

Outcome = Picture | NonesuchError  # of one seed

_HELD = 2**26  # bytes of pictures that wait for those before them …
_AHEAD = 4096  # … and batches under way or waiting, at most
_LATE_S = 0.25  # a batch that others wait for is asked elsewhere after this, or after …
_LATE = 3.0  # … so many times as long as the asking server takes, whichever is longer
_LOOK_S = 0.05  # how often one with nothing to do looks for late batches


@dataclass(slots=True, eq=False)
class Errand:
    """A batch and who has been asked for it."""

    number: int  # in the order in which batches are taken back
    batch: Batch
    failures: int = 0  # answers that blame the batch, not the server
    asked: dict[str, float] = field(default_factory=dict)  # by server: since when, monotonic


class Feed:
    """The batches of a run, shared by threads that ask and one that takes what they brought."""

    def __init__(self, fresh: Callable[[int], Batch | None]) -> None:
        """Take what gives the next batch of at most so many pictures; None at the end."""
        self._fresh = fresh
        self._change = threading.Condition()
        self._again: list[Errand] = []
        self._out: dict[int, Errand] = {}  # being asked for
        self._back: dict[int, tuple[Batch, Sequence[Outcome]]] = {}
        self._held_bytes = 0
        self._next = 0  # the number that is taken back next
        self._issued = 0  # fresh batches; the next one's number
        self._at_end = False
        self._end = threading.Event()
        self._error: BaseException | None = None

    def take(self, server: str, usual_s: float, most: int) -> Errand | None:
        """Block until there is something to ask `server` for; None when all is done.

        usual_s is how long its answers take of late, most how many pictures a fresh batch has.
        """
        with self._change:
            while not self.stopped:
                if (errand := self._chosen(server, usual_s, most)) is not None:
                    errand.asked[server] = time.monotonic()
                    self._out[errand.number] = errand
                    return errand
                if self._at_end and not self._out:
                    return None
                self._change.wait(_LOOK_S)
            return None

    def give(self, errand: Errand, outcomes: Sequence[Outcome]) -> None:
        """Bring what came of a batch; only the first answer counts."""
        with self._change:
            if self._out.pop(errand.number, None) is None:
                return
            self._back[errand.number] = errand.batch, outcomes
            self._held_bytes += _size(outcomes)
            self._change.notify_all()

    def put_back(self, errand: Errand, server: str) -> None:
        """Have a batch asked again, by any server, unless another is at it or has answered."""
        with self._change:
            errand.asked.pop(server, None)
            if errand.number in self._out and not errand.asked:
                del self._out[errand.number]
                self._again.append(errand)
            self._change.notify_all()

    def stop(self, error: BaseException | None = None) -> None:
        """Hand out no more; who takes gets the error, or the end."""
        with self._change:
            self._end.set()
            self._error = self._error or error
            self._change.notify_all()

    @property
    def stopped(self) -> bool:
        return self._end.is_set()

    def pause(self, seconds: float) -> None:
        """Wait, though not beyond the end."""
        self._end.wait(seconds)

    def __iter__(self) -> Iterator[tuple[Batch, Sequence[Outcome]]]:
        """Batches and what came of them, in order; raises the error of `stop`."""
        while (taken := self._taken()) is not None:
            yield taken

    def _taken(self) -> tuple[Batch, Sequence[Outcome]] | None:
        with self._change:
            self._change.wait_for(lambda: self._next in self._back or self.stopped or self._over())
            if self._error is not None:
                raise self._error
            if self._next not in self._back:
                return None
            batch, outcomes = self._back.pop(self._next)
            self._held_bytes -= _size(outcomes)
            self._next += 1
            self._change.notify_all()
            return batch, outcomes

    def _over(self) -> bool:
        return self._at_end and not (self._out or self._again or self._back)

    def _chosen(self, server: str, usual_s: float, most: int) -> Errand | None:
        if self._again:
            first = min(self._again, key=lambda errand: errand.number)
            self._again.remove(first)
            return first
        if not self._at_end and self._has_room():
            if (batch := self._fresh(most)) is not None:
                self._issued += 1
                return Errand(self._issued - 1, batch)
            self._at_end = True
            self._change.notify_all()
        return self._late(server, usual_s)

    def _has_room(self) -> bool:
        return self._held_bytes < _HELD and self._issued - self._next < _AHEAD

    def _late(self, server: str, usual_s: float) -> Errand | None:
        """The first batch that is out, if it is somewhere else for too long."""
        if not self._out:
            return None
        first = self._out[min(self._out)]
        if server in first.asked or not first.asked:
            return None
        waited_s = time.monotonic() - max(first.asked.values())
        return first if waited_s > max(_LATE_S, _LATE * usual_s) else None


def _size(outcomes: Sequence[Outcome]) -> int:
    return sum(len(o.encoded or b"") for o in outcomes if isinstance(o, Picture))
