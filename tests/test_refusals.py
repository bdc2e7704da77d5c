"""Wrong requests are refused by the server, each by itself, in one sentence that mends it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from tests.conftest import ServedGolden
from tests.test_path import ask
from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

pytestmark = pytest.mark.triton

WS = np.zeros((1, 1, 64))  # of one row


@pytest.fixture(scope="module")
def triton(served: ServedGolden) -> Iterator[InferenceServerClient]:
    with InferenceServerClient(served.url) as connected:
        yield connected


_BAD: list[tuple[str, dict[str, Any], str]] = [
    ("faces", {"seed": [[1]], "psi": [[np.nan]]}, "psi is nan, expected -10 to 10"),
    ("faces", {"seed": [[1]], "psi": [[10.5]]}, "psi is 10.5, expected -10 to 10"),
    ("faces", {"seed": [[1]], "cutoff": [[11]]}, "cutoff is 11, expected -1 to 10"),
    ("faces", {"seed": [[2**32]]}, "seed is 4294967296, expected 0 to 4294967295"),
    ("faces", {"seed": [[-1]]}, "seed is -1, expected 0 to 4294967295"),
    ("faces", {"seed": [[1], [-5]]}, "seed is -5, expected 0 to 4294967295"),
    ("faces", {"psi": [[1.0]]}, "send exactly one of seed, z and ws, there is none of them"),
    (
        "faces",
        {"seed": [[1]], "z": np.zeros((1, 64)), "ws": np.zeros((1, 1, 64))},
        "send exactly one of seed, z and ws, there is seed and z and ws",
    ),
    ("faces", {"z": np.full((1, 64), 1e7)}, "z is 1e+07, expected -1e+06 to 1e+06"),
    ("faces", {"z": np.full((1, 64), np.inf)}, "z is inf, expected -1e+06 to 1e+06"),
    ("faces", {"seed": [[1]], "format": [[b"tiff"]]}, "format is 'tiff', expected one of jpeg"),
    ("faces", {"seed": [[1]], "quality": [[0]]}, "quality is 0, expected 1 to 100"),
    ("faces", {"seed": [[1]], "format": [[b"png"]], "quality": [[90]]}, "png is lossless"),
    (
        "faces",
        {"seed": [[1]], "mix": [[0.5]]},
        "mixing needs one of mix and mix_layers, and one of mix_seed and mix_z, there is mix",
    ),
    (
        "faces",
        {"seed": [[1]], "mix_seed": [[5]], "mix_z": np.zeros((1, 64)), "mix": [[0.5]]},
        "one of mix_seed and mix_z, there is mix_seed and mix_z and mix",
    ),
    ("faces", {"seed": [[1]], "mix_seed": [[5]], "mix": [[2.0]]}, "mix is 2, expected 0 to 1"),
    ("faces", {"seed": [[1]], "mix_seed": [[5]], "mix": [[0, 1]]}, "mix has 2 values, expected 1"),
    (
        "faces",
        {"seed": [[1]], "noise_scale": [[1, 2]]},
        "noise_scale has 2 values, expected 1 or 9",
    ),
    ("faces", {"seed": [[1]], "noise_seed": [[-2]]}, "noise_seed is -2, expected 0 to"),
    (
        "faces",
        {"seed": [[1]], "mix_seed": [[5]], "mix_layers": [[b"corse"]]},
        "mix_layers: cannot read 'corse', expected all, none, coarse, middle, fine or numbers",
    ),
    (
        "faces",
        {"seed": [[1]], "mix_seed": [[5]], "mix_layers": [[b"8-10"]]},
        "mix_layers: 8-10 is no part of the layers, which are 0 to 9",
    ),
    (
        "faces",
        {"seed": [[1]], "noise_layers": [[b"3-1"]]},
        "noise_layers: 3-1 is no part of the layers, which are 0 to 8",
    ),
    (
        "classes",
        {"seed": [[1]], "noise_layers": [[b"fine"]]},
        "noise_layers: there are no fine layers, the largest is 32 px",
    ),
    ("faces", {"seed": [[1]], "directions": [[b'{"a": ']]}, "expected a JSON object such as"),
    ("faces", {"seed": [[1]], "directions": [[b'{"smiel": 1}']]}, "did you mean smile?"),
    ("classes", {"seed": [[1]], "directions": [[b'{"smile": 1}']]}, "'smile': it has none"),
    (
        "faces",
        {"seed": [[1]], "directions": [[b'{"smile": NaN}']]},
        "the weight of smile is nan, expected -10 to 10",
    ),
    (
        "faces",
        {"seed": [[1]], "ws_offset": np.zeros((1, 2, 64))},
        "ws_offset is [2, 64], expected [1, 64] or [10, 64]",
    ),
    ("faces", {"seed": [[1]], "ws_offset": np.full((1, 1, 64), -2e6)}, "ws_offset is -2e+06, exp"),
    ("faces", {"ws": WS[:, :, :63]}, "ws is [1, 63], expected [1, 64] or [10, 64]"),
    ("faces", {"ws": np.repeat(WS, 9, 1)}, "ws is [9, 64], expected [1, 64] or [10, 64]"),
    ("faces", {"ws": WS * np.nan}, "ws is nan, expected -1e+06 to 1e+06"),
    (
        "faces",
        {"ws": WS, "mix_seed": [[1]], "mix": [[1]]},
        "every layer already; leave out mix_seed",
    ),
    ("faces", {"ws": WS, "mix_z": np.zeros((1, 64))}, "every layer already; leave out mix_z"),
    ("faces", {"ws": WS, "mix": [[1]]}, "ws is the code of every layer already; leave out mix"),
    ("faces", {"ws": WS, "mix_layers": [[b"all"]]}, "every layer already; leave out mix_layers"),
    ("classes", {"ws": WS, "class": [[1]]}, "which alone takes classes; leave out class"),
    ("classes", {"ws": WS, "c": np.zeros((1, 10))}, "which alone takes classes; leave out c"),
    ("progan", {"ws": WS}, "progan has no average w to reach a ws from; leave out ws"),
    ("faces", {"seed": [[1]], "modes": [[1]]}, "faces has one average w and no other centres"),
    ("faces", {"seed": [[1]], "class": [[1]]}, "faces is unconditional; leave out class"),
    ("classes", {"seed": [[1]], "class": [[10]]}, "class is 10, expected 0 to 9"),
    ("classes", {"seed": [[1]], "c": [[1.0, 0.0]]}, "c has 2 values, expected 10"),
    ("classes", {"seed": [[1]], "c": [[np.nan] * 10]}, "c is nan, expected -1e+06 to 1e+06"),
    (
        "classes",
        {"seed": [[1]], "c": np.zeros((1, 10)), "class": [[1]]},
        "send either class or c, and not both",
    ),
    ("faces", {"seed": [[1]], "noise_scale": [[-11]]}, "noise_scale is -11, expected -10 to 10"),
    ("faces", {"z": np.zeros((1, 32))}, "unexpected shape for input 'z'"),
    ("faces", {"seed": [[1]] * 17}, "batch-size must be <= 16"),
]


@pytest.mark.parametrize(("model", "settings", "message"), _BAD, ids=[m for _, _, m in _BAD])
def test_a_bad_request_is_an_invalid_argument_in_one_sentence(
    triton: InferenceServerClient, model: str, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(InferenceServerException) as raised:
        ask(triton, model, ("encoded",), **settings)

    assert raised.value.status() == "StatusCode.INVALID_ARGUMENT"
    assert message in raised.value.message()
    assert "\n" not in raised.value.message()


def test_an_unknown_model_is_not_found(triton: InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException) as raised:
        ask(triton, "dogs", seed=[[1]])

    assert raised.value.status() == "StatusCode.NOT_FOUND"


def test_two_clients_and_200_good_and_bad_requests_at_once(served: ServedGolden) -> None:
    bad = [(model, settings) for model, settings, _ in _BAD if model == "faces"]
    with InferenceServerClient(served.url) as one, InferenceServerClient(served.url) as two:
        expected = {seed: ask(one, "faces", seed=[[seed]])["image"] for seed in range(10)}

        def good(i: int) -> bool:
            image = ask((one, two)[i % 2], "faces", seed=[[i % 10]])["image"]
            return bool(np.abs(image.astype(int) - expected[i % 10]).max() <= 1)

        def refused(i: int) -> bool:
            model, settings = bad[i % len(bad)]
            message = next(m for _, s, m in _BAD if s is settings)
            try:
                ask((one, two)[i % 2], model, ("encoded",), **settings)
            except InferenceServerException as exc:
                return message in exc.message()
            return False

        with ThreadPoolExecutor(32) as pool:
            ends = list(pool.map(lambda i: refused(i) if i % 3 == 0 else good(i), range(200)))

        assert ends == [True] * 200
        assert one.is_server_live()
