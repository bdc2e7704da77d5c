"""The client that blocks. `aio.AsyncClient` has the same methods."""

import threading
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence, Sized
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack

import grpc
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
    from nonesuch.bulk import Bulk, Vary
    from nonesuch.bulk.plan import Layout

T = TypeVar("T")

_CLOSE_S = 2.0


class Pictures(Iterator[Picture]):
    """Pictures in the order of their seeds or samples.

    Its length is that of the whole request, where that is known. Requests go out as pictures are
    taken. Closing it, or dropping it, cancels those under way.
    """

    def __init__(self, source: Generator[Picture, None, None], length: int | None) -> None:
        self._source = source
        self._length = length

    def __len__(self) -> int:
        if self._length is None:
            raise TypeError("these samples come one by one, so their number is not known")
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
    ) -> Pictures:
        """Generate one picture for each seed, with the same settings.

        truncation None is what the model's card recommends. Raises InvalidRequest for what the
        model cannot do, at once where the card tells and while iterating where the server does.
        """
        card, asked = self.info(model), Seeds.of(seeds)
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
        exchanges = wire.same(model, asked, sample, format, card=card, in_flight=self._to.in_flight)
        return Pictures(self._exchanged(exchanges), len(asked))

    def generate_each(
        self, model: str, samples: Iterable[Sample], *, format: Format = JPEG
    ) -> Pictures:
        """Generate one picture for each sample, each with its own settings.

        Samples are taken as pictures are, some requests ahead: they may be endless. Neighbours
        that set the same things share a request. Raises InvalidRequest for a sample that the model
        cannot do, when it is taken where the card tells.
        """
        card = self.info(model)
        length = len(samples) if isinstance(samples, Sized) else None
        exchanges = wire.each(model, samples, format, card=card)
        return Pictures(self._exchanged(exchanges), length)

    def mix(
        self,
        model: str,
        rows: Iterable[int],
        columns: Iterable[int],
        *,
        layers: str,
        format: Format = RAW,
        **settings: Unpack[Settings],
    ) -> Pictures:
        """Generate the style-mixing matrix of some seeds (StyleGAN, figure 3), row by row.

        Each picture is that of its column's seed, with the layers named (`coarse`, `4-7`, …) of
        its row's. Raises InvalidRequest as `generate` does.
        """
        card, samples = self.info(model), matrix(rows, columns, layers, **settings)
        wire.settings(samples[0], format, card)  # refuse now, not when the first picture is taken
        return self.generate_each(model, samples, format=format)

    def morph(
        self,
        model: str,
        keyframes: Iterable[int] | Codes,
        way: Morph = Morph(),  # noqa: B008 (frozen)
        *,
        format: Format = RAW,
        **settings: Unpack[Settings],
    ) -> Pictures:
        """Generate the frames of a morph through seeds, or through codes of W, in order.

        The settings hold for all frames; w of seeds is truncated as the seeds would be. Raises
        InvalidRequest as `generate` does, for fewer than two keyframes, and for codes of another
        model.
        """
        card, like = self.info(model), Sample(seed=0, **settings)
        if isinstance(keyframes, Codes):
            samples = Frames.of_codes(keyframes, way, like, card)
        else:
            seeds, w = Seeds.of(keyframes), None
            if way.through != "z":
                w = self.map(
                    model, seeds, class_idx=like.class_idx, class_weights=like.class_weights
                )
            samples = Frames.of_seeds(seeds, w, way, like, card)
        wire.settings(next(iter(samples)), format, card)
        return self.generate_each(model, samples, format=format)

    def remake(self, recipe: Mapping[str, Any]) -> Picture:
        """Make the picture of a recipe again, as a file in the recipe's format.

        Raises InvalidRequest for a recipe that is none, or of another model than the server has
        by that name.
        """
        card = self.info(remake.model(recipe))
        (picture,) = self._exchanged(iter([remake.exchange(recipe, card)]))
        return picture

    def map(
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
        card = self.info(model)
        label = mapping.label(class_idx, class_weights, card)
        return self._mapped(model, Seeds.of(seeds), label, mapping.w(card), card)

    def scores(
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
        card = self.info(model)
        label = mapping.label(class_idx, class_weights, card)
        return self._mapped(model, Seeds.of(seeds), label, mapping.scores(card), card)

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
    ) -> "Bulk":
        """Make a set of pictures on disk, one for each seed; returns an iterator that does.

        What is on disk already is not made again: the same call goes on after any crash. `ranges`
        are settings that differ from picture to picture. Raises what `bulk.run.Bulk` raises,
        which takes several servers, too.
        """
        from nonesuch.bulk import Bulk, Plan  # here: it needs this module

        plan = Plan.of(model, seeds, settings, ranges=ranges, format=format, layout=layout)
        return Bulk(plan, folder, [self.url], timeout_s=self._to.timeout_s)

    def info(self, model: str, *, fresh: bool = False) -> Card:
        """Return the model's card, which is fetched once, or where `fresh` is asked for."""
        if fresh or model not in self._cards:
            self._cards[model] = self._run(protocol.card(self._to, model))
        return self._cards[model]

    def models(self) -> list[str]:
        """Return the names of the models that are ready to generate, sorted."""
        return self._run(protocol.models(self._to))

    def answered(self, model: str) -> int:
        """Return how many requests for a model were answered since its start, whoever sent them."""
        return self._run(protocol.answered(self._to, model))

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

    def _mapped(
        self,
        model: str,
        seeds: Seeds,
        label: Sequence[float],
        wanted: mapping.Wanted,
        card: Card,
    ) -> NDArray[np.float32]:
        exchanges = mapping.exchanges(
            model, seeds, label, wanted, card=card, in_flight=self._to.in_flight
        )
        rows = np.empty((len(seeds), wanted.size), np.float32)
        for i, row in enumerate(self._exchanged(exchanges)):
            rows[i] = row
        return rows

    def _exchanged(self, exchanges: Iterator[wire.Exchange[T]]) -> Generator[T, None, None]:
        """What the answers bring, in order, with some requests under way ahead."""
        if self._to.in_flight == 1:
            yield from self._one_by_one(exchanges)
            return
        sent = ((exchange, self._send(exchange.request)) for exchange in exchanges)
        under_way: deque[tuple[wire.Exchange[T], Any]] = deque()
        try:
            under_way.extend(islice(sent, self._to.in_flight))
            while under_way:
                exchange, future = under_way[0]
                with translated(self._to.url, self._to.timeout_s):
                    answer = future.result()
                under_way.popleft()
                under_way.extend(islice(sent, 1))
                yield from exchange.read(answer)
        finally:
            for _, future in under_way:
                future.cancel()

    def _one_by_one(self, exchanges: Iterator[wire.Exchange[T]]) -> Generator[T, None, None]:
        """What the answers bring, with none under way ahead.

        The calls block: gRPC needs a thread, and time, to watch one that does not.
        """
        for exchange in exchanges:
            with translated(self._to.url, self._to.timeout_s):
                answer = self._stub.ModelInfer(exchange.request, timeout=self._to.timeout_s)
            yield from exchange.read(answer)

    def _send(self, request: Request) -> Any:
        return self._stub.ModelInfer.future(request, timeout=self._to.timeout_s)

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
