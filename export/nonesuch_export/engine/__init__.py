"""Engines: ONNX → what a server runs, one runtime a module; all keep to `Runtime`.

The heavy runtimes are imported where they are used: who has no OpenVINO builds the others.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray
from tritonclient.grpc import model_config_pb2 as pb

from nonesuch.errors import InvalidRequest
from nonesuch_export.engine import onnxruntime, onnxruntime_cuda, openvino, tensorrt


class Loaded(Protocol):
    """A plan that runs here, on the device and in the precision asked for."""

    inputs: tuple[str, ...]

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        """The one output for inputs by name with a common batch axis; others are passed over.

        Raises ExportError where an input is missing or does not fit.
        """


class Load(Protocol):
    """How a plan is loaded; `threads` on the CPU, 0 = one a core.

    Raises ExportError where the runtime refuses the file, or this machine lacks the precision.
    """

    def __call__(self, plan: Path, *, precision: str, threads: int = 0) -> Loaded: ...


class Runtime(Protocol):
    """What a module of this package offers."""

    NAME: str  # the word of --engine
    BACKEND: str  # Triton's name for what serves it
    FILE: str  # of the plan in a version folder
    PRECISIONS: tuple[str, ...]  # fp32 first, the default and the precision of the mapping

    @property
    def Engine(self) -> Load:  # noqa: N802 (it is a class)
        """The class of its loaded plans."""

    def available(self) -> None:
        """Raise ExportError, with the extra to install, where the runtime is missing."""

    def compile(self, graph: Path, plan: Path, *, precision: str, max_batch: int) -> None:
        """Make the plan, and files beside it, of the contract's ONNX graph (fp32).

        The graph's file may be moved away. Raises ExportError with the runtime's reason.
        """

    def configure(self, config: pb.ModelConfig, *, precision: str) -> None:
        """Say in a model's configuration which backend serves the plan, and how."""


ENGINES: dict[str, Runtime] = {
    onnxruntime.NAME: onnxruntime,
    onnxruntime_cuda.NAME: onnxruntime_cuda,
    openvino.NAME: openvino,
    tensorrt.NAME: tensorrt,
}


def runtime(name: str, precision: str) -> Runtime:
    """The engine of that name; InvalidRequest where there is none, or not in that precision."""
    if name not in ENGINES:
        raise InvalidRequest(f"engine is {name!r}, expected {' or '.join(ENGINES)}")
    if precision not in (known := ENGINES[name].PRECISIONS):
        raise InvalidRequest(f"{name} has no {precision}, expected {' or '.join(known)}")
    return ENGINES[name]
