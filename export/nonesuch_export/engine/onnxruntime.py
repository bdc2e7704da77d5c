"""ONNX Runtime as an engine: the exported graph is its own plan."""

import math
import os
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
# A CPU is fastest while a layer fits its cache: a thread runs as many samples at once as answer
# this many values (the embedded server does the same).
_VALUES = 50_000


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
        self._plan, self._threads = plan, threads or len(os.sched_getaffinity(0))
        self._alone = _session(plan, self._threads)
        self.inputs: tuple[str, ...] = tuple(i.name for i in self._alone.get_inputs())
        sides = self._alone.get_outputs()[0].shape[1:]
        values = math.prod(side for side in sides if isinstance(side, int))
        self._rows = max(1, _VALUES // max(1, values))  # samples in a thread's run

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        """The graph's one output for its inputs by name, with a common batch axis.

        Raises ExportError where the inputs are not those of this engine.
        """
        if missing := set(self.inputs) - set(feeds):
            raise ExportError(
                f"the engine takes {', '.join(sorted(missing))}, which this model lacks"
            )
        given = {name: feeds[name] for name in self.inputs}
        try:
            runs = self._runs(given, len(given[self.inputs[0]]))
        except Exception as exc:  # as in `_session`
            raise ExportError(f"ONNX Runtime cannot run this: {str(exc)[:300]}") from exc
        return runs[0] if len(runs) == 1 else np.concatenate(runs)

    def _runs(self, feeds: Feeds, count: int) -> list[NDArray[Any]]:
        rows = max(1, min(self._rows, math.ceil(count / self._threads)))
        together = streams.shared(count, rows * self._threads) if count > 1 else 0
        parts = [_cut(feeds, i, min(i + rows, together)) for i in range(0, together, rows)]
        runs = list(self._pool.map(partial(_drawn, self._many), parts)) if parts else []
        if together < count:
            runs.append(_drawn(self._alone, _cut(feeds, together, count)))
        return runs

    @cached_property
    def _many(self) -> ort.InferenceSession:
        return _session(self._plan, 1) if self._threads > 1 else self._alone

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self._threads)


def _session(plan: Path, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    try:
        session = ort.InferenceSession(plan, options, providers=[_PROVIDER])
    except Exception as exc:  # its exceptions share no public class
        raise ExportError(f"ONNX Runtime refuses {plan.name}: {str(exc)[:300]}") from exc
    if (used := session.get_providers()[0]) != _PROVIDER:
        raise ExportError(f"ONNX Runtime runs on {used}, asked for {_PROVIDER}")
    return session


def _cut(feeds: Feeds, start: int, stop: int) -> Feeds:
    return {name: array[start:stop] for name, array in feeds.items()}


def _drawn(session: ort.InferenceSession, feeds: Feeds) -> NDArray[Any]:
    return np.asarray(session.run(None, feeds)[0])
