"""ONNX Runtime on an NVIDIA GPU: fp32, and fp16 where the graph has it.

Inputs and output of each batch size keep their places on the GPU, so that a run may repeat the
launches of the first one of its size, as a CUDA graph.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from tritonclient.grpc import model_config_pb2 as pb

from nonesuch.errors import ExportError
from nonesuch_export import precision as lowering

NAME = "onnxruntime-cuda"
BACKEND = "onnxruntime"
FILE = "model.onnx"
PRECISIONS: tuple[str, ...] = ("fp32", "fp16")

_PROVIDER = "CUDAExecutionProvider"
_DEVICE = "cuda"
_OPTIONS = {
    "use_tf32": "0",  # fp32 is to be fp32: TF32 has the digits of fp16
    "cudnn_conv_algo_search": "EXHAUSTIVE",
}
_TYPES = {"tensor(float)": np.float32, "tensor(int32)": np.int32, "tensor(uint8)": np.uint8}


def available() -> None:
    """Raise ExportError where this ONNX Runtime has no CUDA."""
    if _PROVIDER not in ort.get_available_providers():
        raise ExportError(
            "this ONNX Runtime has no CUDA; install onnxruntime-gpu in the place of onnxruntime"
        )


def compile(graph: Path, plan: Path, *, precision: str, max_batch: int) -> None:  # noqa: ARG001
    """Put the graph in the plan's place, in its precision."""
    if precision == "fp16":
        lowering.lower(graph, graph, precision)
    graph.replace(plan)


def configure(config: pb.ModelConfig, *, precision: str) -> None:  # noqa: ARG001 (it is in the plan)
    """Name the backend; without a GPU the model is not to load, instead of being slow."""
    config.backend = BACKEND
    config.instance_group[0].kind = pb.ModelInstanceGroup.KIND_GPU


@dataclass(frozen=True, slots=True)
class _Bound:
    """One batch size: its places on the GPU, and how a run names its CUDA graph."""

    places: Mapping[str, Any]
    binding: Any
    options: Any


class Engine:
    """A loaded graph on this machine's first GPU; `run` blocks.

    Raises ExportError where ONNX Runtime refuses the file or would run it elsewhere.
    """

    def __init__(self, plan: Path, *, precision: str, threads: int = 0) -> None:  # noqa: ARG002
        available()
        self._session = _session(plan)
        if (used := self._session.get_providers()[0]) != _PROVIDER:
            raise ExportError(f"ONNX Runtime runs on {used}, asked for {_PROVIDER}")
        self._types = {i.name: _TYPES[i.type] for i in self._session.get_inputs()}
        self.inputs: tuple[str, ...] = tuple(self._types)
        self._output = self._session.get_outputs()[0]
        self._bound: dict[int, _Bound] = {}

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        """The graph's one output for its inputs by name, with a common batch axis.

        Raises ExportError where the inputs are not those of this engine.
        """
        if missing := set(self.inputs) - set(feeds):
            raise ExportError(
                f"the engine takes {', '.join(sorted(missing))}, which this model lacks"
            )
        given = {n: np.ascontiguousarray(feeds[n], kind) for n, kind in self._types.items()}
        count = len(given[self.inputs[0]])
        try:
            if count not in self._bound:
                self._bound[count] = self._bind(given, count)
            bound = self._bound[count]
            for name, place in bound.places.items():
                place.update_inplace(given[name])
            self._session.run_with_iobinding(bound.binding, bound.options)
            answer: NDArray[Any] = bound.binding.get_outputs()[0].numpy()
        except Exception as exc:  # its exceptions share no public class
            raise ExportError(f"ONNX Runtime cannot run this: {str(exc)[:300]}") from exc
        return answer

    def _bind(self, given: Mapping[str, NDArray[Any]], count: int) -> _Bound:
        places = {n: ort.OrtValue.ortvalue_from_numpy(v, _DEVICE, 0) for n, v in given.items()}
        binding = self._session.io_binding()
        for name, place in places.items():
            binding.bind_ortvalue_input(name, place)
        shape = [count, *self._output.shape[1:]]
        result = ort.OrtValue.ortvalue_from_shape_and_type(
            shape, _TYPES[self._output.type], _DEVICE, 0
        )
        binding.bind_ortvalue_output(self._output.name, result)
        options = ort.RunOptions()
        options.add_run_config_entry("gpu_graph_id", str(count))
        return _Bound(places=places, binding=binding, options=options)


def _session(plan: Path) -> Any:
    """With CUDA graphs, where every node of the graph runs on the GPU; else without."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    refusals = []
    for graphs in ("1", "0"):
        provider = (_PROVIDER, {**_OPTIONS, "enable_cuda_graph": graphs})
        try:
            return ort.InferenceSession(plan, options, providers=[provider])
        except Exception as exc:  # noqa: BLE001 (its exceptions share no public class)
            refusals.append(str(exc)[:300])
    raise ExportError(f"ONNX Runtime refuses {plan.name}: {refusals[-1]}")
