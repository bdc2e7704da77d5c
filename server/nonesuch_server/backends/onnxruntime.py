"""`backend: "onnxruntime"` for a Triton that has the Python backend only.

Runs in the server's Python stage and knows nothing of the rest of this package but `answers` and
`bound`. Serves `model.onnx` of a version folder where its instance is, on the CPU or a GPU, and
honours the real backend's parameters as far as they mean something; others are passed over, as the
real backend does.
"""

import math
import os
from typing import Any

import answers
import bound
import onnxruntime

# A CPU is fastest while a layer fits its cache: of several samples, so many run at once as answer
# this many values, on one core each.
_VALUES = 50_000
_THREADS = "intra_op_thread_count"
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
    """One instance; on a CPU each thread has samples of its own, but for one that finds all idle.

    Threads that share a layer wait for each other at its end; those with samples of their own never
    do (measured on two cores; StyleGAN2 at 128 pixels: 1.35 times as many pictures). Both forms
    hold the weights, so what serves one sample a run has the first one only.
    """

    def initialize(self, args: dict[str, str]) -> None:
        """Load the model; what is wrong with file or configuration becomes the load's failure."""
        model = answers.Model(args)
        # Without a kind in the configuration, Triton puts it on a GPU where the machine has one.
        if args["model_instance_kind"] == "GPU" and bound.available():
            self.line = _on_gpu(model, int(args["model_instance_device_id"]))
        else:
            self.line = _on_cpu(model)

    def execute(self, requests: list[Any]) -> None:
        """Have every request answered in its turn."""
        self.line.take(requests)

    def finalize(self) -> None:
        """Answer what is still there."""
        self.line.close()


def _on_cpu(model: Any) -> Any:
    path, threads = model.file("model.onnx"), _threads(model)
    alone = _session(path, _options(model, threads))
    inputs, outputs = alone.get_inputs(), alone.get_outputs()
    model.check([tensor.name for tensor in inputs], [tensor.name for tensor in outputs])
    each = [alone.run]
    if model.config["max_batch_size"] > 1 and threads > 1:
        each = [_session(path, _options(model, 1)).run] * threads
    largest = max(math.prod(map(int, tensor["dims"])) for tensor in model.config["output"])
    return answers.Line(model, alone.run, each, max(1, _VALUES // max(1, largest)))


def _on_gpu(model: Any, device: int) -> Any:
    """What waits when a run ends goes into the next, as a batch: a GPU has no threads to share."""
    session = bound.Session(model.file("model.onnx"), _options(model, 0), device)
    model.check(session.inputs, session.outputs)
    return answers.Line(model, session.run, [session.run], max(1, model.config["max_batch_size"]))


def _session(path: str, options: Any) -> Any:
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as exc:  # ONNX Runtime's errors have no class in common
        raise answers.refused(answers.sentence(exc)) from exc


def _threads(model: Any) -> int:
    """How many threads an instance has: as the configuration says, 0 or less = one a core."""
    value = model.parameters().get(_THREADS, "0")
    try:
        return max(0, int(value)) or len(os.sched_getaffinity(0))
    except ValueError as exc:
        raise answers.refused(f"parameter '{_THREADS}' cannot be '{value}'") from exc


def _options(model: Any, threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
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
