"""A GPU of plain memory: as much of CUDA's and TensorRT's interfaces as a shim calls.

Work waits on the stream until somebody synchronises, and addresses are checked, so that what would
be read too early, too far or from a wrong place on a GPU is wrong here too. It cannot tell whether
TensorRT accepts the calls: the tests marked `gpu` do.
"""

import ctypes
import json
import math
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np

FLOAT, UINT8 = "float32", "uint8"
_WORDS = {1: b"invalid argument", 2: b"out of memory", 100: b"no CUDA-capable device is detected"}


@dataclass
class Gpu:
    """Memory, and one stream."""

    devices: int = 1
    limit: int = 10**6  # bytes
    held: dict[int, Any] = field(default_factory=dict)  # by address
    queue: list[Callable[[], None]] = field(default_factory=list)
    captured: list[Callable[[], None]] | None = None
    runs: list[int] = field(default_factory=list)  # batch sizes that were computed

    def give(self, size: int) -> tuple[int, int]:
        if sum(map(len, self.held.values())) + size > self.limit:
            return 2, 0
        block = (ctypes.c_uint8 * size)()
        ctypes.memset(block, 0xCD, size)  # what was there before
        self.held[ctypes.addressof(block)] = block
        return 0, ctypes.addressof(block)

    def holds(self, address: int, size: int) -> bool:
        return any(a <= address and address + size <= a + len(b) for a, b in self.held.items())

    def add(self, work: Callable[[], None]) -> None:
        (self.queue if self.captured is None else self.captured).append(work)

    def cuda(self) -> Any:
        """The module `cuda.bindings.runtime`."""
        found: Any = types.ModuleType("runtime")
        found.cudaStreamNonBlocking = 1
        found.cudaStreamCaptureMode = types.SimpleNamespace(cudaStreamCaptureModeThreadLocal=1)
        found.cudaMemcpyKind = types.SimpleNamespace(
            cudaMemcpyHostToDevice=1, cudaMemcpyDeviceToHost=2
        )
        found.cudaGetErrorString = lambda error: (0, _WORDS[error])
        found.cudaSetDevice = lambda device: (0 if device < self.devices else 100,)
        found.cudaMalloc = found.cudaMallocHost = self.give
        found.cudaStreamCreateWithFlags = lambda flags: (0, 7 if flags == 1 else 0)
        found.cudaStreamSynchronize = self._synchronize
        found.cudaMemcpyAsync = self._copy
        found.cudaStreamBeginCapture = self._begin
        found.cudaStreamEndCapture = self._end
        found.cudaGraphInstantiate = lambda graph, _: (0, tuple(graph))
        found.cudaGraphLaunch = self._launch
        return found

    def _synchronize(self, _stream: int) -> tuple[int]:
        for work in self.queue:
            work()
        self.queue.clear()
        return (0,)

    def _launch(self, graph: Sequence[Callable[[], None]], _stream: int) -> tuple[int]:
        self.queue.extend(graph)
        return (0,)

    def _copy(self, to: int, source: int, size: int, _kind: int, _stream: int) -> tuple[int]:
        if not (self.holds(to, size) and self.holds(source, size)):
            return (1,)

        def work() -> None:
            ctypes.memmove(to, source, size)

        self.add(work)
        return (0,)

    def _begin(self, _stream: int, _mode: int) -> tuple[int]:
        assert not self.queue, "a capture begins with nothing under way"
        self.captured = []
        return (0,)

    def _end(self, _stream: int) -> tuple[int, Any]:
        graph, self.captured = self.captured, None
        return 0, graph


@dataclass(frozen=True)
class Plan:
    """A picture of four pixels, all of them x, and the double of x."""

    least: int = 1
    most: int = 8
    static: int = 0  # the only batch, if not 0

    def to_bytes(self) -> bytes:
        return json.dumps(vars(self)).encode()

    @property
    def batch(self) -> int:
        return self.static or -1

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"x": (self.batch, 1), "image": (self.batch, 2, 2), "double": (self.batch, 1)}


TYPES = {"x": FLOAT, "image": UINT8, "double": FLOAT}


class Mode(IntEnum):
    """TensorIOMode."""

    INPUT = 1
    OUTPUT = 2


class Severity(IntEnum):
    """ILogger.Severity."""

    ERROR = 1
    INFO = 3


class Logger:
    """ILogger, whose heirs say what becomes of a line."""

    Severity = Severity


def tensorrt(gpu: Gpu) -> Any:
    """The module `tensorrt`, for a GPU."""
    found: Any = types.ModuleType("tensorrt")
    found.ILogger, found.TensorIOMode = Logger, Mode
    found.ExecutionContextAllocationStrategy = types.SimpleNamespace(USER_MANAGED=2)
    found.nptype = np.dtype
    found.Runtime = lambda log: Runtime(gpu, log)
    return found


@dataclass
class Runtime:
    """Loads plans."""

    gpu: Gpu
    log: Any

    def deserialize_cuda_engine(self, plan: bytes) -> Any:
        self.log.log(Severity.INFO, "Loaded engine size: 0 MiB")
        try:
            return Engine(self.gpu, self.log, Plan(**json.loads(plan)))
        except ValueError:
            self.log.log(Severity.ERROR, "The engine plan file is not compatible with this version")
            return None


@dataclass
class Engine:
    """ICudaEngine."""

    gpu: Gpu
    log: Any
    plan: Plan
    num_io_tensors: int = 3
    device_memory_size_v2: int = 64

    def get_tensor_name(self, i: int) -> str:
        return list(self.plan.shapes)[i]

    def get_tensor_mode(self, name: str) -> Mode:
        return Mode.INPUT if name == "x" else Mode.OUTPUT

    def get_tensor_dtype(self, name: str) -> str:
        return TYPES[name]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self.plan.shapes[name]

    def create_execution_context(self, strategy: int) -> Any:
        assert strategy == 2
        return Context(self)


@dataclass
class Context:
    """IExecutionContext."""

    engine: Engine
    scratch: int = 0
    count: int = 0
    places: dict[str, int] = field(default_factory=dict)

    def set_device_memory(self, address: int, size: int) -> None:
        assert self.engine.gpu.holds(address, size)
        self.scratch = address

    def set_input_shape(self, name: str, shape: Sequence[int]) -> bool:
        plan = self.engine.plan
        if tuple(shape)[1:] != plan.shapes[name][1:] or not plan.least <= shape[0] <= plan.most:
            words = f"{name}: no profile has the shape {shape}"
            self.engine.log.log(Severity.ERROR, words)
            return False
        self.count = shape[0]
        return True

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.places[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        assert (stream, self.scratch in self.engine.gpu.held) == (7, True)
        for name, shape in self.engine.plan.shapes.items():
            size = self.count * math.prod(shape[1:]) * np.dtype(TYPES[name]).itemsize
            assert self.engine.gpu.holds(self.places[name], size)
        self.engine.gpu.add(self._compute)
        return True

    def _compute(self) -> None:
        x = self._tensor("x")
        self._tensor("image")[:] = x[:, :, None]
        self._tensor("double")[:] = 2 * x
        self.engine.gpu.runs.append(self.count)

    def _tensor(self, name: str) -> Any:
        shape = (self.count, *self.engine.plan.shapes[name][1:])
        kind = np.dtype(TYPES[name])
        held: Any = (ctypes.c_uint8 * (math.prod(shape) * kind.itemsize)).from_address(
            self.places[name]
        )
        return np.frombuffer(held, kind).reshape(shape)
