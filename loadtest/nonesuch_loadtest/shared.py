"""gRPC with the pixels in shared memory as a transport."""

import json
from dataclasses import dataclass
from multiprocessing.shared_memory import SharedMemory
from typing import Any

from nonesuch.contract import RECIPE
from nonesuch.errors import NonesuchError
from nonesuch.tensors import broken, texts
from nonesuch_loadtest.asking import Asked, Cards
from nonesuch_loadtest.channel import Grpc
from nonesuch_loadtest.memory import Regions
from nonesuch_loadtest.scenario import Request
from nonesuch_loadtest.target import Answer


@dataclass(frozen=True, slots=True)
class Lent:
    """A message and where its pixels go."""

    asked: Asked
    region: SharedMemory


class Shared:
    """As `Grpc`; recipes come in the answer, pixels in a region of the request's own."""

    def __init__(self, url: str, cards: Cards, *, aio: bool, null: bool = False) -> None:
        self.aio = aio
        self._channel = Grpc(url, cards, aio=aio, null=null)
        self._regions = Regions(url, cards, null=null)

    def prepare(self, request: Request, seed: int) -> Lent:
        self._regions.size_bytes(request)
        asked = self._channel.prepare(request, seed)
        return Lent(asked, self._regions.lend(asked))

    def send(self, lent: Lent, timeout_s: float) -> Any:
        return (self._awaited if self.aio else self._blocked)(lent, timeout_s)

    def read(self, lent: Lent, answer: Any) -> Answer:
        request = lent.asked.request
        try:
            found = texts(answer, RECIPE, request.batch)
            wanted = [values["seed"][0] for values in lent.asked.part]
            if [json.loads(recipe).get("seed") for recipe in found] != wanted:
                raise broken(answer, "the pictures of other seeds than were asked for")
            return Answer(request.batch, self._regions.size_bytes(request))
        finally:
            self._regions.back(lent.region, request)

    def close(self) -> Any:
        self._regions.close()
        return self._channel.close()

    def _blocked(self, lent: Lent, timeout_s: float) -> Any:
        try:
            return self._channel.send(lent.asked, timeout_s)
        except NonesuchError:
            self._regions.back(lent.region, lent.asked.request)
            raise

    async def _awaited(self, lent: Lent, timeout_s: float) -> Any:
        try:
            return await self._channel.send(lent.asked, timeout_s)
        except NonesuchError:
            self._regions.back(lent.region, lent.asked.request)
            raise
