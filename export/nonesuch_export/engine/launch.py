"""TensorRT's work on one batch size, captured once and repeated: a CUDA graph and its buffers."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray


class Launch:
    """All that one batch size needs on the GPU: buffers that keep their places, and a CUDA graph.

    A graph repeats the shapes and addresses of its capture, and belongs to the context that it
    was captured from; so each batch size has both. Raises ValueError where TensorRT refuses.
    """

    def __init__(
        self, context: Any, given: Mapping[str, NDArray[Any]], output: tuple[str, Any], stream: Any
    ) -> None:
        self._context, self._stream = context, stream
        self._sent = {n: torch.from_numpy(v.copy()).pin_memory() for n, v in given.items()}
        self._inputs = {n: torch.empty_like(t, device="cuda") for n, t in self._sent.items()}
        for name, tensor in self._inputs.items():
            _must(context.set_input_shape(name, tuple(tensor.shape)), "the shape")
            _must(context.set_tensor_address(name, tensor.data_ptr()), "an address")
        name, kind = output
        shape = tuple(context.get_tensor_shape(name))
        self._pinned = torch.from_numpy(np.empty(shape, kind)).pin_memory()
        self._result = torch.empty_like(self._pinned, device="cuda")
        _must(context.set_tensor_address(name, self._result.data_ptr()), "an address")
        self._enqueue()  # what a context puts off until its first run must not be in the graph
        stream.synchronize()
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, stream=stream):
            self._enqueue()

    def __call__(self, given: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        for name, tensor in self._sent.items():
            tensor.copy_(torch.from_numpy(given[name]))
        self._graph.replay()
        self._stream.synchronize()
        answer: NDArray[Any] = self._pinned.numpy().copy()
        return answer

    def _enqueue(self) -> None:
        for name, tensor in self._inputs.items():
            tensor.copy_(self._sent[name], non_blocking=True)
        _must(self._context.execute_async_v3(self._stream.cuda_stream), "the run")
        self._pinned.copy_(self._result, non_blocking=True)


def _must(done: bool, what: str) -> None:
    if not done:
        raise ValueError(f"{what} was refused")
