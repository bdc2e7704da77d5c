"""Requests in, answers out: what the shims share.

The server lays a copy beside each of them, which imports it by its bare name.
"""

import json
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

Run = Callable[[list[str], dict[str, Any]], list[Any]]  # wanted outputs, feed → their arrays


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


class Answers:
    """Runs the waiting requests of a model together."""

    def __init__(self, model: Model, run: Run) -> None:
        self._model, self._run = model, run

    def to(self, requests: list[Any]) -> list[Any]:
        """Answer every request; the engine's failure becomes the answer of each in its run."""
        if self._model.batched:
            return self._together(requests)
        return [answer for request in requests for answer in self._together([request])]

    def _together(self, requests: list[Any]) -> list[Any]:
        try:
            return self._answers(requests)
        except Exception as exc:  # noqa: BLE001 - an exception would show the client our paths
            error = pb_utils.TritonError(
                f"model '{self._model.name}' failed: {sentence(exc)}",
                pb_utils.TritonError.INTERNAL,
            )
            return [pb_utils.InferenceResponse(error=error) for _ in requests]

    def _answers(self, requests: list[Any]) -> list[Any]:
        wanted = sorted({name for request in requests for name in request.requested_output_names()})
        feed = {}
        for name in self._model.inputs:
            tensors = [pb_utils.get_input_tensor_by_name(request, name) for request in requests]
            if tensors[0] is not None:  # an optional one that these requests do without
                feed[name] = _joined([tensor.as_numpy() for tensor in tensors])
                cuts = np.cumsum([tensor.shape()[0] for tensor in tensors])[:-1]
        outputs = dict(zip(wanted, self._run(wanted, feed), strict=True))
        parts = {name: np.split(value, cuts) for name, value in outputs.items()}
        return [
            _response(request, {name: part[i] for name, part in parts.items()})
            for i, request in enumerate(requests)
        ]


def shared(count: int, width: int) -> int:
    """How many of `count` samples go out over streams that run `width` of them at once.

    The others are run on all threads together: the last round over the streams is worth it where
    it keeps more than half of them busy.
    """
    rest = count % width
    return count - rest if rest * 2 <= width else count


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


def _response(request: Any, outputs: dict[str, Any]) -> Any:
    names = request.requested_output_names()
    return pb_utils.InferenceResponse([pb_utils.Tensor(name, outputs[name]) for name in names])
