"""A small server that speaks the protocol over loopback and can be told to misbehave.

It draws a picture from each seed by itself (of a z or a ws, from its first number) and takes byte
strings apart with tritonclient's own functions, which makes it an independent reader of our
messages.
"""

import base64
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Self

import grpc
import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc
from tritonclient.utils import deserialize_bytes_tensor, serialize_byte_tensor

from nonesuch.card import Card, Direction
from nonesuch.images import encode

Arrays = dict[str, NDArray[Any]]

_DTYPES = {"FP32": np.float32, "INT32": np.int32, "INT64": np.int64}


def card(name: str = "dots", **changes: Any) -> Card:
    """Return the card of an unconditional generator of 8x6 pictures, with changes."""
    values: dict[str, Any] = {
        "name": name,
        "family": "stylegan2",
        "height": 6,
        "width": 8,
        "channels": 3,
        "z_dim": 16,
        "w_dim": 16,
        "c_dim": 0,
        "num_ws": 4,
        "ws_resolutions": (4, 8, 8, 8),
        "noise_resolutions": (4, 8, 8),
        "controls": ("z", "mix_z", "mix", "psi", "ws_offset", "noise_scale", "noise_shift"),
        "directions": (Direction(name="smile", first=1, last=2),),
        "psi": 0.7,
        "max_batch": 4,
        "model_hash": "5eed",
        "source_sha256": "f11e",
        "engine": "onnxruntime",
        "precision": "fp32",
    }
    return Card(**values | changes)


def draw(seed: int, of: Card) -> NDArray[np.uint8]:
    """Return the picture that a peer has for a seed, [H, W, C]."""
    shape = (of.height, of.width, of.channels)
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


@dataclass
class Faults:
    """What goes wrong, by default nothing."""

    delay_s: Callable[[int], float] = lambda _seed: 0.0  # of the request with this first seed
    refused: Mapping[int, tuple[grpc.StatusCode, str]] = field(default_factory=dict)  # by seed
    lie: Callable[[Any], None] = lambda _answer: None  # changes each answer before it is sent
    unready: int = 0  # so many questions for readiness are answered with no


class Peer(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]  # untyped
    """The server; it listens while it is entered, and remembers what it was asked."""

    def __init__(self, *cards: Card, faults: Faults | None = None, port: int = 0) -> None:
        self.cards = {one.name: one for one in cards or (card(),)}
        parts = ("generator", "mapping", "sampler")
        self.parts = {f"{name}_{part}" for name in self.cards for part in parts}
        self.faults = faults or Faults()
        self.requests: list[Arrays] = []
        self.calls: list[str] = []
        self._port = port
        self.most_in_flight = 0
        self.cancelled = 0
        self._in_flight = 0
        self._change = threading.Condition()

    def __enter__(self) -> Self:
        self._server = grpc.server(ThreadPoolExecutor(16))
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(self, self._server)
        port = self._server.add_insecure_port(f"127.0.0.1:{self._port}")
        self.url = f"127.0.0.1:{port}"
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.vanish()

    def vanish(self) -> None:
        """Drop every connection at once."""
        self._server.stop(grace=0).wait()

    def busy(self, *, requests: int) -> None:
        """Wait until so many requests are under way, at most ten seconds."""
        with self._change:
            assert self._change.wait_for(lambda: self._in_flight >= requests, timeout=10)

    def asked(self, *, requests: int) -> None:
        """Wait until so many requests have come, at most ten seconds."""
        with self._change:
            assert self._change.wait_for(lambda: len(self.requests) >= requests, timeout=10)

    def settled(self) -> None:
        """Wait until no request is under way, at most ten seconds."""
        with self._change:
            assert self._change.wait_for(lambda: self._in_flight == 0, timeout=10)

    @property
    def seeds(self) -> list[list[int]]:
        """The seeds of each request, in the order of arrival."""
        return [_seeds(request) for request in self.requests]

    def ModelReady(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Say no as often as told, then yes to any model that is known."""
        self.calls.append("ModelReady")
        if request.name not in self.cards:
            context.abort(grpc.StatusCode.NOT_FOUND, f"unknown model: '{request.name}'")
        self.faults.unready -= 1
        return pb.ModelReadyResponse(ready=self.faults.unready < 0)

    def RepositoryIndex(self, _request: Any, _context: grpc.ServicerContext) -> Any:  # noqa: N802
        """List the models and their parts."""
        self.calls.append("RepositoryIndex")
        answer = pb.RepositoryIndexResponse()
        for name in (*self.cards, *self.parts):
            answer.models.add(name=name, version="1", state="READY")
        return answer

    def ModelConfig(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Return a configuration, with the card in that of an ensemble and of its sampler."""
        self.calls.append("ModelConfig")
        answer = pb.ModelConfigResponse()
        answer.config.name = request.name
        if request.name not in self.cards and request.name not in self.parts:
            context.abort(
                grpc.StatusCode.NOT_FOUND,
                f"Request for unknown model: '{request.name}' is not found",
            )
        answer.config.platform = "ensemble" if request.name in self.cards else ""
        if (of := self.cards.get(request.name.removesuffix("_sampler"))) is not None:
            answer.config.parameters["card"].string_value = of.to_json()
        return answer

    def ModelStatistics(self, request: Any, _context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Count all requests so far."""
        answer = pb.ModelStatisticsResponse()
        made = answer.model_stats.add(name=request.name, version="1")
        made.inference_stats.success.count = len(self.seeds)
        return answer

    def ModelInfer(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Draw the pictures, unless told to do something else."""
        with self._counted():
            inputs = _read(request)
            self.requests.append(inputs)
            seeds = _seeds(inputs)
            self._dawdle(self.faults.delay_s(seeds[0]), context)
            for seed in set(seeds) & set(self.faults.refused):
                context.abort(*self.faults.refused[seed])
            answer = _answer(request, inputs, self.cards[request.model_name.split("_")[0]])
            self.faults.lie(answer)
            return answer

    @contextmanager
    def _counted(self) -> Iterator[None]:
        with self._change:
            self._in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self._in_flight)
            self._change.notify_all()
        try:
            yield
        finally:
            with self._change:
                self._in_flight -= 1
                self._change.notify_all()

    def _dawdle(self, delay_s: float, context: grpc.ServicerContext) -> None:
        gone = threading.Event()
        if not context.add_callback(gone.set) or gone.wait(delay_s):
            with self._change:
                self.cancelled += 1


def _read(request: Any) -> Arrays:
    arrays: Arrays = {}
    for tensor, raw in zip(request.inputs, request.raw_input_contents, strict=True):
        if tensor.datatype == "BYTES":
            flat = deserialize_bytes_tensor(raw)
        else:
            flat = np.frombuffer(raw, _DTYPES[tensor.datatype])
        arrays[tensor.name] = flat.reshape(tensor.shape)
    return arrays


def _seeds(inputs: Arrays) -> list[int]:
    """What the pictures are drawn from."""
    latent = next(inputs[name] for name in ("seed", "z", "ws") if name in inputs)
    return [int(abs(first)) for first in latent.reshape(len(latent), -1)[:, 0]]


def _answer(request: Any, inputs: Arrays, of: Card) -> Any:
    images = np.stack([draw(seed, of) for seed in _seeds(inputs)])
    answer = pb.ModelInferResponse(model_name=request.model_name, model_version="1")
    for wanted in request.outputs:
        if wanted.name == "image":
            _put(answer, "image", images)
        elif wanted.name in {"w", "scores"}:
            _put(answer, wanted.name, mapped(wanted.name, inputs["z"], inputs.get("c"), of))
        else:
            make = _file if wanted.name == "encoded" else _recipe
            rows = [[make(inputs, i, images[i], of)] for i in range(len(images))]
            _put(answer, wanted.name, np.array(rows, object))
    return answer


def _put(answer: Any, name: str, values: NDArray[Any]) -> None:
    datatype = {"uint8": "UINT8", "float32": "FP32", "object": "BYTES"}[values.dtype.name]
    answer.outputs.add(name=name, datatype=datatype, shape=values.shape)
    content = serialize_byte_tensor(values).item() if datatype == "BYTES" else values.tobytes()
    answer.raw_output_contents.append(content)


def mapped(
    name: str, z: NDArray[np.float32], c: NDArray[np.float32] | None, of: Card
) -> NDArray[np.float32]:
    """What a peer's mapping makes of z [N, z_dim] and c [N, c_dim]: its w, or its scores."""
    w = 2 * z + (0 if c is None else c @ np.arange(1, of.c_dim + 1, dtype=np.float32)[:, None])
    return (w if name == "w" else w[:, : len(of.directions)]).astype(np.float32)


def _file(inputs: Arrays, row: int, image: NDArray[np.uint8], of: Card) -> bytes:
    recipe = json.loads(_recipe(inputs, row, image, of))
    return encode(image, inputs["format"][row, 0].decode(), [recipe])


def _recipe(inputs: Arrays, row: int, _image: NDArray[np.uint8], of: Card) -> bytes:
    values: dict[str, Any] = {"psi": of.psi, "cutoff": -1, "format": "jpeg", "quality": 90}
    for name, rows in inputs.items():
        if name in {"z", "ws"}:
            values[name] = base64.b64encode(rows[row].tobytes()).decode()
            continue
        row_values = [_plain(value) for value in rows[row].ravel()]
        values[name] = row_values[0] if len(row_values) == 1 else row_values
    return json.dumps({"model": of.name, "model_hash": of.model_hash, **values}).encode()


def _plain(value: Any) -> str | int | float:
    """A value as a recipe notes it: the shortest decimals that give a float32 back."""
    if isinstance(value, bytes):
        return value.decode()
    return float(str(value)) if isinstance(value, np.floating) else int(value)
