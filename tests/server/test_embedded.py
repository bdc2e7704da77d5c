"""The embedded server: start, failures at the start, death and stop."""

import os
import signal
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient, InferInput

from nonesuch.errors import InvalidRequest, ServerError, SetupError
from nonesuch_server import Embedded, Listen, Runtime, Served

pytestmark = pytest.mark.triton
Change = Callable[[Path], object]


def _x(*values: float) -> list[InferInput]:
    tensor = InferInput("x", [1, 2], "FP32")
    tensor.set_data_from_numpy(np.array([values], np.float32))
    return [tensor]


def test_an_ensemble_of_both_backends_answers(client: InferenceServerClient) -> None:
    answer = client.infer("both", _x(1, 2))

    assert answer.as_numpy("z").tolist() == [[4.0, 6.0]]


def test_every_model_is_named_with_its_version(server: Embedded) -> None:
    names = ["both", "lookup", "plus", "sleep", "twice"]

    assert server.models == [Served(name, "1") for name in names]


def test_a_running_server_is_not_started_again(server: Embedded) -> None:
    with pytest.raises(SetupError, match="runs already; stop it first"):
        server.start()


def test_waiting_for_a_server_that_runs_ends_with_the_time(server: Embedded) -> None:
    server.wait(0.01)


def _replaced(path: str, old: str, new: str) -> Change:
    def change(repository: Path) -> None:
        file = repository / path
        file.write_text(file.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(
            lambda r: (r / "plus/1/model.py").unlink(),
            r"model 'plus' lacks .*/plus/1/model.py; write the model again",
            id="no model.py",
        ),
        pytest.param(
            lambda r: (r / "twice/1/model.onnx").unlink(),
            r"model 'twice' lacks .*/twice/1/model.onnx",
            id="no model.onnx",
        ),
        pytest.param(
            lambda r: (r / "both/1").rmdir(), r"model 'both' has no version in", id="no version"
        ),
        pytest.param(
            lambda r: (r / "plus/config.pbtxt").unlink(),
            r"model 'plus' has no readable config.pbtxt \(No such file or directory\)",
            id="no configuration",
        ),
        pytest.param(
            _replaced("plus/config.pbtxt", "max_batch_size", "max_batch"),
            r"model 'plus': .*config.pbtxt is wrong at 4:1 .* \"max_batch\"",
            id="unknown field",
        ),
        pytest.param(
            _replaced("plus/config.pbtxt", '"plus"', '"minus"'),
            r"model 'plus': config.pbtxt names it 'minus'",
            id="other name",
        ),
        pytest.param(
            _replaced("plus/config.pbtxt", '"python"', '"pytorch"'),
            r"needs the backend 'pytorch', the embedded server has onnxruntime, openvino, p.*rt;",
            id="other backend",
        ),
        pytest.param(
            _replaced("both/config.pbtxt", '"twice"', '"thrice"'),
            r"ensemble 'both' has a step 'thrice', which is not in the repository",
            id="unknown step",
        ),
        pytest.param(
            lambda r: (r / "twice/1/model.onnx").write_bytes(b"no model"),
            r"model 'twice' does not load: .*[Pp]rotobuf parsing failed; not ready either: both$",
            id="broken ONNX",
        ),
        pytest.param(
            _replaced("plus/1/model.py", "import", "imprt"),
            r"model 'plus' does not load: .*invalid syntax \(model.py, line 2\)",
            id="broken Python",
        ),
        pytest.param(
            _replaced("both/config.pbtxt", '"between"', '"nowhere"'),
            r"model 'both' does not load: output 'z' .* 'between', is not connected$",
            id="broken ensemble",
        ),
        pytest.param(
            _replaced("plus/config.pbtxt", "dims: [ 2 ]", ""),
            r"model 'plus' does not load: model input 'x' must specify 'dims'",
            id="no dims",
        ),
    ],
)
def test_a_repository_that_cannot_be_served_is_refused_in_a_sentence(
    repository: Callable[..., Path], runtime: Runtime, anywhere: Listen, change: Change, said: str
) -> None:
    folder = repository("plus", "twice", "both")
    change(folder)

    with pytest.raises(SetupError, match=said) as refused:
        Embedded(folder, runtime, anywhere).start()

    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("flag", ["grpc", "http", "metrics"])
def test_a_taken_port_is_named_with_its_flag(models: Path, runtime: Runtime, flag: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        listen = Listen(**{"grpc_port": 0, "http_port": 0, "metrics_port": 0, f"{flag}_port": port})

        with pytest.raises(SetupError, match=rf"port {port} is taken; .* with --{flag}-port"):
            Embedded(models, runtime, listen).start()


def test_a_name_stands_for_its_ipv4_address(
    repository: Callable[..., Path], runtime: Runtime, anywhere: Listen
) -> None:
    named = replace(anywhere, host="localhost")

    with Embedded(repository("plus"), runtime, named) as server:
        assert server.listen.host == "127.0.0.1"


@pytest.mark.parametrize("host", ["no-such-host.invalid", "::1", "a..b"])
def test_a_host_without_an_ipv4_address_is_refused_by_name(anywhere: Listen, host: str) -> None:
    with pytest.raises(SetupError, match=f"cannot listen on '{host}': .*; give an IPv4 address"):
        replace(anywhere, host=host).settled()


def test_a_host_that_is_empty_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="host is empty"):
        Listen(host="")


def test_ports_that_are_none_or_the_same_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="--http-port is 70000, expected 0 to 65535"):
        Listen(http_port=70000)
    with pytest.raises(InvalidRequest, match="must differ"):
        Listen(http_port=8001)


def test_a_model_that_is_not_ready_in_time_is_named(
    repository: Callable[..., Path], runtime: Runtime, anywhere: Listen
) -> None:
    folder = repository("sleep")
    with (folder / "sleep/1/model.py").open("a", encoding="utf-8") as model:
        model.write("\ntime.sleep(30)\n")

    with pytest.raises(SetupError, match=r"sleep not ready within 0\.5 s; allow more"):
        Embedded(folder, runtime, anywhere, timeout_s=0.5).start()


def test_a_server_that_dies_is_noticed_and_leaves_nothing(
    repository: Callable[..., Path], runtime: Runtime, anywhere: Listen, tmp_path: Path
) -> None:
    log = tmp_path / "triton.log"
    with Embedded(repository("plus"), runtime, anywhere, log_file=log) as server:
        tag = _tag(server)
        os.kill(server.pid, signal.SIGKILL)

        with pytest.raises(ServerError, match="ended by itself with status -9"):
            server.wait(10)

    assert not list(Path("/dev/shm").glob(f"{tag}*"))
    assert "successfully loaded 'plus'" in log.read_text(encoding="utf-8")


def test_stopping_finishes_the_requests_in_flight_and_leaves_nothing(
    repository: Callable[..., Path], runtime: Runtime, anywhere: Listen
) -> None:
    with Embedded(repository("sleep"), runtime, anywhere) as server, ThreadPoolExecutor() as pool:
        tag = _tag(server)
        with InferenceServerClient(server.listen.grpc) as client:
            answer = pool.submit(client.infer, "sleep", _x(1, 7))
            queued = pool.submit(client.infer, "sleep", _x(0, 8))
            while not client.get_inference_statistics("sleep").model_stats:
                pass
            server.stop()

            assert answer.result().as_numpy("y").tolist() == [[1.0, 7.0]]
            assert queued.result().as_numpy("y").tolist() == [[0.0, 8.0]]

    assert not list(Path("/dev/shm").glob(f"{tag}*"))


def _tag(server: Embedded) -> str:
    with InferenceServerClient(server.listen.grpc) as client:
        return str(client.get_server_metadata().name)
