"""A plan worked off beside an event loop: `run.Bulk`, each of its steps in a thread of its own."""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Self, TypeVar

from nonesuch.bulk.manifest import Row
from nonesuch.bulk.report import Report
from nonesuch.bulk.run import Bulk

T = TypeVar("T")


class AsyncBulk(AsyncIterator[Row]):
    """The making of a set: yields a row for each seed that is not yet on disk, in order.

    The folder is taken, and the server first asked, when the first row is awaited; that raises what
    making a `run.Bulk` raises. `aclose`, or leaving its `async with`, ends early: what is whole
    stays, and the same call goes on from there.
    """

    def __init__(self, begin: Callable[[], Bulk], length: int) -> None:
        """Take what begins, and how many seeds the whole set has."""
        self._begin, self._length = begin, length
        self._making: Bulk | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="nonesuch-bulk")

    def __len__(self) -> int:
        return self._length

    async def __anext__(self) -> Row:
        if (row := await self._run(self._step)) is None:
            raise StopAsyncIteration
        return row

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End now; the shard in work is left out."""
        if self._making is not None:
            self._making.stop()
            await self._run(self._making.close)
        self._thread.shutdown(wait=False)

    @property
    def missing(self) -> int:
        """Seeds without a picture, of those that were asked for."""
        return self._making.missing if self._making else 0

    @property
    def report(self) -> Report | None:
        """Of the whole set, when it was made now."""
        return self._making.report if self._making else None

    def _step(self) -> Row | None:
        if self._making is None:
            self._making = self._begin()
        return next(self._making, None)

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
