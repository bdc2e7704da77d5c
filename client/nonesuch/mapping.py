"""From seeds to w: requests to NAME_mapping and their answers, shared by both clients."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2

from nonesuch import wire
from nonesuch.card import Card
from nonesuch.contract import MAPPING, SCORES, Tensor, W
from nonesuch.errors import InvalidRequest
from nonesuch.latents import Seeds, latent
from nonesuch.options import ClassWeights, check_class
from nonesuch.tensors import Answer, Request, array, put

Row = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Wanted:
    """One row of numbers for each seed, from one of the mapping's outputs."""

    output: Tensor
    size: int  # numbers in a row


def w(card: Card) -> Wanted:
    """Ask for w [w_dim]; raises InvalidRequest where the card's model has none."""
    if not card.w_dim:
        raise InvalidRequest(f"{card.name} ({card.family}) has no w, its z is all there is")
    return Wanted(W, card.w_dim)


def scores(card: Card) -> Wanted:
    """Ask for the scores of w, one for each of the card's directions, in their order.

    Raises InvalidRequest where the card's model has no directions.
    """
    if not card.directions:
        raise InvalidRequest(f"{card.name} has no directions, so there is nothing to score")
    return Wanted(SCORES, len(card.directions))


def label(class_idx: int | None, class_weights: ClassWeights | None, card: Card) -> Sequence[float]:
    """The class vector [c_dim] that goes with every seed, zeros where no class is given.

    Raises InvalidRequest for classes that the card's model has not.
    """
    check_class(class_idx, class_weights)
    if class_weights is not None:
        return wire.soft_label(class_weights, card)
    return wire.soft_label({} if class_idx is None else {class_idx: 1.0}, card)


def exchanges(
    model: str, seeds: Seeds, label: Sequence[float], wanted: Wanted, *, card: Card, in_flight: int
) -> Iterator[wire.Exchange[Row]]:
    """The requests for rows of all seeds, in order."""
    for part in wire.batches(seeds, max_batch=card.max_batch, in_flight=in_flight):
        request = _request(f"{model}_mapping", part, label, wanted.output, card)
        yield wire.Exchange(request, partial(_rows, wanted=wanted, count=len(part)))


def _request(
    model: str, seeds: Sequence[int], label: Sequence[float], output: Tensor, card: Card
) -> Request:
    request = service_pb2.ModelInferRequest(model_name=model)
    values = {
        "z": [latent(seed, card.z_dim)[0] for seed in seeds],
        "c": [np.asarray(label, np.float32)] * len(seeds),
    }
    for tensor in MAPPING:
        if tensor.name in card.controls:
            put(request, tensor, values[tensor.name])
    request.outputs.add(name=output.name)
    return request


def _rows(answer: Answer, *, wanted: Wanted, count: int) -> Sequence[Row]:
    rows: NDArray[np.float32] = array(answer, wanted.output, (count, wanted.size))
    return list(rows)
