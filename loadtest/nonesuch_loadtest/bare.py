"""Engines in this process, without a server: the ceiling of a served one, and the baseline."""

import importlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from google.protobuf import text_format
from numpy.typing import NDArray
from tritonclient.grpc import model_config_pb2 as pb

from nonesuch.card import Card
from nonesuch.contract import CARD, GRAPH, SEEDS
from nonesuch.errors import InvalidRequest, SetupError
from nonesuch.latents import latent
from nonesuch_loadtest import result
from nonesuch_loadtest.scenario import Request
from nonesuch_loadtest.target import Answer, Target

TORCH = "torch"  # the engine of a checkpoint that is run as it is

Feeds = dict[str, NDArray[Any]]


class Runs(Protocol):
    """A loaded network."""

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        """Pictures [N, H, W, C] for the graph's inputs by name."""


class Bare:
    """A network that makes one batch at a time, as behind an instance of a server.

    It draws what the card recommends: other settings change no time. No file is written, so the
    format plays no part.
    """

    aio = False

    def __init__(self, network: Runs, card: Card) -> None:
        self._network, self._card = network, card
        self._lock = threading.Lock()

    def prepare(self, request: Request, seed: int) -> Feeds:
        return feeds(self._card, [(seed + i) % SEEDS for i in range(request.batch)])

    def send(self, message: Feeds, timeout_s: float) -> NDArray[Any]:  # noqa: ARG002 (it ends)
        with self._lock:
            return self._network.run(message)

    def read(self, message: Feeds, answer: NDArray[Any]) -> Answer:  # noqa: ARG002 (no mark in it)
        return Answer(len(answer), answer.nbytes)

    def close(self) -> None:
        """Nothing to give back."""


def feeds(card: Card, seeds: Sequence[int]) -> Feeds:
    """The graph's inputs for some seeds as the card recommends, all else at rest."""
    given: Feeds = {}
    for tensor in GRAPH:
        if tensor.name not in card.controls:
            continue
        sizes = (getattr(card, size) if isinstance(size, str) else size for size in tensor.shape)
        dtype = np.int32 if tensor.dtype == "INT32" else np.float32
        given[tensor.name] = np.full((len(seeds), *sizes), tensor.neutral, dtype)
    z = np.concatenate([latent(seed, card.z_dim) for seed in seeds])
    given |= {name: z for name in ("z", "mix_z") if name in given}
    if "psi" in given:
        given["psi"][:, : card.cutoff] = card.psi
    if "transform" in given:
        given["transform"][:] = np.eye(3, dtype=np.float32)
    return given


class _Idle:
    """A network that has its pictures already."""

    def __init__(self, card: Card) -> None:
        self._shape = (card.height, card.width, card.channels)

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        count = len(next(iter(feeds.values())))
        return np.empty((count, *self._shape), np.uint8)


@dataclass(frozen=True, kw_only=True, slots=True)
class Engine:
    """The engine of a model in a model repository, or another plan of the same graph."""

    card: Card
    plan: Path  # or a checkpoint, where the card's engine is TORCH
    threads: int = 0  # of the CPU, 0 = one a core
    is_null: bool = False

    @classmethod
    def find(cls, repository: Path, model: str, threads: int = 0) -> "Engine":
        """Look into a model repository; raises InvalidRequest where it has no such model."""
        card = read_card(repository, model)
        file = _export("engine").ENGINES[card.engine].FILE
        return cls(card=card, plan=repository / f"{model}_generator" / "1" / file, threads=threads)

    @classmethod
    def eager(cls, repository: Path, model: str, checkpoint: Path) -> "Engine":
        """The checkpoint of a model by PyTorch as it is, without a compiler: the baseline.

        Raises CheckpointError for what is none, InvalidRequest for another model's.
        """
        card = read_card(repository, model)
        if (found := _export("checkpoint").read(checkpoint).digest()) != card.model_hash:
            raise InvalidRequest(
                f"{checkpoint} is not the checkpoint of {model}: its hash is {found[:12]}…, "
                f"the card's {card.model_hash[:12]}…"
            )
        return cls(card=replace(card, engine=TORCH, precision="fp32"), plan=checkpoint)

    def connect(self) -> Target:
        if self.is_null:
            return Bare(_Idle(self.card), self.card)
        if self.card.engine == TORCH:
            return Bare(_Eager(self.plan, self.card), self.card)
        module = _export("engine").ENGINES[self.card.engine]
        loaded = module.Engine(self.plan, precision=self.card.precision, threads=self.threads)
        return Bare(loaded, self.card)

    def about(self) -> result.Target:
        kind = "null" if self.is_null else "engine"
        configuration = {"threads": self.threads}
        models = (result.Model.of(self.card),)
        return result.Target(kind=kind, models=models, configuration=configuration)

    @contextmanager
    def null(self, requests: Sequence[Request]) -> Iterator["Engine"]:  # noqa: ARG002 (any)
        yield Engine(card=self.card, plan=self.plan, is_null=True)


def read_card(repository: Path, model: str) -> Card:
    """The card of a model in a model repository; raises InvalidRequest where there is none."""
    path = repository / model / "config.pbtxt"
    try:
        config = text_format.Parse(path.read_text(encoding="utf-8"), pb.ModelConfig())
    except (OSError, text_format.ParseError) as exc:
        raise InvalidRequest(f"cannot read model {model!r} in {repository}: {exc}") from exc
    if CARD not in config.parameters:
        raise InvalidRequest(f"{path} has no card: it is no model that nonesuch-export built")
    return Card.from_json(config.parameters[CARD].string_value)


class _Eager:
    """A network in PyTorch, on the GPU if there is one."""

    def __init__(self, checkpoint: Path, card: Card) -> None:
        torch = self._torch = importlib.import_module("torch")
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        network = _export("network").build(_export("checkpoint").read(checkpoint))
        network.crop = _export("crop").Crop.parse(card.crop) if card.crop else None
        self._graph = _export("graph").Pipeline(network).to(self._device)

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        torch = self._torch
        given = {name: torch.from_numpy(feed) for name, feed in feeds.items()}
        with torch.inference_mode():
            image = self._graph(*(given[name].to(self._device) for name in self._graph.names))
        pictures: NDArray[Any] = image.cpu().numpy()
        return pictures


def _export(module: str) -> Any:
    """A module of nonesuch_export, which need not be installed to test a server."""
    try:
        return importlib.import_module(f"nonesuch_export.{module}")
    except ModuleNotFoundError as exc:
        raise SetupError(
            f"{exc.name} is not installed; pip install 'nonesuch[export]' to run engines here"
        ) from exc
