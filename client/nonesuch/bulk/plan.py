"""What a set consists of, and how it is parted: all that decides over its bytes, and no more."""

import base64
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, Self

import numpy as np

from nonesuch import wire
from nonesuch.balance import Balance
from nonesuch.bulk import texture, vary
from nonesuch.bulk.vary import Vary
from nonesuch.card import Card
from nonesuch.errors import InvalidRequest
from nonesuch.images import check_channels
from nonesuch.latents import Seeds
from nonesuch.options import JPEG, Format, Sample, Settings

Layout = Literal["shards", "files"]
Preset = Literal["texture", "character"]

LAYOUTS: tuple[Layout, ...] = ("shards", "files")
PRESETS: tuple[Preset, ...] = ("texture", "character")
SHARD = 1000  # pictures, unless told otherwise
ANY = Sample(seed=0)  # a sample that sets nothing
_LARGEST_SHARD = 100_000
_ON_CPUS = ("onnxruntime", "openvino")  # engines
_VERSION = 1  # of what lies in a set's folder


@dataclass(frozen=True, slots=True)
class Batch:
    """Seeds of a shard that are asked for in one request."""

    shard: int
    seeds: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """A set: its seeds in their order, and the settings of each."""

    model: str
    seeds: Seeds
    like: Sample = ANY  # its settings hold for all; its seed means nothing
    ranges: tuple[Vary, ...] = ()
    format: Format = JPEG
    layout: Layout = "shards"
    shard_size: int = SHARD  # pictures in a shard, the last has the rest
    batch: int | None = None  # pictures in a request; None = what suits engine and server
    preset: Preset | None = None  # what lies beside the pictures
    contact: bool = False  # whether there are contact sheets, and a page of them
    dedupe: bool = False  # whether a picture that looks like an earlier one is left out
    balances: tuple[Balance, ...] = ()  # by which the seeds were chosen, for the report

    @classmethod
    def of(
        cls,
        model: str,
        seeds: Iterable[int],
        settings: Settings,
        *,
        ranges: Sequence[Vary],
        format: Format,
        layout: Layout,
    ) -> Self:
        """The set of what a client's `bulk` is given."""
        return cls(
            model=model,
            seeds=Seeds.of(seeds),
            like=Sample(seed=0, **settings),
            ranges=tuple(ranges),
            format=format,
            layout=layout,
        )

    def __post_init__(self) -> None:
        if self.layout not in LAYOUTS:
            raise InvalidRequest(f"layout is {self.layout!r}, expected one of {', '.join(LAYOUTS)}")
        if self.like.seed is None:
            raise InvalidRequest("a set is made of seeds, remove the z or ws")
        if self.format.name == "raw":
            raise InvalidRequest("a set is made of files, choose jpeg, png or webp")
        if not len(self.seeds):
            raise InvalidRequest("a set needs at least one seed")
        if not 1 <= self.shard_size <= _LARGEST_SHARD:
            raise InvalidRequest(
                f"the shard size is {self.shard_size}, expected 1 to {_LARGEST_SHARD}"
            )
        _check_distinct(self.seeds)

    def check(self, card: Card) -> None:
        """Raise InvalidRequest for what the card's model cannot do."""
        vary.check(self.ranges, self.like, card)
        check_channels(card.channels, self.format.name)
        if self.preset == "texture":
            texture.check(card)
            if self.format.name != "png":
                raise InvalidRequest(f"textures are png files, not {self.format.name}")
        for balance in self.balances:
            card.direction(balance.direction)
        wire.settings(self.sample(self.seeds[0]), self.format, card)
        if self.batch is not None and not 1 <= self.batch <= card.max_batch:
            raise InvalidRequest(
                f"batch is {self.batch}, {card.name} takes 1 to {card.max_batch} in a request"
            )

    @property
    def shards(self) -> int:
        """How many shards the set has."""
        return -(-len(self.seeds) // self.shard_size)

    def positions(self, shard: int) -> range:
        """Where a shard's pictures stand in the plan's order."""
        start = shard * self.shard_size
        return range(start, min(start + self.shard_size, len(self.seeds)))

    def sample(self, seed: int) -> Sample:
        """The settings of one seed."""
        return vary.varied(self.like, seed, self.ranges)

    def batch_of(self, card: Card) -> int | None:
        """How many pictures a request has; None = few or many, as others ask the server or not.

        On a CPU a batch changes no picture. A GPU is asked for as many as one run takes, which no
        other request can join then.
        """
        return self.batch or (None if card.engine in _ON_CPUS else card.max_batch)

    def record(self, card: Card) -> dict[str, Any]:
        """All that decides over the set's bytes, as JSON values."""
        return {
            "version": _VERSION,
            "model": self.model,
            "model_hash": card.model_hash,
            "directions_hash": card.directions_hash,
            "engine": card.engine,
            "precision": card.precision,
            "seeds": str(self.seeds),
            "settings": self._settings(card),
            "vary": {one.name: str(one) for one in self.ranges},
            "layout": self.layout,
            "shard_size": self.shard_size,
            "batch": self.batch_of(card),
            "preset": self.preset,
            "contact": self.contact,
            "dedupe": self.dedupe,
            "balance": {one.direction: list(one.shares) for one in self.balances},
        }

    def _settings(self, card: Card) -> dict[str, Any]:
        """What all requests send, and what the server adds where they name no truncation."""
        sent = wire.settings(self.like, self.format, card)
        if "psi" in card.controls and "psi" not in sent:
            sent |= {"psi": [card.psi], "cutoff": [-1 if card.cutoff is None else card.cutoff]}
        return {name: _json(value) for name, value in sent.items() if name != "seed"}


class Cut:
    """The seeds of some shards of a plan, taken batch by batch, in order."""

    def __init__(self, plan: Plan, shards: Sequence[int]) -> None:
        self._plan = plan
        self._left = ((shard, plan.positions(shard)) for shard in shards)
        self._shard, self._at = 0, range(0)

    def take(self, most: int) -> Batch | None:
        """The next batch, of at most so many pictures, all of one shard; None at the end."""
        if not self._at:
            self._shard, self._at = next(self._left, (0, range(0)))
        taken, self._at = self._at[:most], self._at[most:]
        return Batch(self._shard, self._plan.seeds[taken.start : taken.stop]) if taken else None


def differences(there: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[str]:
    """In what two records differ, in words."""
    for key in sorted({*there, *wanted}):
        if there.get(key) != wanted.get(key):
            yield f"{key} is {_short(there.get(key))} there and {_short(wanted.get(key))} here"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _check_distinct(seeds: Seeds) -> None:
    for before, after in pairwise(sorted(seeds.spans, key=lambda span: span.start)):
        if after.start < before.stop:
            raise InvalidRequest(f"seed {after.start} is in the list twice, give it once")


def _json(value: Any) -> Any:
    """A tensor of a request as JSON: arrays as base64 of little-endian float32."""
    if isinstance(value, np.ndarray):
        return base64.b64encode(value.astype("<f4").tobytes()).decode()
    return value
