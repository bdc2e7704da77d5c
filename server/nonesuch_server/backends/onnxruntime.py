"""`backend: "onnxruntime"` for a Triton that has the Python backend only.

Runs in the server's Python stage and knows nothing of the rest of this package but `answers`.
Serves `model.onnx` of a version folder on the CPU and honours the real backend's parameters as
far as they mean something there; others are passed over, as the real backend does.
"""

import math
from typing import Any

import answers
import numpy as np
import onnxruntime

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
        model = answers.Model(args)
        self.session = _session(model.file("model.onnx"), _options(model))
        inputs, outputs = self.session.get_inputs(), self.session.get_outputs()
        model.check([tensor.name for tensor in inputs], [tensor.name for tensor in outputs])
        largest = max(math.prod(map(int, tensor["dims"])) for tensor in model.config["output"])
        self.rows = max(1, _VALUES // max(1, largest))  # samples in a run
        self.batched = model.batched
        self.answers = answers.Answers(model, self._run)

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer every request."""
        result: list[Any] = self.answers.to(requests)
        return result

    def _run(self, wanted: list[str], feed: dict[str, Any]) -> list[Any]:
        count = len(next(iter(feed.values()))) if self.batched and feed else 0
        if count <= self.rows:
            result: list[Any] = self.session.run(wanted, feed)
            return result
        runs = [
            self.session.run(wanted, {n: a[i : i + self.rows] for n, a in feed.items()})
            for i in range(0, count, self.rows)
        ]
        return [np.concatenate(parts) for parts in zip(*runs, strict=True)]


def _session(path: str, options: Any) -> Any:
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as exc:  # ONNX Runtime's errors have no class in common
        raise answers.refused(answers.sentence(exc)) from exc


def _options(model: Any) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # A pool that spins while it waits takes the cores from its neighbours in the pipeline.
    options.add_session_config_entry(_SPINNING, "0")
    graph = model.config.get("optimization", {}).get("graph", {})
    options.graph_optimization_level = _LEVELS[int(graph.get("level", 0))]
    for key, value in model.parameters().items():
        _set(options, key, value)
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
        raise answers.refused(f"parameter '{key}' cannot be '{value}'") from exc
