"""One Triton on this machine: the server process inside a prepared runtime."""

import logging
import math
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from importlib import resources
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import tritonclient.grpc
from tritonclient.utils import InferenceServerException

from nonesuch.errors import ServerError, SetupError
from nonesuch.options import check_timeout
from nonesuch_server import leash, log, packages, preflight
from nonesuch_server.listen import Listen
from nonesuch_server.runtime import Runtime

_logger = logging.getLogger(__name__)
_EVERYWHERE = Listen()
_SHARED_MEMORY = Path("/dev/shm")
_GRACE_S = 5.0  # beyond the drain limit, before the server is killed
_POLL_S = 0.02


class Served(NamedTuple):
    """A model that answers."""

    name: str
    version: str


class Embedded:
    """A tritonserver process over `repository`; a context manager, which starts and stops it.

    The kernel kills the server when the thread that started it ends, so that a killed program
    leaves none behind: start it in a thread that outlives it. It has a session of its own; a
    Ctrl-C on the terminal does not reach it.
    """

    def __init__(
        self,
        repository: Path,
        runtime: Runtime,
        listen: Listen = _EVERYWHERE,
        *,
        timeout_s: float = 60.0,
        drain_s: float = 20.0,
        log_file: Path | None = None,
    ) -> None:
        """Describe a server; nothing runs yet.

        Within `timeout_s` every model must be ready. Stopping waits `drain_s` for requests (and
        for idle HTTP connections). The server's log is kept in `log_file` if one is named.
        """
        check_timeout(timeout_s)
        self.repository = repository.absolute()
        self.runtime = runtime
        self.listen = listen  # with the ports really chosen, once it runs
        self.models: list[Served] = []  # those that were ready at the start, sorted
        self._wanted = listen
        self._timeout_s, self._drain_s = timeout_s, drain_s
        self._log_file = log_file
        self._tag = ""
        self._folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self._running.pid

    def start(self) -> None:
        """Start the server and block until every model of the repository is ready.

        Raises SetupError where the repository, a port or the runtime does not allow it, with the
        model's name and Triton's reason where one does not load; the server is gone then.
        """
        if self._process:
            raise SetupError(f"the server at {self.listen.grpc} runs already; stop it first")
        models = preflight.check(self.repository)
        if missing := set(packages.of(models)) - set(self.runtime.packages):
            raise SetupError(
                f"the runtime lacks {', '.join(sorted(missing))}, which models of "
                f"{self.repository} need; prepare one with them"
            )
        # Ensembles last: one that is not ready may only be waiting for a step of its own.
        models.sort(key=lambda model: model.backend == preflight.ENSEMBLE)
        names = [model.name for model in models]
        try:
            self._launch(names)
        except _PortLostError:
            if not self._wanted.open:
                raise
            self._launch(names)

    def wait(self, timeout_s: float | None = None) -> None:
        """Block while the server runs, for `timeout_s` at most.

        Raises ServerError, with what its log says last, if it has ended by itself; what it left
        is cleaned up then.
        """
        with suppress(subprocess.TimeoutExpired):
            code = self._running.wait(timeout_s)
            said = log.ending(self._log())
            self._clean()
            raise ServerError(
                f"the server ended by itself with status {code}; its log ends with: {said}"
            )

    def stop(self) -> None:
        """Let the server finish the requests that it holds, then end it; clean up after it.

        A server that takes longer than `drain_s` is killed, and so it is when an exception (a
        second Ctrl-C) breaks off the wait. Does nothing if none runs.
        """
        if not self._process:
            return
        try:
            self._process.terminate()
            self._process.wait(self._drain_s + _GRACE_S)
        except subprocess.TimeoutExpired:
            _logger.warning("the server was still busy after %g s and is killed", self._drain_s)
        finally:
            self._clean()

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        if not self._process:
            raise SetupError("the server does not run; start it first")
        return self._process

    def _launch(self, names: Sequence[str]) -> None:
        self.listen = self._wanted.settled()
        self._tag = f"nonesuch-{secrets.token_hex(6)}"
        self._folder = Path(tempfile.mkdtemp(prefix=f"{self._tag}-"))
        try:
            _lay_backends(self._folder / "backends", self.runtime)
            self._process = self._spawn(names)
            self._await_answer()
            self._await_models(names)
        except BaseException:
            self._clean()
            raise

    def _spawn(self, names: Sequence[str]) -> "subprocess.Popen[bytes]":
        leashed = [sys.executable, "-I", "-S", str(leash.__file__), str(os.getpid())]
        try:
            with self._log_path.open("wb") as output:
                return subprocess.Popen(
                    [*leashed, *self._command(names)],
                    env=self.runtime.environment(),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        except OSError as exc:
            raise SetupError(
                f"cannot write the server's log {self._log_path}: {exc.strerror}; name another"
            ) from exc

    def _command(self, names: Sequence[str]) -> list[str]:
        address = self.listen
        return [
            str(self.runtime.server),
            f"--id={self._tag}",
            f"--model-repository={self.repository}",
            f"--backend-directory={self._folder}/backends",
            f"--cache-directory={self.runtime.caches}",
            f"--backend-config=python,shm-region-prefix-name={self._tag}",
            # Asking models for their configuration takes a second each; ours are complete.
            "--disable-auto-complete-config",
            "--model-control-mode=explicit",
            *(f"--load-model={name}" for name in names),
            # Stay up for a moment and tell which model failed.
            "--exit-on-error=false",
            "--strict-readiness=false",
            f"--grpc-address={address.host}",
            f"--http-address={address.host}",
            f"--metrics-address={address.host}",
            f"--grpc-port={address.grpc_port}",
            f"--http-port={address.http_port}",
            f"--metrics-port={address.metrics_port}",
            "--allow-gpu-metrics=false",
            f"--exit-timeout-secs={math.ceil(self._drain_s)}",
        ]

    def _await_answer(self) -> None:
        """Block until all ports are open: Triton opens them once each model is ready or failed."""
        closed = [self.listen.grpc, self.listen.http, self.listen.metrics]
        deadline = time.monotonic() + self._timeout_s
        while time.monotonic() < deadline:
            self._check_alive()
            closed = [address for address in closed if not _is_open(address)]
            if not closed:
                return
            time.sleep(_POLL_S)
        waiting = ", ".join(log.unfinished(self._log())) or "the server"
        raise SetupError(
            f"{waiting} not ready within {self._timeout_s:g} s; allow more with --timeout-s, "
            "or look into the log that --log keeps"
        )

    def _await_models(self, names: Sequence[str]) -> None:
        try:
            with tritonclient.grpc.InferenceServerClient(self.listen.grpc) as client:
                answering = client.get_server_metadata(client_timeout=self._timeout_s).name
                index = client.get_model_repository_index(client_timeout=self._timeout_s).models
        except InferenceServerException as exc:
            self._check_alive()
            raise SetupError(
                f"the server at {self.listen.grpc} does not answer: {exc.message()}"
            ) from exc
        if answering != self._tag:
            raise _PortLostError(
                f"another server took port {self.listen.grpc_port}; choose another"
            )
        ready = sorted(Served(m.name, m.version) for m in index if m.state == "READY")
        there = {model.name for model in ready}
        if missing := [name for name in names if name not in there]:
            raise SetupError(_failure(missing, index, self._log()))
        self.models = ready

    def _check_alive(self) -> None:
        code = self._running.poll()
        if code is None:
            return
        said = log.ending(self._log())
        if "already in use" in said:
            raise _PortLostError(f"a port was taken while the server started: {said}; try again")
        raise SetupError(
            f"the server ended with status {code} while it started: {said}; "
            "`nonesuch-server doctor` looks for the cause"
        )

    @property
    def _log_path(self) -> Path:
        assert self._folder
        return self._log_file or self._folder / "server.log"

    def _log(self) -> str:
        return self._log_path.read_text(encoding="utf-8", errors="replace")

    def _clean(self) -> None:
        if self._process:
            with suppress(ProcessLookupError):  # the session is ours alone: server and stubs
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None
        self.models = []
        for left in _SHARED_MEMORY.glob(f"{self._tag}*"):
            left.unlink(missing_ok=True)
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None


class _PortLostError(SetupError):
    """Raised when another process took a port between our look and the server's."""


def _is_open(address: str) -> bool:
    host, port = address.rsplit(":", 1)
    with suppress(OSError), socket.create_connection((host, int(port)), timeout=1):
        return True
    return False


def _lay_backends(folder: Path, runtime: Runtime) -> None:
    """Give one server its backends; the shims come from this package, so they are never stale.

    Copies, because Triton refuses a shim that is a link; each with what they share.
    """
    folder.mkdir()
    (folder / "python").symlink_to(runtime.stage)
    ours = resources.files("nonesuch_server.backends")
    for name in sorted(preflight.FILES.keys() - {"python"}):
        (folder / name).mkdir()
        (folder / name / "model.py").write_bytes((ours / f"{name}.py").read_bytes())
        for shared in ("answers.py", "bound.py"):
            (folder / name / shared).write_bytes((ours / shared).read_bytes())


def _failure(missing: Sequence[str], index: Sequence[Any], said: str) -> str:
    """Say why the first of the missing models is not ready, and name the others."""
    why = log.reasons(said) | {m.name: log.sentence(m.reason) for m in index if m.reason}
    name = next((name for name in missing if name in why), missing[0])
    others = ", ".join(other for other in missing if other != name)
    more = f"; not ready either: {others}" if others else ""
    return f"model '{name}' does not load: {why.get(name) or log.ending(said)}{more}"
