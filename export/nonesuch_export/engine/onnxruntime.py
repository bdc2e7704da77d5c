"""ONNX Runtime as an engine: the exported graph is its own plan."""

import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from tritonclient.grpc import model_config_pb2 as pb

from nonesuch.errors import ExportError
from nonesuch_export.engine import streams

NAME = "onnxruntime"
BACKEND = "onnxruntime"
FILE = "model.onnx"
PRECISIONS: tuple[str, ...] = ("fp32",)

Feeds = dict[str, NDArray[Any]]

_PROVIDER = "CPUExecutionProvider"
# Runs that would answer more values than this are cut into smaller ones, as the embedded server
# does: a CPU is no faster at several large pictures than at one, and they take memory.
_VALUES = 200_000


def available() -> None:
    """Always: the exporter needs ONNX Runtime itself."""


def compile(graph: Path, plan: Path, *, precision: str, max_batch: int) -> None:  # noqa: ARG001
    """Put the graph in the plan's place."""
    graph.replace(plan)


def configure(config: pb.ModelConfig, *, precision: str) -> None:  # noqa: ARG001
    """Name the backend; its defaults are right."""
    config.backend = BACKEND


class Engine:
    """A loaded graph; `run` blocks and uses `threads` threads (0 = one a core).

    Of a batch each thread has samples of its own, and all share what these leave over: threads
    that share a layer wait for each other at its end.

    Raises ExportError where ONNX Runtime refuses the file or another provider than asked for
    would run it.
    """

    def __init__(self, plan: Path, *, precision: str, threads: int = 0) -> None:  # noqa: ARG002
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        try:
            self._session = ort.InferenceSession(plan, options, providers=[_PROVIDER])
        except Exception as exc:  # its exceptions share no public class
            raise ExportError(f"ONNX Runtime refuses {plan.name}: {str(exc)[:300]}") from exc
        if (used := self._session.get_providers()[0]) != _PROVIDER:
            raise ExportError(f"ONNX Runtime runs on {used}, asked for {_PROVIDER}")
        self.inputs: tuple[str, ...] = tuple(i.name for i in self._session.get_inputs())
        sides = self._session.get_outputs()[0].shape[1:]
        values = math.prod(side for side in sides if isinstance(side, int))
        self._rows = max(1, _VALUES // max(1, values))  # samples in a run

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        """The graph's one output for its inputs by name, with a common batch axis.

        Raises ExportError where the inputs are not those of this engine.
        """
        if missing := set(self.inputs) - set(feeds):
            raise ExportError(
                f"the engine takes {', '.join(sorted(missing))}, which this model lacks"
            )
        given = {name: feeds[name] for name in self.inputs}
        count = len(given[self.inputs[0]])
        starts = range(0, max(1, count), self._rows)
        try:
            runs = [self._session.run(None, _rows(given, i, self._rows))[0] for i in starts]
        except Exception as exc:  # as above
            raise ExportError(f"ONNX Runtime cannot run this: {str(exc)[:300]}") from exc
        return np.concatenate(runs) if len(runs) > 1 else np.asarray(runs[0])


def _rows(feeds: Mapping[str, NDArray[Any]], start: int, count: int) -> dict[str, NDArray[Any]]:
    return {name: array[start : start + count] for name, array in feeds.items()}
