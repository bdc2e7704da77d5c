"""The way to Triton: a few requests under way, some waiting, and no more.

A request whose client leaves while it waits is never sent. One that Triton has is left to its
end, and keeps its place until then: Triton finishes most of what is cancelled inside an ensemble,
so that a place given back early would let work pile up there, unseen.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from nonesuch.errors import ServerBusy
from nonesuch.web.metrics import Metrics

T = TypeVar("T")


class Gate:
    """Lets `in_flight` requests through at once, and as many as `waiting` queue for it."""

    def __init__(self, in_flight: int, waiting: int, metrics: Metrics) -> None:
        self._places = asyncio.Semaphore(in_flight)
        self._most_waiting = waiting
        self._waiting = 0
        self._metrics = metrics
        self._left_alone: set[asyncio.Task[Any]] = set()

    async def through(self, work: Coroutine[Any, Any, T]) -> T:
        """Await the work when its turn comes; raises ServerBusy where too many wait already."""
        try:
            await self._enter()
        except BaseException:
            work.close()
            raise
        task = asyncio.create_task(work)
        self._left_alone.add(task)  # the loop itself keeps no hold of a task
        task.add_done_callback(self._leave)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            self._metrics.unseen.inc()
            raise

    async def empty(self) -> None:
        """Cancel what is under way, and wait for its end."""
        for task in self._left_alone:
            task.cancel()
        await asyncio.gather(*self._left_alone, return_exceptions=True)

    async def _enter(self) -> None:
        if self._places.locked() and self._waiting >= self._most_waiting:
            raise ServerBusy(f"{self._waiting} requests are waiting already, try again later")
        self._waiting += 1
        self._metrics.waiting.set(self._waiting)
        try:
            await self._places.acquire()
        finally:
            self._waiting -= 1
            self._metrics.waiting.set(self._waiting)
        self._metrics.under_way.inc()

    def _leave(self, task: asyncio.Task[Any]) -> None:
        self._left_alone.discard(task)
        self._places.release()
        self._metrics.under_way.dec()
        if not task.cancelled():
            task.exception()  # told to who still waits; to nobody, where the client has left
