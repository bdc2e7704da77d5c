"""What is known of the server's models: a few seconds old at most, and asked once for all."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any, Generic, TypeVar

from nonesuch import protocol
from nonesuch.aio import AsyncClient
from nonesuch.card import Card
from nonesuch.errors import NonesuchError

T = TypeVar("T")

_FRESH_S = 2.0  # so old may be what is told


class Recent(Generic[T]):
    """A value that is asked for when it is wanted and the last one is too old.

    Who leaves meanwhile does not end the question: others wait for its answer, and clients that
    come and go faster than it comes would have it never answered.
    """

    def __init__(self, ask: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._ask = ask
        self._asking: asyncio.Task[T] | None = None
        self.told: T | None = None  # however old that may be
        self._told_s = -_FRESH_S

    async def get(self) -> T:
        """Return the value; raises what asking for it raises."""
        if self.told is not None and time.monotonic() - self._told_s < _FRESH_S:
            return self.told
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask())
            self._asking.add_done_callback(self._answered)
        return await asyncio.shield(self._asking)

    def forget(self) -> None:
        """Let the value be asked for anew."""
        self._told_s = -_FRESH_S

    def _answered(self, task: asyncio.Task[T]) -> None:
        self._asking = None
        if not task.cancelled() and task.exception() is None:
            self.told, self._told_s = task.result(), time.monotonic()


class Cards:
    """The names and cards of the server's models."""

    def __init__(self, client: AsyncClient, first: str | None) -> None:
        """Take who asks, and the name that comes first, None = the first by name."""
        self._client = client
        self._first = first
        self._names = Recent(self._listed)
        self._cards: dict[str, Recent[Card]] = {}

    async def names(self) -> list[str]:
        """Name the models, the one that the page shows first, the others sorted."""
        return await self._names.get()

    @property
    def known(self) -> list[str]:
        """The names as they were last, without asking."""
        return self._names.told or []

    async def meet(self) -> None:
        """Connect, and get to know what the page shows first, if the server is there yet."""
        with suppress(NonesuchError):
            for name in (await self.names())[:1]:
                await self.card(name)

    async def card(self, model: str) -> Card:
        """Return a model's card; raises ModelNotFound."""
        names = await self.names()
        if model not in names:
            raise protocol.unknown(self._client.url, model, names)
        if model not in self._cards:
            self._cards[model] = Recent(partial(self._client.info, model, fresh=True))
        return await self._cards[model].get()

    def forget(self, model: str) -> None:
        """Let the server be asked anew what it has, and for this model's card."""
        self._names.forget()
        self._cards[model].forget()

    async def _listed(self) -> list[str]:
        names = await self._client.models()
        if self._first is not None and self._first not in names:
            raise protocol.unknown(self._client.url, self._first, names)
        return sorted(names, key=lambda name: (name != self._first, name))
