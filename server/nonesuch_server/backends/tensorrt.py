"""`backend: "tensorrt"` for a Triton that has the Python backend only, on a machine with a GPU.

Runs in the server's Python stage and knows nothing of the rest of this package but `answers`.
Serves the `model.plan` of a version folder on the GPU of its instance. Inputs and outputs keep
their places there and in pinned memory, and each batch size's launches are captured when the model
loads, and repeated as a CUDA graph. It takes plans of TensorRT for RTX too, which Triton does not.
"""

import ctypes
import importlib
import math
from typing import Any

import answers
import numpy as np
from cuda.bindings import runtime as cuda

_PACKAGES = ("tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings")  # the same interface


class TritonPythonModel:
    """One instance, on one GPU: what waits when a run ends goes into the next, as a batch."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the plan; what is wrong with it or the machine becomes the load's failure."""
        model = answers.Model(args)
        most = max(1, model.config["max_batch_size"])
        try:
            engine = Engine(model.file("model.plan"), int(args["model_instance_device_id"]))
            model.check(engine.inputs, engine.outputs)
            engine.prepare(most if model.batched else 0)
        except Refusal as exc:
            raise answers.refused(answers.sentence(exc)) from exc
        self.line = answers.Line(model, engine.run, [engine.run], most)

    def execute(self, requests: list[Any]) -> None:
        """Have every request answered in its turn."""
        self.line.take(requests)

    def finalize(self) -> None:
        """Answer what is still there."""
        self.line.close()


class Refusal(Exception):
    """Raised where CUDA or TensorRT does not do what it is asked for, with their reason."""


class Engine:
    """A plan on a GPU; `run` blocks, and is not for two threads at once."""

    def __init__(self, path: str, device: int) -> None:
        """Raises Refusal without a GPU, or where the plan is another machine's."""
        self._device = device
        _done(cuda.cudaSetDevice(device))
        trt = _library()
        self._log = _log(trt)  # all of these must live as long as the contexts
        self._runtime = trt.Runtime(self._log)
        with open(path, "rb") as file:  # noqa: PTH123
            self._engine = self._runtime.deserialize_cuda_engine(file.read())
        if self._engine is None:
            raise self._refusal("the plan does not load")
        names = [self._engine.get_tensor_name(i) for i in range(self._engine.num_io_tensors)]
        modes = {name: self._engine.get_tensor_mode(name) for name in names}
        self.inputs = [n for n in names if modes[n] == trt.TensorIOMode.INPUT]
        self.outputs = [n for n in names if modes[n] != trt.TensorIOMode.INPUT]
        self._types = {n: np.dtype(trt.nptype(self._engine.get_tensor_dtype(n))) for n in names}
        self._contexts = trt.ExecutionContextAllocationStrategy.USER_MANAGED
        self.stream = _done(cuda.cudaStreamCreateWithFlags(cuda.cudaStreamNonBlocking))
        self._launches: dict[int, Launch] = {}

    def prepare(self, most: int) -> None:
        """Capture a run of every batch size up to `most`, or of the plan's only shape for 0.

        What does not fit the GPU or the plan fails here, not in a request. Batch sizes run one
        after the other: they share their places and the memory for what is between layers.
        """
        size = max(1, self._engine.device_memory_size_v2)
        scratch = _done(cuda.cudaMalloc(size))
        places = {n: Place(self._bytes(n, self._shape(n, most))) for n in self._types}
        for count in range(1, most + 1) if most else [0]:
            del self._log.lines[:]
            context = self._engine.create_execution_context(self._contexts)
            if context is None:
                raise self._refusal("the plan does not start")
            context.set_device_memory(scratch, size)
            self._launches[count] = Launch(self, context, self._bind(context, places, count))

    def run(self, wanted: list[str], feed: dict[str, Any]) -> list[Any]:
        """The wanted outputs of a batch. Raises Refusal where the GPU fails."""
        _done(cuda.cudaSetDevice(self._device))  # the thread that asks may be a new one
        if missing := set(self.inputs) - set(feed):
            raise Refusal(f"the engine takes {', '.join(sorted(missing))}, which was not sent")
        launch = self._launches.get(0) or self._launches[len(feed[self.inputs[0]])]
        made = launch(feed)
        return [made[name].copy() for name in wanted]  # their places are the next run's

    def begin(self, context: Any) -> None:
        """Let the GPU run, behind what it has been given before."""
        if not context.execute_async_v3(int(self.stream)):
            raise self._refusal("the plan does not run")

    def _bind(self, context: Any, places: dict[str, "Place"], count: int) -> dict[str, "Part"]:
        """Tell a context its shapes and places; returns the parts of these that it uses."""
        parts = {}
        for name, place in places.items():
            shape = self._shape(name, count)
            if name in self.inputs and not context.set_input_shape(name, shape):
                raise self._refusal(f"the plan does not take {name} as {list(shape)}")
            if not context.set_tensor_address(name, place.there):
                raise self._refusal(f"{name} finds no place")
            parts[name] = Part(place, shape, self._types[name], self._bytes(name, shape))
        return parts

    def _shape(self, name: str, count: int) -> tuple[int, ...]:
        first, *rest = self._engine.get_tensor_shape(name)
        if count and first not in {-1, count}:
            raise Refusal(f"the plan takes batches of {first} only, not of {count}")
        return (count if count else first, *rest)

    def _bytes(self, name: str, shape: tuple[int, ...]) -> int:
        size: int = math.prod(shape) * self._types[name].itemsize
        return size

    def _refusal(self, words: str) -> Refusal:
        """TensorRT gives its reasons to its log alone."""
        return Refusal("; ".join(dict.fromkeys([words, *self._log.lines])))


class Place:
    """Memory on the GPU, and as much here that the GPU copies from and to by itself."""

    def __init__(self, size: int) -> None:
        self.there = _done(cuda.cudaMalloc(size))
        self.here = _done(cuda.cudaMallocHost(size))


class Part:
    """The beginning of a place, as a tensor."""

    def __init__(self, place: Place, shape: tuple[int, ...], kind: Any, size: int) -> None:
        self.place, self.size = place, size
        held: Any = (ctypes.c_uint8 * size).from_address(place.here)
        self.array = np.frombuffer(held, kind).reshape(shape)


class Launch:
    """All that one batch size needs: a context, its parts of the places, and a CUDA graph.

    A graph repeats the shapes and addresses of its capture, and belongs to the context that it
    was captured from.
    """

    def __init__(self, engine: Engine, context: Any, parts: dict[str, Part]) -> None:
        self._engine, self._context, self._parts = engine, context, parts
        self._stream = engine.stream
        for name in engine.inputs:
            parts[name].array.fill(0)
        self._enqueue()  # what a context puts off until its first run must not be in the graph
        _done(cuda.cudaStreamSynchronize(self._stream))
        mode = cuda.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        _done(cuda.cudaStreamBeginCapture(self._stream, mode))
        self._enqueue()
        graph = _done(cuda.cudaStreamEndCapture(self._stream))
        self._graph = _done(cuda.cudaGraphInstantiate(graph, 0))

    def __call__(self, feed: dict[str, Any]) -> dict[str, Any]:
        for name in self._engine.inputs:
            np.copyto(self._parts[name].array, feed[name])
        _done(cuda.cudaGraphLaunch(self._graph, self._stream))
        _done(cuda.cudaStreamSynchronize(self._stream))
        return {name: self._parts[name].array for name in self._engine.outputs}

    def _enqueue(self) -> None:
        kinds = cuda.cudaMemcpyKind
        for name in self._engine.inputs:
            part = self._parts[name]
            self._copy(part.place.there, part.place.here, part.size, kinds.cudaMemcpyHostToDevice)
        self._engine.begin(self._context)
        for name in self._engine.outputs:
            part = self._parts[name]
            self._copy(part.place.here, part.place.there, part.size, kinds.cudaMemcpyDeviceToHost)

    def _copy(self, to: int, source: int, size: int, kind: Any) -> None:
        _done(cuda.cudaMemcpyAsync(to, source, size, kind, self._stream))


def _library() -> Any:
    """TensorRT, or else TensorRT for RTX, whichever the models' environment has."""
    for name in _PACKAGES:
        try:
            return importlib.import_module(name)
        except (ImportError, OSError):  # OSError: its shared libraries are missing
            continue
    raise Refusal("the models' environment has no TensorRT that loads")


def _done(answer: tuple[Any, ...]) -> Any:
    """What a call of CUDA gives; Refusal with CUDA's reason where it failed."""
    error, *given = answer
    if int(error):
        _, words = cuda.cudaGetErrorString(error)
        raise Refusal(f"CUDA says: {words.decode()}")
    return given[0] if given else None


def _log(trt: Any) -> Any:
    class Log(trt.ILogger):  # type: ignore[misc]
        """Keeps errors; all else is talk."""

        def __init__(self) -> None:
            super().__init__()
            self.lines: list[str] = []

        def log(self, severity: Any, text: str) -> None:
            if severity <= trt.ILogger.Severity.ERROR:
                self.lines.append(text)

    return Log()
