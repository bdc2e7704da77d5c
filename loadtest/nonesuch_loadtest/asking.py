"""A request of a scenario as a message of the KServe protocol, and the look at its answer."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nonesuch import wire
from nonesuch.card import Card
from nonesuch.contract import SEEDS
from nonesuch.options import Format, Mix, Noise, Sample, Truncation
from nonesuch.tensors import Request as Message
from nonesuch_loadtest.scenario import Request
from nonesuch_loadtest.target import Answer

Cards = Mapping[str, Card]  # by the model's name

NULL_SEED = 0  # the only one that a null server knows the answer to
_PRIORITY = {"interactive": 1, "bulk": 2}  # Triton's levels: 1 is the highest


@dataclass(frozen=True, slots=True)
class Asked:
    """A message, and what its answer is checked against."""

    message: Message
    part: Sequence[wire.Settings]
    request: Request


def ask(request: Request, seed: int, cards: Cards, *, everything: bool = False) -> Asked:
    """The message for a request, for the pictures in its format or for `everything` there is.

    Raises InvalidRequest for what the card's model cannot do.
    """
    card = cards[request.model]
    wanted = Format(name=request.format, quality=request.quality)
    seeds = [(seed + i) % SEEDS for i in range(request.batch)]
    part = [wire.settings(_sample(request, s), wanted, card) for s in seeds]
    message = wire.encode(request.model, part, wanted)
    if everything:
        del message.outputs[:]  # a server takes none for all
    message.parameters["priority"].uint64_param = _PRIORITY[request.priority]
    return Asked(message, part, request)


def _sample(request: Request, seed: int) -> Sample:
    mix = None
    if request.mix_layers is not None:
        mix = Mix(seed=(seed + SEEDS // 2) % SEEDS, layers=request.mix_layers)
    return Sample(
        seed=seed,
        truncation=None if request.psi is None else Truncation(psi=request.psi),
        mix=mix,
        noise=Noise(mode=request.noise, seed=seed if request.noise == "random" else None),
        directions=request.directions,
        class_idx=request.class_idx,
    )


def read(asked: Asked, answer: Any, cards: Cards) -> Answer:
    """Count what came; raises RemoteError where it is not what was asked for."""
    model = asked.request.model
    pictures = wire.decode(answer, model, asked.part, cards[model])
    sizes = (p.array().nbytes if p.encoded is None else len(p.encoded) for p in pictures)
    return Answer(len(pictures), sum(sizes))


def null_path(request: Request) -> str:
    """By which a null server knows what to answer."""
    return "/null/" + hashlib.sha256(repr(request).encode()).hexdigest()[:16]
