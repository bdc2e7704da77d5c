"""OpenVINO as an engine: fp32, and bf16 where the CPU multiplies it.

The plan is in OpenVINO's own format (`model.xml`, weights in `model.bin`), which is mapped into
memory where ONNX is copied: a third less of it at 256 pixels.
"""

import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import model_config_pb2 as pb

from nonesuch.errors import ExportError
from nonesuch_export import precision as lowering
from nonesuch_export.engine import streams

NAME = "openvino"
BACKEND = "openvino"
FILE = "model.xml"
PRECISIONS: tuple[str, ...] = ("fp32", "bf16")

_DEVICE = "CPU"
_TYPES = {"fp32": "f32", "bf16": "bf16"}  # OpenVINO's names
_MEND = "use --precision fp32, or another machine"


def available() -> None:
    """Raise ExportError where OpenVINO is not installed."""
    _runtime()


def compile(graph: Path, plan: Path, *, precision: str, max_batch: int) -> None:  # noqa: ARG001
    """Write `graph` as `plan` and its weights beside it; the batch stays free."""
    openvino = _runtime()
    if precision != "fp32":
        lowering.lower(graph, graph, precision)
    try:
        model = openvino.Core().read_model(graph)
        openvino.save_model(model, plan, compress_to_fp16=False)
    except RuntimeError as exc:
        raise ExportError(f"OpenVINO refuses the graph: {_sentence(exc)}") from exc


def configure(config: pb.ModelConfig, *, precision: str) -> None:
    """Name the backend and what it must be told.

    It serves CPUs alone, and takes an instance of no said kind for one of a GPU. It compiles for
    `max_batch_size` and refuses smaller batches unless it may fill them up.
    """
    config.backend = BACKEND
    config.instance_group[0].kind = pb.ModelInstanceGroup.KIND_CPU
    if precision == "bf16":
        config.parameters["HINT_BF16"].string_value = "YES"
    if config.max_batch_size > 1:
        config.parameters["ENABLE_BATCH_PADDING"].string_value = "YES"


class Engine:
    """A plan compiled for one picture at a time; a batch goes out over several streams.

    A free batch axis costs OpenVINO a third of its speed, and on a CPU a picture in a batch is no
    cheaper than one alone. So: several pictures on a thread each, which never wait for each other
    within a layer, and what they leave over, or a lone picture, on all threads.
    """

    def __init__(self, plan: Path, *, precision: str, threads: int = 0) -> None:
        """Raises ExportError where OpenVINO refuses the file or the CPU lacks the precision."""
        self._openvino = _runtime()
        self._core = self._openvino.Core()
        self._precision = precision
        self._threads = threads or len(os.sched_getaffinity(0))
        _check_able(self._core, precision)
        try:
            self._model = self._core.read_model(plan)
            self._model.reshape(
                {i.any_name: [1, *list(i.partial_shape)[1:]] for i in self._model.inputs}
            )
        except RuntimeError as exc:
            raise ExportError(f"OpenVINO refuses {plan.name}: {_sentence(exc)}") from exc
        self.inputs: tuple[str, ...] = tuple(i.any_name for i in self._model.inputs)

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        """The graph's one output for its inputs by name, with a common batch axis.

        Raises ExportError where the inputs are not those of this engine.
        """
        if missing := set(self.inputs) - set(feeds):
            raise ExportError(
                f"the engine takes {', '.join(sorted(missing))}, which this model lacks"
            )
        count = len(feeds[self.inputs[0]])
        rows = [{name: feeds[name][i : i + 1] for name in self.inputs} for i in range(count)]
        made: list[NDArray[Any]] = []
        try:
            if shared := rows[: streams.shared(count, self._threads)]:
                made += _drawn(self._many, shared)
            if rest := rows[len(shared) :]:
                made += _drawn(self._alone, rest)
        except RuntimeError as exc:
            raise ExportError(f"OpenVINO cannot run this: {_sentence(exc)}") from exc
        return np.concatenate(made)

    @cached_property
    def _alone(self) -> Any:
        return self._queue(1)

    @cached_property
    def _many(self) -> Any:
        return self._queue(self._threads)

    def _queue(self, width: int) -> Any:
        """Requests of a model compiled for so many pictures at once, as many as there are."""
        options = {
            # The plan says what is bf16; this hint would round the rest as well (mapping and
            # all: far below the 40 dB of a build on the demo generator).
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": self._threads,
            "NUM_STREAMS": width,
            # Pinned threads of two models, or of another program, would share a core.
            "ENABLE_CPU_PINNING": False,
        }
        try:
            compiled = self._core.compile_model(self._model, _DEVICE, options)
        except RuntimeError as exc:
            raise ExportError(f"OpenVINO cannot compile this: {_sentence(exc)}") from exc
        _check_used(compiled, self._precision)
        return self._openvino.AsyncInferQueue(compiled, width)


def _drawn(queue: Any, rows: list[dict[str, NDArray[Any]]]) -> list[NDArray[Any]]:
    """The output of each row, all of them sent at once."""
    answers: dict[int, NDArray[Any]] = {}

    def keep(request: Any, row: int) -> None:
        answers[row] = request.get_output_tensor(0).data.copy()

    queue.set_callback(keep)
    for i, row in enumerate(rows):
        queue.start_async(row, i, share_inputs=True)
    queue.wait_all()
    return [answers[i] for i in range(len(rows))]


def _check_able(core: Any, precision: str) -> None:
    if precision == "bf16" and "BF16" not in core.get_property(
        _DEVICE, "OPTIMIZATION_CAPABILITIES"
    ):
        name = core.get_property(_DEVICE, "FULL_DEVICE_NAME")
        raise ExportError(f"this machine's CPU ({name}) has no bf16; {_MEND}")


def _check_used(compiled: Any, precision: str) -> None:
    """Look at what the convolutions are really computed in, which OpenVINO tells afterwards."""
    facts = [op.get_rt_info() for op in compiled.get_runtime_model().get_ops()]
    used = {fact["runtimePrecision"].astype(str) for fact in facts if _convolves(fact)}
    if used and _TYPES[precision] not in used:
        raise ExportError(f"this machine computes in {', '.join(used)}, not {precision}; {_MEND}")


def _convolves(fact: Any) -> bool:
    return fact["layerType"].astype(str) in {"Convolution", "Deconvolution"}


def _runtime() -> ModuleType:
    try:
        import openvino
    except ModuleNotFoundError as exc:
        raise ExportError("OpenVINO is not installed; pip install 'nonesuch[openvino]'") from exc
    found: ModuleType = openvino
    return found


def _sentence(exc: Exception) -> str:
    """The innermost reason, without the places in OpenVINO's sources."""
    lines = [line.strip() for line in str(exc).splitlines()]
    said = [line for line in lines if line and not line.startswith("Exception from ")]
    return " ".join(said)[:300]
