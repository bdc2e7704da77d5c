"""Requests in, answers out: what the shims share.

The server lays a copy beside each of them, which imports it by its bare name.
"""

import heapq
import itertools
import json
import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

Run = Callable[[list[str], dict[str, Any]], list[Any]]  # wanted outputs, feed → their arrays

_LARGE = 8  # requests of several samples that wait here; more than that wait in the server
_PATIENCE = 2.0  # times the time of a run that a request can wait for each of its samples
_RECENT = 0.1  # weight of the newest run in their mean


class Model:
    """What Triton tells of a model: its configuration and where its version lies."""

    def __init__(self, args: dict[str, str]) -> None:
        """Read the arguments of `initialize`; refuses an interpreter that corrupts tensors."""
        if int(np.__version__.split(".")[0]) >= 2:
            raise refused(f"numpy is {np.__version__}, expected 1.26: numpy 2 corrupts tensors")
        self.config = json.loads(args["model_config"])
        self.name = args["model_name"]
        self.batched = self.config["max_batch_size"] > 0
        self.inputs = [tensor["name"] for tensor in self.config["input"]]
        self.outputs = [tensor["name"] for tensor in self.config["output"]]
        self._folder = os.path.join(args["model_repository"], args["model_version"])  # noqa: PTH118

    def file(self, default: str) -> str:
        """The path of the plan, named in the configuration or by the backend."""
        return os.path.join(self._folder, self.config.get("default_model_filename") or default)  # noqa: PTH118

    def parameters(self) -> dict[str, str]:
        return {
            key: value["string_value"] for key, value in self.config.get("parameters", {}).items()
        }

    def check(self, inputs: list[str], outputs: list[str]) -> None:
        """Compare the names in the configuration with those of the loaded plan."""
        for kind, wanted, there in (
            ("input", self.inputs, inputs),
            ("output", self.outputs, outputs),
        ):
            if missing := [name for name in wanted if name not in there]:
                raise refused(
                    f"the configuration names the {kind} {', '.join(missing)}, "
                    f"the model has {', '.join(there)}"
                )


class Request:
    """A request on its way: each of its samples is run when its turn comes, then it is answered."""

    def __init__(self, model: Model, request: Any) -> None:
        """Copy the inputs: the request's own memory is not ours for long."""
        self._sender = request.get_response_sender()
        self.wanted: list[str] = request.requested_output_names()
        self.feed: dict[str, Any] = {}
        for name in model.inputs:
            tensor = pb_utils.get_input_tensor_by_name(request, name)
            if tensor is not None:  # an optional one that this request does without
                self.feed[name] = tensor.as_numpy().copy()
        self.kind = {name: array.shape[1:] for name, array in self.feed.items()}
        count = len(next(iter(self.feed.values()))) if model.batched and self.feed else 1
        self._rows: list[list[Any]] = [[]] * max(1, count)
        self._left = len(self._rows)
        self.begun = 0  # samples whose turn has come
        self._name, self._failure = model.name, ""

    def __len__(self) -> int:
        return len(self._rows)

    def sample(self, i: int) -> dict[str, Any]:
        """The inputs of one sample, as a batch of one."""
        if len(self) == 1:
            return self.feed
        return {name: array[i : i + 1] for name, array in self.feed.items()}

    def keep(self, i: int, outputs: list[Any] | Exception) -> bool:
        """Take the wanted outputs of a sample, or why there are none; returns if it was the last.

        Not to be called by two threads at once.
        """
        if isinstance(outputs, Exception):
            self._failure = sentence(outputs)
        else:
            self._rows[i] = outputs
        self._left -= 1
        return not self._left

    def answer(self) -> None:
        """Send what came of all samples, or a failure, without our paths and places."""
        try:
            response = self._response()
        except Exception as exc:  # noqa: BLE001 - a request that gets no answer is never let go
            self._failure = sentence(exc)
            response = self._response()
        self._sender.send(response, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

    def _response(self) -> Any:
        if self._failure:
            text = f"model '{self._name}' failed: {self._failure}"
            error = pb_utils.TritonError(text, pb_utils.TritonError.INTERNAL)
            return pb_utils.InferenceResponse(error=error)
        columns = [_joined(list(column)) for column in zip(*self._rows, strict=True)]
        pairs = zip(self.wanted, columns, strict=True)
        return pb_utils.InferenceResponse([pb_utils.Tensor(name, array) for name, array in pairs])


Turn = tuple[Request, int]  # a sample of a request


class Line:
    """Requests that wait, and threads that run their samples and never wait for each other.

    A request is answered as soon as its own samples are done, and no thread stands still while
    there are others. The first is whose patience ends first, which is the longer the more samples
    it has: one for a single picture comes before the rest of a large one, though not before one
    that has waited for long. A sample that comes when all are at rest is run by all threads, so
    that it is done sooner; that makes fewer samples a second, so those that follow get one each.
    """

    def __init__(self, model: Model, alone: Run, each: Sequence[Run], rows: int = 1) -> None:
        """Take what runs samples on all threads, what does on each one's own, and how many."""
        self._model, self._alone = model, alone
        self._most = rows if model.batched else 1  # samples in a run
        self._waiting: list[tuple[float, int, Request]] = []  # a heap, by the end of patience
        self._order = itertools.count()
        self._left = 0  # samples whose turn has not come
        self._run_s = 0.0  # of a sample, of late
        self._at_work = 0  # threads
        self._together = False  # whether the next or the present run is on all threads
        self._open = True
        lock = threading.Lock()
        self._work, self._room = threading.Condition(lock), threading.Condition(lock)
        self._threads = [
            threading.Thread(target=self._serve, args=(run,), daemon=True) for run in each
        ]
        for thread in self._threads:
            thread.start()

    def take(self, requests: list[Any]) -> None:
        """Let requests wait; returns when there is room for more.

        What comes until then waits in the server, which counts it, and brings it in batches. Of
        single samples, one less than there are threads suffice until the next batch is here, or,
        for one thread, one less than make a run. A large request waits here, where a single sample
        can overtake it, not there, where none could.
        """
        entered = [Request(self._model, request) for request in requests]
        with self._room:
            at_rest = not (self._left or self._at_work)
            for request in entered:
                end_s = time.monotonic() + _PATIENCE * self._run_s * len(request)
                heapq.heappush(self._waiting, (end_s, next(self._order), request))
                self._left += len(request)
            self._together = self._together or (at_rest and self._left == 1)
            self._work.notify(self._left)
            self._room.wait_for(self._has_room)

    def close(self) -> None:
        """Run what still waits, and end."""
        with self._work:
            self._open = False
            self._work.notify_all()
        for thread in self._threads:
            thread.join()

    def _serve(self, run: Run) -> None:
        """The life of a thread."""
        while True:
            with self._work:
                self._work.wait_for(self._may_go_on)
                if not self._left:
                    return
                taken, together = self._taken(), self._together
                self._at_work += 1
                self._room.notify_all()
            start_s = time.monotonic()
            rows = _rows(self._alone if together else run, taken)
            run_s = (time.monotonic() - start_s) / len(taken)
            with self._work:
                self._at_work -= 1
                self._run_s += _RECENT * (run_s - self._run_s) if self._run_s else run_s
                if together:
                    self._together = False
                    self._work.notify_all()
                turns = zip(taken, rows, strict=True)
                done = [request for (request, i), row in turns if request.keep(i, row)]
            for request in done:
                request.answer()

    def _has_room(self) -> bool:
        single = sum(len(request) == 1 for _, _, request in self._waiting)
        taken = self._most if len(self._threads) == 1 else len(self._threads)
        most = max(1, taken - 1)
        return single <= most and len(self._waiting) - single <= _LARGE

    def _may_go_on(self) -> bool:
        if self._together and self._at_work:
            return False
        return bool(self._left) or not self._open

    def _taken(self) -> list[Turn]:
        """As many samples as go into a run, if as many are left for each of the other threads."""
        most = min(self._most, -(-self._left // len(self._threads)))
        taken: list[Turn] = []
        kind = self._waiting[0][-1].kind
        while len(taken) < most and self._waiting and self._waiting[0][-1].kind == kind:
            request = self._waiting[0][-1]
            taken.append((request, request.begun))
            request.begun += 1
            if request.begun == len(request):
                heapq.heappop(self._waiting)
        self._left -= len(taken)
        return taken


def _rows(run: Run, taken: list[Turn]) -> Sequence[list[Any] | Exception]:
    """Of each sample the outputs that its request wants, or why there are none."""
    wanted = sorted({name for request, _ in taken for name in request.wanted})
    samples = [request.sample(i) for request, i in taken]
    try:
        feed = {name: _joined([sample[name] for sample in samples]) for name in samples[0]}
        outputs = dict(zip(wanted, run(wanted, feed), strict=True))
    except Exception as exc:  # noqa: BLE001 - an exception would show the client our paths
        return [exc] * len(taken)
    if len(taken) == 1:
        return [[outputs[name] for name in taken[0][0].wanted]]
    return [
        [outputs[name][row : row + 1] for name in request.wanted]
        for row, (request, _) in enumerate(taken)
    ]


def refused(text: str) -> Exception:
    """What `initialize` raises, so that the load fails with these words."""
    exception: Exception = pb_utils.TritonModelException(text)
    return exception


def sentence(exc: Exception) -> str:
    """The error's words in one line, without the runtime's name, number and places in its source.

    ONNX Runtime says `[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : …`, OpenVINO `Exception from
    src/….cpp:84:` in lines of its own.
    """
    lines = [line for line in str(exc).splitlines() if not line.startswith("Exception from ")]
    words = " ".join(" ".join(lines).split())
    if words.startswith("[ONNXRuntimeError]"):
        words = words.split(" : ", 3)[-1]
    return words[:400]


def _joined(arrays: list[Any]) -> Any:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
