"""The backend `onnxruntime` of the embedded server."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

from nonesuch.errors import SetupError
from nonesuch_server import Embedded, Listen, Runtime

pytestmark = pytest.mark.triton


def _rows(*rows: int) -> list[InferInput]:
    tensor = InferInput("row", [len(rows), 1], "INT64")
    tensor.set_data_from_numpy(np.array(rows, np.int64)[:, None])
    return [tensor]


def _value(client: InferenceServerClient, *rows: int) -> NDArray[np.float32]:
    found = client.infer("lookup", _rows(*rows)).as_numpy("value")
    assert isinstance(found, np.ndarray)
    return found


@pytest.mark.parametrize("count", [2, 5, 7, 8])
def test_samples_come_back_in_their_order(client: InferenceServerClient, count: int) -> None:
    rows = [(3 * i + 1) % 10 for i in range(count)]

    assert _value(client, *rows)[:, 0, 0].tolist() == [3 * row for row in rows]


def _runs(client: InferenceServerClient) -> int:
    return int(client.get_inference_statistics("lookup").model_stats[0].execution_count)


def test_requests_that_wait_together_run_as_one_and_answer_as_if_alone(
    client: InferenceServerClient,
) -> None:
    requests = [(1,), (2, 3), (9,), (0, 5, 7)]
    alone = [_value(client, *rows) for rows in requests]
    before = _runs(client)

    with ThreadPoolExecutor(len(requests)) as pool:
        together = list(pool.map(lambda rows: _value(client, *rows), requests))

    assert _runs(client) - before < len(requests)
    for answer, expected in zip(together, alone, strict=True):
        np.testing.assert_array_equal(answer, expected)


def test_only_the_outputs_asked_for_are_returned(client: InferenceServerClient) -> None:
    answer = client.infer("lookup", _rows(4), outputs=[InferRequestedOutput("double")])

    assert [output.name for output in answer.get_response().outputs] == ["double"]
    assert answer.as_numpy("double").tolist() == [[[24.0, 26.0, 28.0]]]


def test_a_failure_of_the_engine_is_an_answer_of_one_line(client: InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException) as refused:
        client.infer("lookup", _rows(99))

    assert refused.value.status() == "StatusCode.INTERNAL"
    assert refused.value.message().startswith("model 'lookup' failed: ")
    assert "99" in refused.value.message()
    assert "\n" not in refused.value.message()
    assert _value(client, 4).tolist() == [[[12.0, 13.0, 14.0]]]


def test_the_thread_count_of_the_configuration_holds(server: Embedded) -> None:
    threads = {
        words[1].split("/")[-3]: len(list((process / "task").iterdir()))
        for process in Path("/proc").glob("[0-9]*")
        if str(server.pid) in (words := _command(process)) and "stub" in words[0]
    }

    # As many again have samples of their own, once there were some.
    assert 4 - 1 <= threads["lookup"] - threads["twice"] <= 4 - 1 + 4


def _command(process: Path) -> list[str]:
    try:
        return (process / "cmdline").read_text(encoding="utf-8").split("\0")
    except OSError:  # it has just ended
        return []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        pytest.param('"x"', '"latent"', "names the input latent, the model has x", id="input"),
        pytest.param('"y"', '"image"', "names the output image, the model has y", id="output"),
        pytest.param(
            'string_value: "1"',
            'string_value: "many"',
            "parameter 'intra_op_thread_count' cannot be 'many'",
            id="parameter",
        ),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(
    repository: Callable[..., Path],
    runtime: Runtime,
    anywhere: Listen,
    *,
    old: str,
    new: str,
    said: str,
) -> None:
    folder = repository("twice")
    config = folder / "twice/config.pbtxt"
    config.write_text(config.read_text().replace(old, new))

    with pytest.raises(SetupError, match=said):
        Embedded(folder, runtime, anywhere).start()
