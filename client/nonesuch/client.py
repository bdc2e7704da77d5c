"""The client that blocks. `aio.AsyncClient` has the same methods."""

import threading
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Self, TypeVar

import grpc
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
from nonesuch.tensors import Request

T = TypeVar("T")

_CLOSE_S = 2.0


class Pictures(Iterator[Picture]):
    """Pictures in the order of their seeds; its length is that of the whole request.

    Requests go out as pictures are taken. Closing it, or dropping it, cancels those under way.
    """

    def __init__(self, source: Generator[Picture, None, None], length: int) -> None:
        self._source = source
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __next__(self) -> Picture:
        return next(self._source)

    def close(self) -> None:
        """Cancel what is under way; no further picture comes."""
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Client:
    """A connection to a server, safe to share between threads; made without contacting it.

    Every method raises ServerUnreachable, DeadlineExceeded or RemoteError where the server does
    not answer as it should, and ModelNotFound for a model that it has not.
    """

    def __init__(
        self, url: str = "localhost:8001", *, timeout_s: float = 60.0, in_flight: int = 4
    ) -> None:
        """Take HOST:PORT, the seconds that each request may last, and how many are under way."""
        self._to = Connection(url=url, timeout_s=timeout_s, in_flight=in_flight)
        self._channel = grpc.insecure_channel(url, options=protocol.CHANNEL)
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
    ) -> Pictures:
        """Generate one picture for each seed, with the same settings.

        truncation None is what the model's card recommends. Raises InvalidRequest for what the
        model cannot do, at once where the card tells and while iterating where the server does.
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
        card = self.info(model)
        wire.settings(request, card)  # refuse now, not when the first picture is taken
        return Pictures(self._generate(request, card), len(request.seeds))

    def info(self, model: str) -> Card:
        """Return the model's card, which is fetched once."""
        if model not in self._cards:
            self._cards[model] = self._run(protocol.card(self._to, model))
        return self._cards[model]

    def models(self) -> list[str]:
        """Return the names of the models that are ready to generate, sorted."""
        return self._run(protocol.models(self._to))

    def wait_ready(self, model: str, timeout_s: float = 60.0) -> None:
        """Block until the model is ready.

        Raises ServerUnreachable, ModelNotFound or DeadlineExceeded, by what was the matter when
        the time was over.
        """
        self._run(protocol.ready(self._to, model, timeout_s))

    def close(self) -> None:
        """Close the connection and cancel what is under way."""
        # Closing cancels all calls and waits for their end. An interrupt (Ctrl-C) while gRPC was
        # starting a call leaves nobody to notice that end, a known fault of grpcio: wait no longer
        # than it can take.
        closing = threading.Thread(target=self._channel.close, daemon=True)
        closing.start()
        closing.join(timeout=_CLOSE_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _generate(self, request: Generate, card: Card) -> Generator[Picture, None, None]:
        parts = wire.batches(request.seeds, max_batch=card.max_batch, in_flight=self._to.in_flight)
        sent = ((seeds, self._send(wire.encode(request, seeds, card))) for seeds in parts)
        under_way: deque[tuple[tuple[int, ...], Any]] = deque()
        try:
            under_way.extend(islice(sent, self._to.in_flight))
            while under_way:
                seeds, future = under_way[0]
                with translated(self._to.url, self._to.timeout_s):
                    answer = future.result()
                under_way.popleft()
                under_way.extend(islice(sent, 1))
                yield from wire.decode(answer, request, seeds, card)
        finally:
            for _, future in under_way:
                future.cancel()

    def _send(self, message: Request) -> Any:
        return self._stub.ModelInfer.future(message, timeout=self._to.timeout_s)

    def _run(self, steps: protocol.Steps[T]) -> T:
        step = protocol.advance(steps, None)
        while not isinstance(step, protocol.Done):
            answer: Any
            try:
                answer = self._take(step)
            except NonesuchError as exc:
                answer = exc
            step = protocol.advance(steps, answer)
        return step.result

    def _take(self, step: protocol.Call | protocol.Pause) -> Any:
        if isinstance(step, protocol.Pause):
            return time.sleep(step.seconds)
        with translated(self._to.url, step.timeout_s):
            return getattr(self._stub, step.method)(step.message, timeout=step.timeout_s)
