"""The client that awaits: the methods of `client.Client`, and nothing but the waiting its own."""

import asyncio
from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
    Sized,
)
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack

import grpc.aio
import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2_grpc

from nonesuch import mapping, protocol, remake, wire
from nonesuch.card import Card
from nonesuch.codes import Codes
from nonesuch.errors import NonesuchError, translated
from nonesuch.images import Picture
from nonesuch.latents import Seeds
from nonesuch.matrix import matrix
from nonesuch.morph import Frames, Morph
from nonesuch.options import (
    JPEG,
    RAW,
    STORED_NOISE,
    ClassWeights,
    Connection,
    Format,
    Latent,
    Mix,
    Noise,
    Sample,
    Settings,
    Transform,
    Truncation,
)
from nonesuch.tensors import Request

if TYPE_CHECKING:
    from nonesuch.bulk import Vary
    from nonesuch.bulk.aio import AsyncBulk
    from nonesuch.bulk.plan import Layout

T = TypeVar("T")


class AsyncPictures(AsyncIterator[Picture]):
    """Pictures in the order of their seeds or samples.

    Its length is that of the whole request, where that is known. Requests go out as pictures are
    taken. `aclose` cancels those under way; leave a loop early inside `async with
    client.generate(…) as pictures` to have it called at once.
    """

    def __init__(self, source: AsyncGenerator[Picture, None], length: int | None) -> None:
        self._source = source
        self._length = length

    def __len__(self) -> int:
        if self._length is None:
            raise TypeError("these samples come one by one, so their number is not known")
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

    @property
    def url(self) -> str:
        """HOST:PORT of the server."""
        return self._to.url

    def generate(  # noqa: PLR0913 (each is a control of its own, by keyword)
        self,
        model: str,
        seeds: Iterable[int],
        *,
        truncation: Truncation | None = None,
        mix: Mix | None = None,
        noise: Noise = STORED_NOISE,
        directions: Mapping[str, float] | None = None,
        ws_offset: Latent | None = None,
        class_idx: int | None = None,
        class_weights: ClassWeights | None = None,
        transform: Transform | None = None,
        format: Format = JPEG,
    ) -> AsyncPictures:
        """Generate one picture for each seed, with the same settings.

        truncation None is what the model's card recommends. The server is first asked when the
        first picture is awaited: that raises InvalidRequest for what the model cannot do.
        """
        asked = Seeds.of(seeds)
        sample = Sample(
            seed=0,
            truncation=truncation,
            mix=mix,
            noise=noise,
            directions=directions,
            ws_offset=ws_offset,
            class_idx=class_idx,
            class_weights=class_weights,
            transform=transform,
        )

        def exchanges(card: Card) -> Iterator[wire.Exchange[Picture]]:
            in_flight = self._to.in_flight
            return wire.same(model, asked, sample, format, card=card, in_flight=in_flight)

        return AsyncPictures(self._exchanged(model, exchanges), len(asked))

    def generate_each(
        self, model: str, samples: Iterable[Sample], *, format: Format = JPEG
    ) -> AsyncPictures:
        """Generate one picture for each sample, each with its own settings.

        Samples are taken as pictures are, some requests ahead: they may be endless. Neighbours
        that set the same things share a request. The server is first asked when the first picture
        is awaited; InvalidRequest is raised for a sample that the model cannot do, when it is
        taken where the card tells.
        """
        length = len(samples) if isinstance(samples, Sized) else None

        def exchanges(card: Card) -> Iterator[wire.Exchange[Picture]]:
            return wire.each(model, samples, format, card=card)

        return AsyncPictures(self._exchanged(model, exchanges), length)

    def mix(
        self,
        model: str,
        rows: Iterable[int],
        columns: Iterable[int],
        *,
        layers: str,
        format: Format = RAW,
        **settings: Unpack[Settings],
    ) -> AsyncPictures:
        """Generate the style-mixing matrix of some seeds (StyleGAN, figure 3), row by row.

        Each picture is that of its column's seed, with the layers named (`coarse`, `4-7`, …) of
        its row's. The server is first asked when the first picture is awaited.
        """
        samples = matrix(rows, columns, layers, **settings)
        return self.generate_each(model, samples, format=format)

    def morph(
        self,
        model: str,
        keyframes: Iterable[int] | Codes,
        way: Morph = Morph(),  # noqa: B008 (frozen)
        *,
        format: Format = RAW,
        **settings: Unpack[Settings],
    ) -> AsyncPictures:
        """Generate the frames of a morph through seeds, or through codes of W, in order.

        The settings hold for all frames; w of seeds is truncated as the seeds would be. The server
        is first asked when the first picture is awaited.
        """
        keys = keyframes if isinstance(keyframes, Codes) else Seeds.of(keyframes)
        like = Sample(seed=0, **settings)
        pictures = self._morph(model, keys, way, like, format)
        return AsyncPictures(pictures, way.length(len(keys)))

    async def remake(self, recipe: Mapping[str, Any]) -> Picture:
        """Make the picture of a recipe again, as `Client.remake` does."""

        def exchanges(card: Card) -> Iterator[wire.Exchange[Picture]]:
            return iter([remake.exchange(recipe, card)])

        asked = self._exchanged(remake.model(recipe), exchanges)
        (picture,) = [picture async for picture in asked]
        return picture

    async def map(
        self,
        model: str,
        seeds: Iterable[int],
        *,
        class_idx: int | None = None,
        class_weights: ClassWeights | None = None,
    ) -> NDArray[np.float32]:
        """Return w of each seed, [N, w_dim], not truncated.

        Raises InvalidRequest where the model has no w, or not that class.
        """
        card = await self.info(model)
        label = mapping.label(class_idx, class_weights, card)
        return await self._mapped(model, Seeds.of(seeds), label, mapping.w(card))

    async def scores(
        self,
        model: str,
        seeds: Iterable[int],
        *,
        class_idx: int | None = None,
        class_weights: ClassWeights | None = None,
    ) -> NDArray[np.float32]:
        """Return how much each seed has of each direction of the card, [N, number of directions].

        Scores are in standard deviations over the model's own pictures; 0 is their mean. Raises
        InvalidRequest where the model has no directions, or not that class.
        """
        card = await self.info(model)
        label = mapping.label(class_idx, class_weights, card)
        return await self._mapped(model, Seeds.of(seeds), label, mapping.scores(card))

    def bulk(
        self,
        model: str,
        seeds: Iterable[int],
        folder: Path,
        *,
        ranges: Sequence["Vary"] = (),
        format: Format = JPEG,
        layout: "Layout" = "shards",
        **settings: Unpack[Settings],
    ) -> "AsyncBulk":
        """Make a set of pictures on disk, as `Client.bulk` does; returns an iterator that does.

        The server is first asked when the first row is awaited.
        """
        from nonesuch.bulk import Bulk, Plan  # here: they need the client
        from nonesuch.bulk.aio import AsyncBulk

        plan = Plan.of(model, seeds, settings, ranges=ranges, format=format, layout=layout)
        begin = partial(Bulk, plan, folder, [self.url], timeout_s=self._to.timeout_s)
        return AsyncBulk(begin, len(plan.seeds))

    async def info(self, model: str, *, fresh: bool = False) -> Card:
        """Return the model's card, which is fetched once, or where `fresh` is asked for."""
        if fresh or model not in self._cards:
            self._cards[model] = await self._run(protocol.card(self._to, model))
        return self._cards[model]

    async def models(self) -> list[str]:
        """Return the names of the models that are ready to generate, sorted."""
        return await self._run(protocol.models(self._to))

    async def answered(self, model: str) -> int:
        """Return how many requests for a model were answered since its start, whoever sent them."""
        return await self._run(protocol.answered(self._to, model))

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

    async def _morph(
        self, model: str, keyframes: Seeds | Codes, way: Morph, like: Sample, format: Format
    ) -> AsyncGenerator[Picture, None]:
        card = await self.info(model)
        if isinstance(keyframes, Codes):
            samples = Frames.of_codes(keyframes, way, like, card)
        else:
            w = None
            if way.through != "z":
                w = await self.map(
                    model, keyframes, class_idx=like.class_idx, class_weights=like.class_weights
                )
            samples = Frames.of_seeds(keyframes, w, way, like, card)
        async with self.generate_each(model, samples, format=format) as pictures:
            async for picture in pictures:
                yield picture

    async def _mapped(
        self,
        model: str,
        seeds: Seeds,
        label: Sequence[float],
        wanted: mapping.Wanted,
    ) -> NDArray[np.float32]:
        def exchanges(card: Card) -> Iterator[wire.Exchange[mapping.Row]]:
            in_flight = self._to.in_flight
            return mapping.exchanges(model, seeds, label, wanted, card=card, in_flight=in_flight)

        rows = np.empty((len(seeds), wanted.size), np.float32)
        at = 0
        async for row in self._exchanged(model, exchanges):
            rows[at] = row
            at += 1
        return rows

    async def _exchanged(
        self, model: str, exchanges: Callable[[Card], Iterator[wire.Exchange[T]]]
    ) -> AsyncGenerator[T, None]:
        """What the answers bring, in order, with some requests under way ahead."""
        to_ask = exchanges(await self.info(model))
        sent = ((exchange, self._send(exchange.request)) for exchange in to_ask)
        under_way: deque[tuple[wire.Exchange[T], Any]] = deque()
        try:
            under_way.extend(islice(sent, self._to.in_flight))
            while under_way:
                exchange, call = under_way[0]
                with translated(self._to.url, self._to.timeout_s):
                    answer = await call
                under_way.popleft()
                under_way.extend(islice(sent, 1))
                for each in exchange.read(answer):
                    yield each
        finally:
            await _cancel(call for _, call in under_way)

    def _send(self, request: Request) -> Any:
        return self._stub.ModelInfer(request, timeout=self._to.timeout_s)

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
