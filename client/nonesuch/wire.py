"""Requests and answers of the served model as messages: pure functions, shared by both clients."""

import base64
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2

from nonesuch import layers
from nonesuch.card import Card
from nonesuch.contract import ENCODED, IMAGE, RECIPE, REQUEST
from nonesuch.errors import InvalidRequest
from nonesuch.images import Picture, Pixels
from nonesuch.latents import Seeds
from nonesuch.options import ClassWeights, Format, Latent, Mix, Noise, Sample, Truncation
from nonesuch.tensors import Answer, Request, Value, array, broken, put, texts

T = TypeVar("T")

Settings = dict[str, Value]  # of one sample, by the tensor's name


@dataclass(frozen=True, slots=True)
class Exchange(Generic[T]):
    """A request, and how to read what its answer brings, in order."""

    request: Request
    read: Callable[[Answer], Sequence[T]]


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


def same(
    model: str, seeds: Seeds, sample: Sample, wanted: Format, *, card: Card, in_flight: int
) -> Iterator[Exchange[Picture]]:
    """The requests for all seeds, in order, with the settings of one sample.

    Raises InvalidRequest, at once, for what the card's model cannot do.
    """
    values = settings(sample, wanted, card)
    spread = batches(seeds, max_batch=card.max_batch, in_flight=in_flight)
    parts = ([values | {"seed": [seed]} for seed in part] for part in spread)
    return _exchanges(model, parts, wanted, card)


def each(
    model: str, samples: Iterable[Sample], wanted: Format, *, card: Card
) -> Iterator[Exchange[Picture]]:
    """The requests for all samples, in order; raises as `gathered` does."""
    return _exchanges(model, gathered(samples, wanted, card), wanted, card)


def _exchanges(
    model: str, parts: Iterable[Sequence[Settings]], wanted: Format, card: Card
) -> Iterator[Exchange[Picture]]:
    for part in parts:
        read = partial(decode, model=model, part=part, card=card)
        yield Exchange(encode(model, part, wanted), read)


def gathered(samples: Iterable[Sample], wanted: Format, card: Card) -> Iterator[list[Settings]]:
    """Gather samples, in order, into requests of at most the card's `max_batch`.

    A request ends where it is full or where the next sample carries other tensors. Samples are
    taken one by one; raises InvalidRequest, with the sample's number from 0, for the first that
    the card's model cannot do.
    """
    part: list[Settings] = []
    for number, sample in enumerate(samples):
        if not isinstance(sample, Sample):
            raise InvalidRequest(f"sample {number} is {str(sample)[:40]!r}, expected a Sample")
        try:
            values = settings(sample, wanted, card)
        except InvalidRequest as exc:
            raise InvalidRequest(f"sample {number}: {exc}") from exc
        if part and _shapes(part[0]) != _shapes(values):
            yield part
            part = []
        part.append(values)
        if len(part) == card.max_batch:
            yield part
            part = []
    if part:
        yield part


def _shapes(values: Settings) -> dict[str, tuple[int, ...]]:
    return {name: np.shape(value) for name, value in values.items()}


def encode(model: str, part: Sequence[Settings], wanted: Format) -> Request:
    """Build the message that asks for pictures of samples that carry the same tensors."""
    message = service_pb2.ModelInferRequest(model_name=model)
    for tensor in REQUEST:
        if tensor.name in part[0]:
            put(message, tensor, [values[tensor.name] for values in part])
    for output in (IMAGE if wanted.name == "raw" else ENCODED, RECIPE):
        message.outputs.add(name=output.name)
    return message


def settings(sample: Sample, wanted: Format, card: Card) -> Settings:
    """Return what a sample sets, as it is sent; nothing else.

    Raises InvalidRequest for what the card's model cannot do.
    """
    values: Settings = _source(sample, card)
    if sample.truncation is not None:
        values |= _truncation(sample.truncation, card)
    if sample.mix is not None:
        values |= _mix(sample.mix, card)
    if sample.directions:
        values["directions"] = [_directions(sample.directions, card)]
    if sample.ws_offset is not None:
        values["ws_offset"] = _code("ws_offset", sample.ws_offset, card)
    if sample.transform is not None:
        values["transform"] = sample.transform.matrix
    values |= _label(sample, card) | _noise(sample.noise, card) | _format(wanted)
    for tensor in REQUEST:
        if tensor.name in values and tensor.control not in {"", *card.controls}:
            raise InvalidRequest(
                f"{card.name} ({card.family}) takes no {tensor.name}, remove that setting"
            )
    return values


def _source(sample: Sample, card: Card) -> Settings:
    if sample.seed is not None:
        return {"seed": [sample.seed]}
    if sample.z is not None:
        return {"z": _z("z", sample.z, card)}
    assert sample.ws is not None  # a sample has one of the three
    if "psi" not in card.controls:
        raise InvalidRequest(
            f"{card.name} ({card.family}) has no average w to reach a ws from, give a seed or z"
        )
    return {"ws": _code("ws", sample.ws, card)}


def _z(name: str, z: Latent, card: Card) -> NDArray[np.float32]:
    if len(z) != card.z_dim:
        raise InvalidRequest(f"{name} has {len(z)} values, {card.name} expects {card.z_dim}")
    return z.astype(np.float32, copy=False)


def _code(name: str, code: Latent, card: Card) -> NDArray[np.float32]:
    """A code of W, or an offset in it, as [1, w_dim] or [num_ws, w_dim]."""
    rows = np.atleast_2d(code).astype(np.float32, copy=False)
    if card.w_dim and (len(rows) not in {1, card.num_ws} or rows.shape[1] != card.w_dim):
        raise InvalidRequest(
            f"{name} is {list(code.shape)}, {card.name} expects [{card.w_dim}] or "
            f"[{card.num_ws}, {card.w_dim}]"
        )
    return rows


def _truncation(truncation: Truncation, card: Card) -> Settings:
    _check_row("cutoff", truncation.cutoff, card)
    cutoff = -1 if truncation.cutoff is None else truncation.cutoff
    # Both are sent: a recommended cutoff must not join a psi that was asked for.
    values: Settings = {"psi": [truncation.psi], "cutoff": [cutoff]}
    return values | {"modes": [1]} if truncation.modes else values


def _label(sample: Sample, card: Card) -> Settings:
    if sample.class_idx is not None:
        return {"class": [checked_class(sample.class_idx, card)]}
    if sample.class_weights is not None:
        return {"c": soft_label(sample.class_weights, card)}
    return {}


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
    values: Settings = {}
    if mix.seed is not None:
        values["mix_seed"] = [mix.seed]
    if mix.z is not None:
        values["mix_z"] = _z("the z of the mix", mix.z, card)
    if mix.layers is None:
        return values | {"mix": _shares(mix, card)}
    layers.select(mix.layers, card.ws_resolutions)
    return values | {"mix_layers": [mix.layers]}


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


def checked_class(class_idx: int, card: Card) -> int:
    """Return the class; raises InvalidRequest where the card's model has none such."""
    if card.c_dim == 0:
        raise InvalidRequest(f"{card.name} is unconditional, remove the class ({class_idx})")
    if class_idx >= card.c_dim:
        raise InvalidRequest(f"class is {class_idx}, {card.name} expects 0 to {card.c_dim - 1}")
    return class_idx


def soft_label(weights: ClassWeights, card: Card) -> Sequence[float]:
    """The class vector, [c_dim]; raises InvalidRequest where the card's model has none such."""
    if isinstance(weights, Mapping):
        label = [0.0] * card.c_dim
        for class_idx, weight in weights.items():
            label[checked_class(class_idx, card)] = weight
        return label
    if card.c_dim and len(weights) != card.c_dim:
        raise InvalidRequest(
            f"there are {len(weights)} class weights, {card.name} has {card.c_dim} classes"
        )
    return weights


def decode(answer: Answer, model: str, part: Sequence[Settings], card: Card) -> list[Picture]:
    """Read the pictures of an answer, one for each of the samples that were asked for, in order.

    Raises RemoteError where the answer is not what the contract promises.
    """
    files: Sequence[bytes | None] = [None] * len(part)
    pixels: Sequence[Pixels | None] = [None] * len(part)
    if "format" in part[0]:
        files = texts(answer, ENCODED, len(part))
    else:
        pixels = list(array(answer, IMAGE, (len(part), card.height, card.width, card.channels)))
    return [
        Picture(
            model=model,
            seed=recipe.get("seed"),
            channels=card.channels,
            recipe=recipe,
            encoded=file,
            pixels=image,
        )
        for recipe, file, image in zip(_recipes(answer, part), files, pixels, strict=True)
    ]


def _recipes(answer: Answer, part: Sequence[Settings]) -> Iterator[dict[str, Any]]:
    for values, text in zip(part, texts(answer, RECIPE, len(part)), strict=True):
        name, latent = _noted(values)
        try:
            recipe = json.loads(text)
            made = recipe[name]
        except (ValueError, TypeError, KeyError) as exc:
            raise broken(answer, f"a recipe that is none ({text[:80]!r})") from exc
        if made != latent:
            made, asked = str(made)[:40], str(latent)[:40]
            raise broken(answer, f"the picture of {name} {made} where {asked} was asked for")
        yield recipe


def _noted(values: Settings) -> tuple[str, Any]:
    """The name of a sample's latent, and how a recipe notes it."""
    if "seed" in values:
        return "seed", values["seed"][0]
    name = "z" if "z" in values else "ws"
    raw = np.asarray(values[name], "<f4").tobytes()
    return name, base64.b64encode(raw).decode()
