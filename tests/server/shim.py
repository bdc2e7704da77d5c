"""A shim's module without a server: what Triton gives it, and what it answers."""

import importlib.util
import sys
import threading
import types
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import nonesuch_server

WAIT_S = 20.0
SHARED = ("answers", "bound")
_FOLDER = Path(nonesuch_server.__file__).with_name("backends")


@dataclass
class Tensor:
    name: str
    array: Any

    def as_numpy(self) -> Any:
        return self.array


@dataclass
class Response:
    tensors: Sequence[Tensor] = ()
    error: Any = None


@dataclass
class Asked:
    """A request as Triton gives it, and what it was answered."""

    values: list[int]
    answers: list[Response] = field(default_factory=list)
    answered: threading.Event = field(default_factory=threading.Event)

    def requested_output_names(self) -> list[str]:
        return ["double"]

    def get_response_sender(self) -> "Asked":
        return self

    def send(self, response: Response, flags: int) -> None:
        assert flags == 1
        self.answers.append(response)
        self.answered.set()

    @property
    def found(self) -> list[int]:
        assert self.answered.wait(WAIT_S)
        (response,) = self.answers
        (tensor,) = response.tensors
        found: list[int] = tensor.array[:, 0].tolist()
        return found

    @property
    def error(self) -> str:
        assert self.answered.wait(WAIT_S)
        (response,) = self.answers
        return str(response.error)


def library() -> types.ModuleType:
    found: Any = types.ModuleType("triton_python_backend_utils")
    found.get_input_tensor_by_name = lambda asked, _: Tensor("x", np.array(asked.values)[:, None])
    found.Tensor, found.InferenceResponse = Tensor, Response
    found.TritonModelException = Exception
    found.TritonError = lambda text, _code: text
    found.TritonError.INTERNAL = 0
    found.TRITONSERVER_RESPONSE_COMPLETE_FINAL = 1
    module: types.ModuleType = found
    return module


@contextmanager
def loaded(name: str, beside: Mapping[str, Any]) -> Iterator[Any]:
    """A module of `backends` that finds what the server lays beside it, and modules of others."""
    others: dict[str, Any] = {"triton_python_backend_utils": library(), **beside}
    before = {other: sys.modules.get(other) for other in (*others, *SHARED)}
    sys.modules.update(others)
    try:
        for shared in SHARED:
            sys.modules[shared] = _loaded(shared)
        yield sys.modules.get(name) if name in SHARED else _loaded(name)
    finally:
        for other, module in before.items():
            del sys.modules[other]
            if module is not None:
                sys.modules[other] = module


def _loaded(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"shim_{name}", _FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
