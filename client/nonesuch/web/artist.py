"""Pictures from the server behind us, for many clients at once."""

import time
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from itertools import islice

from nonesuch import protocol
from nonesuch.aio import AsyncClient
from nonesuch.card import Card
from nonesuch.errors import ModelNotFound
from nonesuch.images import Picture
from nonesuch.morph import Frames
from nonesuch.options import RAW, Format, Sample
from nonesuch.web.gate import Gate
from nonesuch.web.metrics import Metrics
from nonesuch.web.query import Film

_FRESH_S = 2.0  # so old may be what we know of the server's models


class Artist:
    """Asks the server, by way of the gate, and knows its models."""

    def __init__(self, client: AsyncClient, model: str | None, gate: Gate, metrics: Metrics):
        self._client = client
        self._model = model
        self._gate = gate
        self._metrics = metrics
        self._names: list[str] = []
        self._listed_s = -_FRESH_S
        self._fresh: set[str] = set()

    @property
    def url(self) -> str:
        """HOST:PORT of the server."""
        return self._client.url

    async def models(self) -> list[str]:
        """Name the models, the one that the page shows first, the others sorted."""
        now_s = time.monotonic()
        if now_s - self._listed_s >= _FRESH_S:
            names = await self._client.models()
            if self._model is not None and self._model not in names:
                raise protocol.unknown(self.url, self._model, names)
            self._names = sorted(names, key=lambda name: (name != self._model, name))
            self._fresh.clear()
            self._listed_s = now_s
        return self._names

    async def card(self, model: str) -> Card:
        """Return a model's card, a few seconds old at most; raises ModelNotFound."""
        names = await self.models()
        if model not in names:
            raise protocol.unknown(self.url, model, names)
        card = await self._client.info(model, fresh=model not in self._fresh)
        self._fresh.add(model)
        return card

    async def draw(self, card: Card, samples: Sequence[Sample], wanted: Format) -> list[Picture]:
        """Draw a picture of each sample, a batch at a time.

        Raises ModelNotFound where the model has changed since the card was read: ask again.
        """
        return [picture async for picture in self._drawn(card, samples, wanted)]

    async def frames(self, card: Card, film: Film) -> AsyncGenerator[Picture, None]:
        """Draw the frames of a morph, a batch at a time."""
        like = Sample(seed=film.keys[0], **film.settings)
        w = None
        if film.way.through != "z":
            mapped = self._client.map(card.name, film.keys, class_idx=like.class_idx)
            w = await self._gate.through(mapped)
        samples = Frames.of_seeds(film.keys, w, film.way, like, card)
        async for picture in self._drawn(card, samples, RAW):
            yield picture

    async def _drawn(
        self, card: Card, samples: Iterable[Sample], wanted: Format
    ) -> AsyncGenerator[Picture, None]:
        for part in _parts(samples, card.max_batch):
            pictures = await self._gate.through(self._batch(card, part, wanted))
            for picture in pictures:
                yield picture

    async def _batch(self, card: Card, part: Sequence[Sample], wanted: Format) -> list[Picture]:
        asked = self._client.generate_each(card.name, part, format=wanted)
        pictures = [picture async for picture in asked]
        self._metrics.pictures.inc(len(pictures))
        if any(picture.recipe.get("model_hash") != card.model_hash for picture in pictures):
            self._listed_s = -_FRESH_S
            raise ModelNotFound(f"{self.url}: {card.name} was exchanged meanwhile, ask again")
        return pictures


def _parts(samples: Iterable[Sample], size: int) -> Iterator[list[Sample]]:
    rest = iter(samples)
    while part := list(islice(rest, size)):
        yield part
