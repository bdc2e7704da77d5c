"""Requests and answers of the served model as messages: pure functions, shared by both clients."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tritonclient.grpc import service_pb2

from nonesuch import layers
from nonesuch.card import Card
from nonesuch.contract import ENCODED, IMAGE, RECIPE, REQUEST
from nonesuch.errors import InvalidRequest
from nonesuch.images import Picture, Pixels
from nonesuch.latents import Seeds
from nonesuch.options import ClassWeights, Format, Generate, Mix, Noise, Truncation
from nonesuch.tensors import Answer, Request, Value, array, broken, put, texts

Settings = dict[str, Value]  # of one sample, by the tensor's name


def batches(seeds: Seeds, *, max_batch: int, in_flight: int) -> Iterator[tuple[int, ...]]:
    """Part seeds, in order, into requests of at most `max_batch`, as even as can be.

    A few seeds are spread over all requests that may be under way at once: the server joins them
    again where a batch is quicker, and uses all its instances where it is not.

    >>> [len(part) for part in batches(Seeds([range(9)]), max_batch=8, in_flight=2)]
    [4, 5]
    """
    count = max(math.ceil(len(seeds) / max_batch), min(in_flight, len(seeds)))
    for i in range(count):
        yield seeds[i * len(seeds) // count : (i + 1) * len(seeds) // count]


def encode(request: Generate, seeds: Sequence[int], card: Card) -> Request:
    """Build the message that asks for the pictures of some of the request's seeds.

    Only what was set is sent. Raises InvalidRequest for what the card's model cannot do.
    """
    values = settings(request, card)
    message = service_pb2.ModelInferRequest(model_name=request.model)
    for tensor in REQUEST:
        if tensor.name == "seed":
            put(message, tensor, [[seed] for seed in seeds])
        elif tensor.name in values:
            put(message, tensor, [values[tensor.name]] * len(seeds))
    for wanted in (IMAGE if request.format.name == "raw" else ENCODED, RECIPE):
        message.outputs.add(name=wanted.name)
    return message


def settings(request: Generate, card: Card) -> Settings:
    """Return what the request sets, as it is sent for each sample.

    Raises InvalidRequest for what the card's model cannot do.
    """
    values: Settings = {}
    if request.truncation is not None:
        values |= _truncation(request.truncation, card)
    if request.mix is not None:
        values |= _mix(request.mix, card)
    if request.directions:
        values["directions"] = [_directions(request.directions, card)]
    if request.class_idx is not None:
        values["class"] = [_checked_class(request.class_idx, card)]
    if request.class_weights is not None:
        values["c"] = _soft_label(request.class_weights, card)
    if request.transform is not None:
        values["transform"] = request.transform.matrix
    values |= _noise(request.noise, card) | _format(request.format)
    for tensor in REQUEST:
        if tensor.name in values and tensor.control not in {"", *card.controls}:
            raise InvalidRequest(
                f"{card.name} ({card.family}) takes no {tensor.name}, remove that setting"
            )
    return values


def _truncation(truncation: Truncation, card: Card) -> Settings:
    _check_row("cutoff", truncation.cutoff, card)
    cutoff = -1 if truncation.cutoff is None else truncation.cutoff
    # Both are sent: a recommended cutoff must not join a psi that was asked for.
    return {"psi": [truncation.psi], "cutoff": [cutoff]}


def _noise(noise: Noise, card: Card) -> Settings:
    scale = 0.0 if noise.mode == "none" else noise.scale
    values: Settings = {} if scale == 1.0 else {"noise_scale": [scale]}
    if noise.layers != "all":
        layers.select(noise.layers, card.noise_resolutions)
        values["noise_layers"] = [noise.layers]
    return values if noise.seed is None else values | {"noise_seed": [noise.seed]}


def _format(wanted: Format) -> Settings:
    if wanted.name == "raw":
        return {}
    values: Settings = {"format": [wanted.name]}
    return values if wanted.quality is None else values | {"quality": [wanted.quality]}


def _directions(weights: Mapping[str, float], card: Card) -> str:
    for name in weights:
        card.direction(name)
    return json.dumps({name: float(weight) for name, weight in weights.items()})


def _mix(mix: Mix, card: Card) -> Settings:
    if mix.layers is None:
        return {"mix_seed": [mix.seed], "mix": _shares(mix, card)}
    layers.select(mix.layers, card.ws_resolutions)
    return {"mix_seed": [mix.seed], "mix_layers": [mix.layers]}


def _shares(mix: Mix, card: Card) -> Sequence[float]:
    if mix.shares is None:
        _check_row("crossover", mix.crossover, card)
        return [float(row >= (mix.crossover or 0)) for row in range(card.num_ws)]
    if card.num_ws and len(mix.shares) not in {1, card.num_ws}:
        raise InvalidRequest(
            f"the mix has {len(mix.shares)} shares, {card.name} expects 1 or {card.num_ws}"
        )
    return mix.shares


def _check_row(name: str, row: int | None, card: Card) -> None:
    if row is not None and row > card.num_ws > 0:
        raise InvalidRequest(f"{name} is {row}, {card.name} has {card.num_ws} rows of ws")


def _checked_class(class_idx: int, card: Card) -> int:
    if card.c_dim == 0:
        raise InvalidRequest(f"{card.name} is unconditional, remove the class ({class_idx})")
    if class_idx >= card.c_dim:
        raise InvalidRequest(f"class is {class_idx}, {card.name} expects 0 to {card.c_dim - 1}")
    return class_idx


def _soft_label(weights: ClassWeights, card: Card) -> Sequence[float]:
    """The class vector, [c_dim]."""
    if isinstance(weights, Mapping):
        label = [0.0] * card.c_dim
        for class_idx, weight in weights.items():
            label[_checked_class(class_idx, card)] = weight
        return label
    if card.c_dim and len(weights) != card.c_dim:
        raise InvalidRequest(
            f"there are {len(weights)} class weights, {card.name} has {card.c_dim} classes"
        )
    return weights


def decode(answer: Answer, request: Generate, seeds: Sequence[int], card: Card) -> list[Picture]:
    """Read the pictures of an answer, one for each of the seeds that were asked for, in order.

    Raises RemoteError where the answer is not what the contract promises.
    """
    files: Sequence[bytes | None] = [None] * len(seeds)
    pixels: Sequence[Pixels | None] = [None] * len(seeds)
    if request.format.name == "raw":
        pixels = list(array(answer, IMAGE, (len(seeds), card.height, card.width, card.channels)))
    else:
        files = texts(answer, ENCODED, len(seeds))
    return [
        Picture(
            model=request.model,
            seed=seed,
            channels=card.channels,
            recipe=recipe,
            encoded=file,
            pixels=image,
        )
        for seed, recipe, file, image in zip(
            seeds, _recipes(answer, seeds), files, pixels, strict=True
        )
    ]


def _recipes(answer: Answer, seeds: Sequence[int]) -> Iterator[dict[str, Any]]:
    for seed, text in zip(seeds, texts(answer, RECIPE, len(seeds)), strict=True):
        try:
            recipe = json.loads(text)
            made = recipe["seed"]
        except (ValueError, TypeError, KeyError) as exc:
            raise broken(answer, f"a recipe that is none ({text[:80]!r})") from exc
        if made != seed:
            raise broken(answer, f"the picture of seed {made} where {seed} was asked for")
        yield recipe
