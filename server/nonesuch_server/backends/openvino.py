"""`backend: "openvino"` for a Triton that has the Python backend only.

Runs in the server's Python stage and knows nothing of the rest of this package but `answers`.
Serves `model.xml` with `model.bin`, or another file that OpenVINO reads, on the CPU. Of the real
backend's parameters it honours INFERENCE_NUM_THREADS and NUM_STREAMS, and HINT_BF16 in that the
CPU must have bf16: what is computed in it, the plan's own types say. The real one compiles for
one batch size and fills smaller batches up; this one runs each sample by itself.
"""

import os
from functools import partial
from typing import Any

import answers
import openvino

_DEVICE = "CPU"
_COMPILED = {
    # Leaves the plan's types as they are; OpenVINO's own choice would be bf16 for all of it.
    "INFERENCE_PRECISION_HINT": "f32",
    # Pinned threads would share a core with those of another model.
    "ENABLE_CPU_PINNING": False,
}


class TritonPythonModel:
    """One instance: each sample runs on a stream, but for one that comes when all are idle.

    A free batch axis costs OpenVINO a third of its speed, and on a CPU a picture in a batch is no
    cheaper than one alone; streams never wait for each other within a layer. Both forms hold the
    weights, so what serves one sample a run has no streams.
    """

    def initialize(self, args: dict[str, str]) -> None:
        """Load the model; what is wrong with file or configuration becomes the load's failure."""
        model = answers.Model(args)
        threads = _number(model, "INFERENCE_NUM_THREADS") or len(os.sched_getaffinity(0))
        streams = _number(model, "NUM_STREAMS") or threads
        core = openvino.Core()
        _check_precision(core, model)
        try:
            plan = core.read_model(model.file("model.xml"))
            names = [[p.any_name for p in ports] for ports in (plan.inputs, plan.outputs)]
            model.check(*names)
            (alone,) = each = _runs(core, plan, model, threads, 1)
            if model.config["max_batch_size"] > 1 and streams > 1:
                each = _runs(core, plan, model, threads, streams)
        except RuntimeError as exc:
            raise answers.refused(answers.sentence(exc)) from exc
        self.line = answers.Line(model, alone, each)

    def execute(self, requests: list[Any]) -> None:
        """Have every request answered in its turn."""
        self.line.take(requests)

    def finalize(self) -> None:
        """Answer what is still there."""
        self.line.close()


def _runs(core: Any, plan: Any, model: Any, threads: int, streams: int) -> list[answers.Run]:
    """What runs a sample, for each of the streams."""
    if model.batched:
        plan.reshape({i.any_name: [1, *list(i.partial_shape)[1:]] for i in plan.inputs})
    options = {**_COMPILED, "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": streams}
    compiled = core.compile_model(plan, _DEVICE, options)
    return [partial(_run, compiled.create_infer_request()) for _ in range(streams)]


def _run(request: Any, wanted: list[str], feed: dict[str, Any]) -> list[Any]:
    request.infer(feed, share_inputs=True)
    return [request.get_tensor(name).data.copy() for name in wanted]


def _check_precision(core: Any, model: Any) -> None:
    wanted = model.parameters().get("HINT_BF16", "").upper() == "YES"
    if wanted and "BF16" not in core.get_property(_DEVICE, "OPTIMIZATION_CAPABILITIES"):
        name = core.get_property(_DEVICE, "FULL_DEVICE_NAME")
        raise answers.refused(f"this machine's CPU ({name}) has no bf16; build the model in fp32")


def _number(model: Any, key: str) -> int:
    """A parameter as a number; 0 = OpenVINO's AUTO and NUMA, or not there."""
    value = model.parameters().get(key, "0").upper()
    try:
        return 0 if value in {"AUTO", "NUMA"} else int(value)
    except ValueError as exc:
        raise answers.refused(f"parameter '{key}' cannot be '{value}'") from exc
