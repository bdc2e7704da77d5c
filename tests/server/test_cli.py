"""The command `nonesuch-server`, run as users run it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient, InferInput

from nonesuch_server.watch import stubs

# A runner in the background hands on that Ctrl-C is ignored; a terminal does not.
_AS_IN_A_TERMINAL = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
MAIN = [
    sys.executable,
    "-c",
    f"{_AS_IN_A_TERMINAL}from nonesuch_server.cli import main; main()",
]
ANY_PORT = ["--grpc-port", "0", "--http-port", "0", "--metrics-port", "0"]


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # a killed command leaves its folder there
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))


def _ended(*arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [*MAIN, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@contextmanager
def _running(
    repository: Path, ready: Path, command: Sequence[str] = ()
) -> Iterator["subprocess.Popen[str]"]:
    """A `run` that is ready; killed at the end if it still runs."""
    options = ["--repository", str(repository), "--ready-file", str(ready)]
    process = subprocess.Popen(
        [*MAIN, "run", *ANY_PORT, *options, "--", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            _until(lambda: ready.exists() or process.poll() is not None)
            yield process
        finally:
            process.kill()


def _until(condition: Callable[[], bool], limit_s: float = 20) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def _row(*values: float) -> InferInput:
    tensor = InferInput("x", [1, 2], "FP32")
    tensor.set_data_from_numpy(np.array([values], np.float32))
    return tensor


def _slept(address: str, seconds: float) -> object:
    with InferenceServerClient(address) as client:
        return client.infer("sleep", [_row(seconds, 7)]).as_numpy("y").tolist()


def _child(pid: int) -> int:
    """The process that `run` started."""
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()[0])


@pytest.mark.triton
@pytest.mark.usefixtures("runtime")
def test_sigterm_finishes_the_request_in_flight_and_exits_0(
    repository: Callable[..., Path], tmp_path: Path
) -> None:
    ready = tmp_path / "ready.json"
    with _running(repository("sleep"), ready) as process, ThreadPoolExecutor() as pool:
        said = json.loads(ready.read_text(encoding="utf-8"))
        answer = pool.submit(_slept, said["grpc"], 1)
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=20)

    assert answer.result() == [[1.0, 7.0]]
    assert process.returncode == 0
    assert said["pid"] == process.pid
    addresses = "grpc {grpc}  http {http}  metrics {metrics}".format(**said)
    assert output.splitlines() == [addresses, "sleep 1"]
    assert errors == "Finishing the requests at hand; Ctrl-C again ends them.\n"
    assert not ready.exists()


@pytest.mark.triton
@pytest.mark.usefixtures("runtime")
def test_a_second_interrupt_does_not_wait_for_requests(
    repository: Callable[..., Path], tmp_path: Path
) -> None:
    ready = tmp_path / "ready.json"
    with _running(repository("sleep"), ready) as process, ThreadPoolExecutor() as pool:
        address = json.loads(ready.read_text(encoding="utf-8"))["grpc"]
        answer = pool.submit(_slept, address, 15)
        time.sleep(0.3)
        start = time.monotonic()
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)

    assert process.returncode == 1
    assert time.monotonic() - start < 5
    assert "UNAVAILABLE" in str(answer.exception())


@pytest.mark.triton
@pytest.mark.usefixtures("runtime")
def test_a_killed_command_leaves_no_server_and_no_shared_memory(
    repository: Callable[..., Path], tmp_path: Path
) -> None:
    ready = tmp_path / "ready.json"
    with _running(repository("plus", "twice"), ready) as process:
        server = _child(process.pid)
        with InferenceServerClient(json.loads(ready.read_text())["grpc"]) as client:
            tag = client.get_server_metadata().name
        assert list(Path("/dev/shm").glob(f"{tag}*"))
        process.kill()

        _until(lambda: not Path(f"/proc/{server}").exists())
        _until(lambda: not list(Path("/dev/shm").glob(f"{tag}*")))


@pytest.mark.triton
@pytest.mark.usefixtures("runtime")
def test_a_server_that_dies_ends_the_command_with_3(
    repository: Callable[..., Path], tmp_path: Path
) -> None:
    ready = tmp_path / "ready.json"
    with _running(repository("plus"), ready, ["sleep", "60"]) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        _until(lambda: len(children.read_text(encoding="utf-8").split()) == 2)
        os.kill(_child(process.pid), signal.SIGKILL)
        output, errors = process.communicate(timeout=20)

    assert process.returncode == 3
    assert errors.splitlines()[-1].startswith("Error: the server ended by itself with status -9")
    assert output == ""


def _stub(server: int, model: str) -> int:
    return next(pid for pid, name in stubs(server).items() if name == model)


@pytest.mark.triton
@pytest.mark.usefixtures("runtime")
@pytest.mark.parametrize("command", [(), ("sleep", "60")], ids=["alone", "beside a command"])
def test_a_model_whose_process_is_killed_answers_again_and_is_named(
    repository: Callable[..., Path], tmp_path: Path, command: Sequence[str]
) -> None:
    ready = tmp_path / "ready.json"
    with _running(repository("plus", "twice", "both"), ready, command) as process:
        server = _child(process.pid)
        with InferenceServerClient(json.loads(ready.read_text())["grpc"]) as client:
            os.kill(_stub(server, "twice"), signal.SIGKILL)
            _until(lambda: not client.is_model_ready("both"))
            _until(lambda: client.is_model_ready("both"))
            answer = client.infer("both", [_row(1, 2)]).as_numpy("z").tolist()
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=20)

    assert answer == [[4.0, 6.0]]
    assert "The process of model 'twice' is gone; loading the model again." in errors.splitlines()


@pytest.mark.triton
@pytest.mark.usefixtures("runtime")
def test_a_model_that_cannot_be_loaded_again_ends_the_command_with_3(
    repository: Callable[..., Path], tmp_path: Path
) -> None:
    folder, ready = repository("plus"), tmp_path / "ready.json"
    with _running(folder, ready) as process:
        (folder / "plus/1/model.py").write_text("imprt this", encoding="utf-8")
        os.kill(_stub(_child(process.pid), "plus"), signal.SIGKILL)
        _, errors = process.communicate(timeout=20)

    assert process.returncode == 3
    said = "Error: model 'plus' lost its process and does not load again: "
    assert errors.splitlines()[-1].startswith(said)
    assert "invalid syntax" in errors.splitlines()[-1]


@pytest.mark.triton
@pytest.mark.usefixtures("runtime")
def test_the_exit_status_of_the_command_is_ours(repository: Callable[..., Path]) -> None:
    folder = repository("plus")

    done = _ended(
        *("run", *ANY_PORT, "--repository", folder, "--"),
        *("sh", "-c", "echo $NONESUCH_URL; exit 7"),
    )

    assert done.returncode == 7
    assert done.stderr.startswith(f"grpc {done.stdout.strip()}  http ")


@pytest.mark.triton
@pytest.mark.usefixtures("runtime")
def test_a_command_that_is_not_there_is_named(repository: Callable[..., Path]) -> None:
    done = _ended("run", *ANY_PORT, "--repository", repository("plus"), "--", "no-such-command")

    assert done.returncode == 3
    assert "Error: cannot run no-such-command: No such file or directory" in done.stderr


def test_a_repository_that_is_missing_or_empty_ends_with_3(tmp_path: Path) -> None:
    missing = _ended("run", "--repository", tmp_path / "none")
    empty = _ended("run", "--repository", tmp_path)

    assert (missing.returncode, empty.returncode) == (3, 3)
    assert missing.stderr == (
        f"Error: there is no folder {tmp_path}/none; name another with --repository\n"
    )
    assert f"Error: {tmp_path} holds no model; " in empty.stderr


@pytest.mark.parametrize("timeout_s", ["0", "-1", "nan", "inf", "soon"])
def test_a_timeout_that_is_no_span_of_time_is_a_wrong_use(tmp_path: Path, timeout_s: str) -> None:
    done = _ended("run", "--repository", tmp_path, "--timeout-s", timeout_s)

    said = f"{timeout_s} is no span of time, expected seconds above 0"
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith(said)


@pytest.mark.triton
@pytest.mark.usefixtures("runtime")
def test_a_host_that_is_none_is_named(repository: Callable[..., Path]) -> None:
    done = _ended("run", "--repository", repository("plus"), "--host", "no-such-host.invalid")

    assert done.returncode == 3
    assert done.stderr.startswith("Error: cannot listen on 'no-such-host.invalid': ")


def test_the_module_runs_as_a_program() -> None:
    command = [sys.executable, "-m", "nonesuch_server.cli", "--help"]

    assert subprocess.check_output(command, text=True).startswith("Usage: ")


def test_a_traceback_is_shown_with_debug_alone(tmp_path: Path) -> None:
    done = _ended("run", "--repository", tmp_path / "none", "--debug")

    assert done.returncode == 3
    assert "Traceback" in done.stderr
    assert "nonesuch.errors.SetupError: there is no folder" in done.stderr


def test_doctor_prints_an_object_for_each_check_and_exits_1_for_a_taken_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = _ended("doctor", "--json", "--grpc-port", port)

    checks = {check["name"]: check for check in map(json.loads, done.stdout.splitlines())}
    assert done.returncode == 1
    assert checks["system"] == {
        "name": "system",
        "ok": True,
        "found": "Linux x86_64",
        "mend": "use a machine or container with x86-64 Linux",
    }
    assert checks[f"port {port}"]["ok"] is False
    assert "choose another with --grpc-port" in checks[f"port {port}"]["mend"]


@pytest.mark.parametrize("command", ["run", "prepare", "doctor"])
def test_every_command_has_help_with_two_examples(command: str) -> None:
    done = _ended(command, "--help")

    assert done.returncode == 0
    assert done.stdout.count(f"nonesuch-server {command}") == 2
