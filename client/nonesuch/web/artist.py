"""Pictures from the server behind us, for many clients at once."""

from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from itertools import islice

from nonesuch.aio import AsyncClient
from nonesuch.card import Card
from nonesuch.errors import ModelNotFound
from nonesuch.images import Picture
from nonesuch.morph import Frames
from nonesuch.options import RAW, Format, Sample
from nonesuch.web.cards import Cards
from nonesuch.web.gate import Gate
from nonesuch.web.metrics import Metrics
from nonesuch.web.query import Film


class Artist:
    """Draws what is asked for, a batch at a time, by way of the gate."""

    def __init__(self, client: AsyncClient, cards: Cards, gate: Gate, metrics: Metrics) -> None:
        self._client = client
        self._cards = cards
        self._gate = gate
        self._metrics = metrics

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
            self._cards.forget(card.name)
            raise ModelNotFound(
                f"{self._client.url}: {card.name} was exchanged meanwhile, ask again"
            )
        return pictures


def _parts(samples: Iterable[Sample], size: int) -> Iterator[list[Sample]]:
    rest = iter(samples)
    while part := list(islice(rest, size)):
        yield part
