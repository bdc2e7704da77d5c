"""Codes of W through the whole path: mapped, kept, truncated, moved and drawn."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.conftest import ServedGolden
from tests.test_path import NAMES, RAW, ask, levels
from tritonclient.grpc import InferenceServerClient, InferInput

from nonesuch import Client, Codes, Picture, Sample, Truncation

pytestmark = pytest.mark.triton


@pytest.fixture(scope="module")
def triton(served: ServedGolden) -> Iterator[InferenceServerClient]:
    with InferenceServerClient(served.url) as connected:
        yield connected


@pytest.mark.parametrize("name", NAMES)
def test_any_ws_can_be_asked_for(
    triton: InferenceServerClient, served: ServedGolden, name: str
) -> None:
    golden = served.cases[name]
    offset = golden["ws_mix"] - golden["w_avg"]

    whole = ask(triton, name, ws=golden["ws_mix"])["image"]
    by_hand = ask(triton, name, seed=[[0]], psi=[[0.0]], ws_offset=offset)["image"]

    for image in (whole, by_hand):
        assert np.abs(image.astype(int) - levels(golden["img_mix_const"])).max() <= 1


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("case", "settings"),
    [
        pytest.param("img_psi1_const", {}, id="as it is"),
        pytest.param("img_psi07_const", {"psi": 0.7}, id="psi 0.7"),
        pytest.param("img_psi05_cut4_const", {"psi": 0.5, "cutoff": 4}, id="psi 0.5, cutoff 4"),
        pytest.param("img_psi1_none", {"noise_scale": 0.0}, id="no noise"),
    ],
)
def test_a_ws_is_truncated_where_that_is_asked_for(
    triton: InferenceServerClient,
    served: ServedGolden,
    name: str,
    case: str,
    settings: dict[str, float],
) -> None:
    golden = served.cases[name]
    count = len(golden[case])
    sent: dict[str, Any] = {key: [[value]] * count for key, value in settings.items()}

    image = ask(triton, name, ws=golden["w"][:count, None], **sent)["image"]

    assert np.abs(image.astype(int) - levels(golden[case])).max() <= 1


def test_offsets_and_directions_add_to_a_ws(
    triton: InferenceServerClient, served: ServedGolden
) -> None:
    code = served.cases["faces"]["w"][:1, None]
    moved: dict[str, Any] = {"ws_offset": np.full((1, 1, 64), 0.3), "directions": [[b'{"age": 1}']]}

    of_seed = ask(triton, "faces", seed=[[0]], **moved)["image"]
    of_ws = ask(triton, "faces", ws=code, **moved)["image"]

    assert np.abs(of_ws.astype(int) - of_seed).max() <= 1
    assert np.abs(of_ws.astype(int) - ask(triton, "faces", ws=code)["image"]).max() > 1


@pytest.mark.parametrize("name", NAMES)
def test_codes_of_seeds_kept_in_a_file_give_the_pictures_of_the_seeds(
    served: ServedGolden, name: str, tmp_path: Path
) -> None:
    with Client(served.url) as client:
        card = client.info(name)
        class_idx = 3 if card.c_dim else None
        w = client.map(name, range(12), class_idx=class_idx)
        Codes(ws=w, model=name, model_hash=card.model_hash).save(tmp_path / "w.npz")
        codes = Codes.load(tmp_path / "w.npz")
        codes.check(card)
        psi = Truncation(psi=0.6, cutoff=5)

        of_codes = client.generate_each(name, codes.samples(truncation=psi), format=RAW)
        of_seeds = client.generate(name, range(12), truncation=psi, format=RAW, class_idx=class_idx)

        for a, b in zip(of_codes, of_seeds, strict=True):
            assert a.seed is None
            assert np.abs(a.array().astype(int) - b.array()).max() <= 1


@pytest.mark.parametrize("latent", ["ws", "z"])
def test_the_recipe_of_a_latent_remakes_its_picture(served: ServedGolden, latent: str) -> None:
    shape = (10, 64) if latent == "ws" else (64,)
    values = np.random.default_rng(2).standard_normal(shape, np.float32)

    def drawn(values: NDArray[np.float32], psi: float, cutoff: int) -> Picture:
        truncation = Truncation(psi=psi, cutoff=cutoff)
        given = (None, values) if latent == "ws" else (values, None)
        sample = Sample(z=given[0], ws=given[1], truncation=truncation)
        (picture,) = client.generate_each("faces", [sample], format=RAW)
        return picture

    with Client(served.url) as client:
        first = drawn(values, 0.5, 4)
        noted = np.frombuffer(base64.b64decode(first.recipe[latent]), "<f4").reshape(shape)
        second = drawn(noted, first.recipe["psi"], first.recipe["cutoff"])

    assert (noted == values).all()
    assert (first.array() == second.array()).all()


@pytest.mark.parametrize("name", NAMES)
def test_the_mapping_alone_answers_w(
    triton: InferenceServerClient, served: ServedGolden, name: str
) -> None:
    golden = served.cases[name]
    inputs = [InferInput("z", golden["z"].shape, "FP32").set_data_from_numpy(golden["z"])]
    if golden["c"].shape[1]:
        inputs += [InferInput("c", golden["c"].shape, "FP32").set_data_from_numpy(golden["c"])]

    w = triton.infer(f"{name}_mapping", inputs).as_numpy("w")

    np.testing.assert_allclose(w, golden["w"], atol=1e-5)
