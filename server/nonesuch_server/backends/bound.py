"""ONNX Runtime on a GPU, for the shim of that name, beside which the server lays a copy.

Inputs and outputs of each batch size keep their places on the GPU, so that a run may repeat the
launches of the first one of its size, as a CUDA graph.
"""

from typing import Any, NamedTuple

import answers
import numpy as np
import onnxruntime

_PROVIDER = "CUDAExecutionProvider"
_DEVICE = "cuda"
_TYPES = {
    "tensor(float)": np.float32,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(uint8)": np.uint8,
}


def available() -> bool:
    """Whether this ONNX Runtime is the one for CUDA: the server sees to it where a model asks."""
    return _PROVIDER in onnxruntime.get_available_providers()


class Bound(NamedTuple):
    """One batch size: its places on the GPU, and how a run names its CUDA graph."""

    places: dict[str, Any]
    binding: Any
    options: Any


class Session:
    """A loaded graph on one GPU; `run` blocks, and is not for two threads at once."""

    def __init__(self, path: str, options: Any, device: int) -> None:
        """Fail the load where ONNX Runtime refuses the file, or would run it elsewhere."""
        self._device = device
        onnxruntime.preload_dlls(directory="")  # CUDA's own, from packages beside it
        self._session = _session(path, options, device)
        if (used := self._session.get_providers()[0]) != _PROVIDER:
            raise answers.refused(f"ONNX Runtime runs on {used}, asked for {_PROVIDER}")
        self._types = {i.name: _TYPES[i.type] for i in self._session.get_inputs()}
        self._outputs = self._session.get_outputs()
        self.inputs = list(self._types)
        self.outputs = [tensor.name for tensor in self._outputs]
        self._bound: dict[int, Bound] = {}

    def run(self, wanted: list[str], feed: dict[str, Any]) -> list[Any]:
        """The wanted outputs of a batch; the first of its size is slow."""
        given = {n: np.ascontiguousarray(feed[n], kind) for n, kind in self._types.items()}
        count = len(next(iter(given.values())))
        if count not in self._bound:
            self._bound[count] = self._bind(given, count)
        bound = self._bound[count]
        for name, place in bound.places.items():
            place.update_inplace(given[name])
        self._session.run_with_iobinding(bound.binding, bound.options)
        made = dict(zip(self.outputs, bound.binding.copy_outputs_to_cpu(), strict=True))
        return [made[name] for name in wanted]

    def _bind(self, given: dict[str, Any], count: int) -> Bound:
        places = {
            name: onnxruntime.OrtValue.ortvalue_from_numpy(array, _DEVICE, self._device)
            for name, array in given.items()
        }
        binding = self._session.io_binding()
        for name, place in places.items():
            binding.bind_ortvalue_input(name, place)
        for output in self._outputs:
            shape = [count, *output.shape[1:]]
            result = onnxruntime.OrtValue.ortvalue_from_shape_and_type(
                shape, _TYPES[output.type], _DEVICE, self._device
            )
            binding.bind_ortvalue_output(output.name, result)
        options = onnxruntime.RunOptions()
        options.add_run_config_entry("gpu_graph_id", str(count))
        return Bound(places, binding, options)


def _session(path: str, options: Any, device: int) -> Any:
    """With CUDA graphs, where every node of the graph runs on the GPU; else without."""
    chosen = {
        "device_id": str(device),
        "use_tf32": "0",  # fp32 is to be fp32: TF32 has the digits of fp16
        "cudnn_conv_algo_search": "EXHAUSTIVE",
    }
    refusal = ""
    for graphs in ("1", "0"):
        provider = (_PROVIDER, {**chosen, "enable_cuda_graph": graphs})
        try:
            return onnxruntime.InferenceSession(path, options, providers=[provider])
        except Exception as exc:  # noqa: BLE001 (its errors have no class in common)
            refusal = answers.sentence(exc)
    raise answers.refused(refusal)
