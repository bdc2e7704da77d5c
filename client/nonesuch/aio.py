"""The client that awaits: the methods of `client.Client`, and nothing but the waiting its own."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from itertools import islice
from typing import Any, Self, TypeVar

import grpc.aio
from tritonclient.grpc import service_pb2_grpc

from nonesuch import protocol, wire
from nonesuch.card import Card
from nonesuch.errors import NonesuchError, translated
from nonesuch.images import Picture
from nonesuch.latents import Seeds
from nonesuch.options import (
    JPEG,
    STORED_NOISE,
    ClassWeights,
    Connection,
    Format,
    Generate,
    Mix,
    Noise,
    Transform,
    Truncation,
)

T = TypeVar("T")


class AsyncPictures(AsyncIterator[Picture]):
    """Pictures in the order of their seeds; its length is that of the whole request.

    Requests go out as pictures are taken. `aclose` cancels those under way; leave a loop early
    inside `async with client.generate(…) as pictures` to have it called at once.
    """

    def __init__(self, source: AsyncGenerator[Picture, None], length: int) -> None:
        self._source = source
        self._length = length

    def __len__(self) -> int:
        return self._length

    async def __anext__(self) -> Picture:
        return await anext(self._source)

    async def aclose(self) -> None:
        """Cancel what is under way; no further picture comes."""
        await self._source.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


class AsyncClient:
    """A connection to a server, for the event loop in which it is made.

    Its methods raise what those of `Client` raise.
    """

    def __init__(
        self, url: str = "localhost:8001", *, timeout_s: float = 60.0, in_flight: int = 4
    ) -> None:
        """Take HOST:PORT, the seconds that each request may last, and how many are under way."""
        self._to = Connection(url=url, timeout_s=timeout_s, in_flight=in_flight)
        self._channel = grpc.aio.insecure_channel(url, options=protocol.CHANNEL)
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self._cards: dict[str, Card] = {}

    def generate(  # noqa: PLR0913 (each is a control of its own, by keyword)
        self,
        model: str,
        seeds: Iterable[int],
        *,
        truncation: Truncation | None = None,
        mix: Mix | None = None,
        noise: Noise = STORED_NOISE,
        directions: Mapping[str, float] | None = None,
        class_idx: int | None = None,
        class_weights: ClassWeights | None = None,
        transform: Transform | None = None,
        format: Format = JPEG,
    ) -> AsyncPictures:
        """Generate one picture for each seed, with the same settings.

        truncation None is what the model's card recommends. The server is first asked when the
        first picture is awaited: that raises InvalidRequest for what the model cannot do.
        """
        request = Generate(
            model=model,
            seeds=Seeds.of(seeds),
            truncation=truncation,
            mix=mix,
            noise=noise,
            directions=directions,
            class_idx=class_idx,
            class_weights=class_weights,
            transform=transform,
            format=format,
        )
        return AsyncPictures(self._generate(request), len(request.seeds))

    async def info(self, model: str) -> Card:
        """Return the model's card, which is fetched once."""
        if model not in self._cards:
            self._cards[model] = await self._run(protocol.card(self._to, model))
        return self._cards[model]

    async def models(self) -> list[str]:
        """Return the names of the models that are ready to generate, sorted."""
        return await self._run(protocol.models(self._to))

    async def wait_ready(self, model: str, timeout_s: float = 60.0) -> None:
        """Wait until the model is ready.

        Raises ServerUnreachable, ModelNotFound or DeadlineExceeded, by what was the matter when
        the time was over.
        """
        await self._run(protocol.ready(self._to, model, timeout_s))

    async def close(self) -> None:
        """Close the connection and cancel what is under way."""
        await self._channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _generate(self, request: Generate) -> AsyncGenerator[Picture, None]:
        card = await self.info(request.model)
        parts = wire.batches(request.seeds, max_batch=card.max_batch, in_flight=self._to.in_flight)
        sent = ((seeds, self._send(wire.encode(request, seeds, card))) for seeds in parts)
        under_way: deque[tuple[tuple[int, ...], Any]] = deque()
        try:
            under_way.extend(islice(sent, self._to.in_flight))
            while under_way:
                seeds, call = under_way[0]
                with translated(self._to.url, self._to.timeout_s):
                    answer = await call
                under_way.popleft()
                under_way.extend(islice(sent, 1))
                for picture in wire.decode(answer, request, seeds, card):
                    yield picture
        finally:
            await _cancel(call for _, call in under_way)

    def _send(self, message: Any) -> Any:
        return self._stub.ModelInfer(message, timeout=self._to.timeout_s)

    async def _run(self, steps: protocol.Steps[T]) -> T:
        step = protocol.advance(steps, None)
        while not isinstance(step, protocol.Done):
            answer: Any
            try:
                answer = await self._take(step)
            except NonesuchError as exc:
                answer = exc
            step = protocol.advance(steps, answer)
        return step.result

    async def _take(self, step: protocol.Call | protocol.Pause) -> Any:
        if isinstance(step, protocol.Pause):
            return await asyncio.sleep(step.seconds)
        with translated(self._to.url, step.timeout_s):
            return await getattr(self._stub, step.method)(step.message, timeout=step.timeout_s)


async def _cancel(calls: Iterable[Any]) -> None:
    calls = list(calls)
    for call in calls:
        call.cancel()
    # A cancelled call still has a task; wait for its end, whatever that is.
    await asyncio.gather(*calls, return_exceptions=True)
