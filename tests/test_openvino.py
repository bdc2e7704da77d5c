"""Models with the backend `openvino` on the embedded server, which lacks that backend."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.conftest import ServedGolden, has_bf16
from tritonclient.grpc import InferenceServerClient, InferInput

from nonesuch import Client, Format, Noise, Truncation
from nonesuch.errors import SetupError
from nonesuch_server import Embedded, Listen, Runtime
from nonesuch_server.preflight import check

pytestmark = pytest.mark.triton
RAW = Format(name="raw")
SEEDS = range(6)
ANYWHERE = Listen(grpc_port=0, http_port=0, metrics_port=0)


@pytest.fixture(scope="module")
def pictures(served: ServedGolden) -> Iterator[Client]:
    with Client(served.url) as connected:
        yield connected


def _drawn(client: Client, model: str) -> NDArray[np.int64]:
    """Pictures with some settings, in requests of one and of all at once."""
    settings: dict[str, Any] = {
        "truncation": Truncation(psi=0.6),
        "noise": Noise(mode="random", seed=3),
    }
    together = client.generate(model, SEEDS, format=RAW, **settings)
    alone = [next(iter(client.generate(model, [s], format=RAW, **settings))) for s in SEEDS]
    return np.stack([picture.array().astype(int) for picture in (*together, *alone)])


def test_pictures_are_those_of_onnxruntime(pictures: Client) -> None:
    differs = np.abs(_drawn(pictures, "vino") - _drawn(pictures, "stylegan2"))

    assert differs.max() <= 1
    assert (differs > 0).mean() <= 0.001


@pytest.mark.skipif(not has_bf16(), reason="this CPU has no bf16")
def test_pictures_in_bf16_are_near(pictures: Client) -> None:
    differs = _drawn(pictures, "half") - _drawn(pictures, "stylegan2")

    assert 0 < np.square(differs).mean((1, 2, 3)).max() <= 255**2 / 10**4  # 40 dB
    assert pictures.info("half").precision == "bf16"


def test_w_of_a_seed_is_that_of_onnxruntime(pictures: Client) -> None:
    found, expected = (pictures.map(name, SEEDS) for name in ("vino", "stylegan2"))

    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.fixture
def copied(repository: Path, tmp_path: Path) -> Path:
    """A repository with the mapping of `vino` alone, to be spoilt."""
    shutil.copytree(repository / "vino_mapping", tmp_path / "models" / "vino_mapping")
    return tmp_path / "models"


def test_weights_that_are_missing_are_named_before_the_start(copied: Path) -> None:
    weights = copied / "vino_mapping/1/model.bin"
    weights.unlink()

    with pytest.raises(SetupError, match=rf"'vino_mapping' lacks {weights}; write the model again"):
        check(copied)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        pytest.param('name: "z"', 'name: "latent"', "input latent, the model has z", id="input"),
        pytest.param('name: "w"', 'name: "ws"', "output ws, the model has w", id="output"),
        pytest.param(
            'backend: "openvino"',
            'backend: "openvino" parameters { key: "NUM_STREAMS" value { string_value: "two" } }',
            "parameter 'NUM_STREAMS' cannot be 'TWO'",
            id="parameter",
        ),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(
    copied: Path, runtime: Runtime, *, old: str, new: str, said: str
) -> None:
    config = copied / "vino_mapping/config.pbtxt"
    config.write_text(config.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")

    with pytest.raises(SetupError, match=said):
        Embedded(copied, runtime, ANYWHERE).start()


def test_a_damaged_plan_is_told_in_a_line(copied: Path, runtime: Runtime) -> None:
    (copied / "vino_mapping/1/model.xml").write_text("no plan", encoding="utf-8")

    with pytest.raises(SetupError, match="model 'vino_mapping' does not load: ") as refused:
        Embedded(copied, runtime, ANYWHERE).start()

    assert "\n" not in str(refused.value)
    assert "Exception from" not in str(refused.value)


def test_a_sample_that_does_not_fit_fails_alone(served: ServedGolden) -> None:
    def asked(client: InferenceServerClient, more: int) -> list[int]:
        given = []
        for wanted in client.get_model_metadata("vino_mapping").inputs:
            shape = [1, wanted.shape[1] + more]
            tensor = InferInput(wanted.name, shape, "FP32")
            tensor.set_data_from_numpy(np.ones(shape, np.float32))
            given.append(tensor)
        found = client.infer("vino_mapping", given).as_numpy("w")
        assert found is not None
        return list(found.shape)

    with InferenceServerClient(served.url) as client:
        with pytest.raises(Exception, match="expected"):
            asked(client, 3)
        assert asked(client, 0)[0] == 1
