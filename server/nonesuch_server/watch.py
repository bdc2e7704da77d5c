"""The stubs of a running server: the processes in which its Python models and shims run.

Triton does not restart a stub that has been killed; its model keeps saying that it is ready and
fails every request. Unloading and loading the model gives it a new one.
"""

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import tritonclient.grpc
from tritonclient.utils import InferenceServerException

from nonesuch.errors import ServerError
from nonesuch_server import log

_ANSWER_S = 10.0
_LOAD_S = 120.0
_COLLECTED_S = 0.25  # after its end; a few ms on an idle machine
_STUB = "triton_python_backend_stub"


class Watch:
    """Looks after the stubs of the server with process id `pid`, whose gRPC address is given."""

    def __init__(self, pid: int, address: str) -> None:
        self._pid, self._address = pid, address
        self._stubs = stubs(pid)

    def fallen(self) -> list[str]:
        """Return the models that have lost a stub since the last look, sorted.

        A model that was unloaded or loaded anew on purpose is none.
        """
        states = self._states()
        if "Z" in states.values():
            # Triton collects those that it ends itself, soon; those that died stay as zombies.
            time.sleep(_COLLECTED_S)
            states = self._states()
        dead = {pid for pid, state in states.items() if state == "Z"}
        with suppress(InferenceServerException):  # no answer: look again, if the server still lives
            ready = self._ready() if dead else set()
            fallen = sorted({self._stubs[pid] for pid in dead} & ready)
            # One reading of a process's children may miss some: who is still there is kept.
            kept = {
                pid: self._stubs[pid] for pid, state in states.items() if state not in {"", "Z"}
            }
            self._stubs = kept | stubs(self._pid)
            return fallen
        return []

    def heal(self, model: str) -> None:
        """Unload and load a model, and block until it is ready, with the ensembles that run it.

        Raises ServerError, with Triton's reason, where it does not load any more.
        """
        try:
            with tritonclient.grpc.InferenceServerClient(self._address) as client:
                client.unload_model(model, client_timeout=_LOAD_S)
                client.load_model(model, client_timeout=_LOAD_S)
        except InferenceServerException as exc:
            raise ServerError(
                f"model '{model}' lost its process and does not load again: "
                f"{log.sentence(exc.message())}"
            ) from exc
        self._stubs = stubs(self._pid)

    def _states(self) -> dict[int, str]:
        return {pid: _state(pid) for pid in self._stubs}

    def _ready(self) -> set[str]:
        with tritonclient.grpc.InferenceServerClient(self._address) as client:
            index = client.get_model_repository_index(client_timeout=_ANSWER_S)
        return {model.name for model in index.models if model.state == "READY"}


def stubs(pid: int) -> dict[int, str]:
    """Return a server's living stubs, each process id with its model; none if it has ended."""
    models = {child: _model(child) for child in _children(pid)}
    return {child: model for child, model in models.items() if model}


def _state(pid: int) -> str:
    """The letter of a process's state, "Z" of a zombie; empty if there is no such process."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(") ")[2][0]
    return ""


def _children(pid: int) -> Iterator[int]:
    # Plain strings: with `Path`, a look at Triton's 200 threads takes two hundredths of a core.
    tasks = f"/proc/{pid}/task"
    with suppress(OSError):  # the server has ended
        for thread in os.listdir(tasks):  # noqa: PTH208
            with suppress(OSError), open(f"{tasks}/{thread}/children", "rb", 0) as file:  # noqa: PTH123
                yield from map(int, file.read().split())


def _model(pid: int) -> str:
    """The model that a stub runs, from its command line; that of a dead one is empty."""
    with suppress(OSError):
        program, *rest = Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8").split("\0")
        if Path(program).name == _STUB:
            return Path(rest[0]).parts[-3]  # …/MODEL/VERSION/FILE
    return ""
