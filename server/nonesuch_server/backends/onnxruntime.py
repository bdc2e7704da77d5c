"""`backend: "onnxruntime"` for a Triton that has the Python backend only.

Runs in the server's Python stage and knows nothing of the rest of this package. Serves
`model.onnx` of a version folder on the CPU and honours the real backend's parameters as far as
they mean something there; others are passed over, as the real backend does.
"""

import json
import math
import os
from typing import Any

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils

# A CPU is fastest while a layer fits its cache: runs that answer more than this many values are
# cut into smaller ones (measured on two cores; StyleGAN2 at 256 pixels: 1.2 times as fast as
# runs of eight samples).
_VALUES = 200_000
_SPINNING = "session.intra_op.allow_spinning"
_LEVELS = {  # `optimization { graph { level } }`, in the real backend's numbers
    -1: onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    0: onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
    1: onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    2: onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
}
_MODES = {
    "0": onnxruntime.ExecutionMode.ORT_SEQUENTIAL,
    "1": onnxruntime.ExecutionMode.ORT_PARALLEL,
}


class TritonPythonModel:
    """One instance: a session of its own, which runs the waiting requests together."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the model; what is wrong with file or configuration becomes the load's failure."""
        if int(np.__version__.split(".")[0]) >= 2:
            raise _refused(f"numpy is {np.__version__}, expected 1.26: numpy 2 corrupts tensors")
        config = json.loads(args["model_config"])
        self.name = args["model_name"]
        self.batched = config["max_batch_size"] > 0
        self.inputs = [tensor["name"] for tensor in config["input"]]
        file = config.get("default_model_filename") or "model.onnx"
        path = os.path.join(args["model_repository"], args["model_version"], file)  # noqa: PTH118
        self.session = _session(path, _options(config))
        _check_names("input", self.inputs, self.session.get_inputs())
        outputs = [tensor["name"] for tensor in config["output"]]
        _check_names("output", outputs, self.session.get_outputs())
        largest = max(math.prod(map(int, tensor["dims"])) for tensor in config["output"])
        self.rows = max(1, _VALUES // max(1, largest))  # samples in a run

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer every request; the engine's failure becomes the answer of each in its run."""
        if self.batched:
            return self._answers(requests)
        return [answer for request in requests for answer in self._answers([request])]

    def _answers(self, requests: list[Any]) -> list[Any]:
        try:
            return self._run(requests)
        except Exception as exc:  # noqa: BLE001 - an exception would show the client our paths
            error = pb_utils.TritonError(
                f"model '{self.name}' failed: {_sentence(exc)}", pb_utils.TritonError.INTERNAL
            )
            return [pb_utils.InferenceResponse(error=error) for _ in requests]

    def _run(self, requests: list[Any]) -> list[Any]:
        wanted = sorted({name for request in requests for name in request.requested_output_names()})
        feed = {}
        for name in self.inputs:
            tensors = [pb_utils.get_input_tensor_by_name(request, name) for request in requests]
            if tensors[0] is not None:  # an optional one that these requests do without
                feed[name] = _joined([tensor.as_numpy() for tensor in tensors])
                cuts = np.cumsum([tensor.shape()[0] for tensor in tensors])[:-1]
        outputs = dict(zip(wanted, self._outputs(wanted, feed), strict=True))
        if len(requests) == 1:
            return [_response(requests[0], outputs)]
        parts = {name: np.split(value, cuts) for name, value in outputs.items()}
        return [
            _response(request, {name: part[i] for name, part in parts.items()})
            for i, request in enumerate(requests)
        ]

    def _outputs(self, wanted: list[str], feed: dict[str, Any]) -> list[Any]:
        count = len(next(iter(feed.values()))) if self.batched and feed else 0
        if count <= self.rows:
            result: list[Any] = self.session.run(wanted, feed)
            return result
        runs = [
            self.session.run(wanted, {n: a[i : i + self.rows] for n, a in feed.items()})
            for i in range(0, count, self.rows)
        ]
        return [np.concatenate(parts) for parts in zip(*runs, strict=True)]


def _joined(arrays: list[Any]) -> Any:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _response(request: Any, outputs: dict[str, Any]) -> Any:
    names = request.requested_output_names()
    return pb_utils.InferenceResponse([pb_utils.Tensor(name, outputs[name]) for name in names])


def _session(path: str, options: Any) -> Any:
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as exc:  # ONNX Runtime's errors have no class in common
        raise _refused(_sentence(exc)) from exc


def _options(config: dict[str, Any]) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # A pool that spins while it waits takes the cores from its neighbours in the pipeline.
    options.add_session_config_entry(_SPINNING, "0")
    graph = config.get("optimization", {}).get("graph", {})
    options.graph_optimization_level = _LEVELS[int(graph.get("level", 0))]
    for key, value in config.get("parameters", {}).items():
        _set(options, key, value["string_value"])
    return options


def _set(options: Any, key: str, value: str) -> None:
    try:
        match key:
            case "intra_op_thread_count":
                options.intra_op_num_threads = int(value)  # 0 = one for each core
            case "inter_op_thread_count":
                options.inter_op_num_threads = int(value)
            case "execution_mode":
                options.execution_mode = _MODES[value]
            case "enable_mem_arena":
                options.enable_cpu_mem_arena = bool(int(value))
            case "enable_mem_pattern":
                options.enable_mem_pattern = bool(int(value))
            case _ if key.startswith("session."):
                options.add_session_config_entry(key, value)
    except (ValueError, KeyError) as exc:
        raise _refused(f"parameter '{key}' cannot be '{value}'") from exc


def _check_names(kind: str, wanted: list[str], tensors: list[Any]) -> None:
    there = [tensor.name for tensor in tensors]
    if missing := [name for name in wanted if name not in there]:
        raise _refused(
            f"the configuration names the {kind} {', '.join(missing)}, "
            f"the model has {', '.join(there)}"
        )


def _refused(text: str) -> Exception:
    refused: Exception = pb_utils.TritonModelException(text)
    return refused


def _sentence(exc: Exception) -> str:
    """The error's words in one line, without the runtime's name, number and code."""
    words = " ".join(str(exc).split())
    if words.startswith("[ONNXRuntimeError]"):
        words = words.split(" : ", 3)[-1]
    return words[:400]
