"""Every family behind Triton: its own controls work, those that it lacks are refused."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests import families
from tests.conftest import GOLDEN, ServedGolden
from tests.test_path import ask
from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

from nonesuch import Client, Codes, Format, Mix, Noise, Truncation
from nonesuch.card import Card
from nonesuch.errors import InvalidRequest
from nonesuch.options import Transform
from nonesuch_export import checkpoint, network
from nonesuch_export.checkpoint import native
from nonesuch_export.graph import Pipeline, controls, neutral
from nonesuch_export.network import FAMILIES

RAW = Format(name="raw")
MOVED = Transform(translate=(0.2, -0.1), rotate=40)
# A setting for each control, by what the client calls it.
OPTIONS: dict[str, dict[str, Any]] = {
    "mix": {"mix": Mix(seed=9, crossover=1)},
    "c": {"class_idx": 1},
    "psi": {"truncation": Truncation(psi=0.3)},
    "modes": {"truncation": Truncation(psi=0.3, modes=True)},
    "ws_offset": {"ws_offset": np.full(10, 0.7)},
    "noise_scale": {"noise": Noise(mode="none")},
    "noise_shift": {"noise": Noise(mode="random", seed=3)},
    "transform": {"transform": MOVED},
}


@pytest.fixture(scope="module")
def triton(served: ServedGolden) -> Iterator[InferenceServerClient]:
    with InferenceServerClient(served.url) as connected:
        yield connected


@pytest.fixture(scope="module")
def client(served: ServedGolden) -> Iterator[Client]:
    with Client(served.url) as connected:
        yield connected


def sent(card: Card, control: str) -> dict[str, Any]:
    """Tensors of a request of one sample that set this control."""
    settings: dict[str, dict[str, Any]] = {
        "mix": {"mix_seed": [[9]], "mix": [[1.0]]},
        "c": {"class": [[1]]},
        "psi": {"psi": [[0.3]], "cutoff": [[-1]]},
        "modes": {"modes": [[1]]},
        "ws_offset": {"ws_offset": np.full((1, card.num_ws or 1, card.w_dim or 1), 0.7)},
        "noise_scale": {"noise_scale": [[0.0]]},
        "noise_shift": {"noise_seed": [[3]]},
        "transform": {"transform": [MOVED.matrix]},
    }
    return settings[control]


@pytest.mark.triton
@pytest.mark.parametrize("control", OPTIONS)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_control_changes_the_picture_or_is_refused(
    triton: InferenceServerClient, client: Client, family: str, control: str
) -> None:
    settings = sent(client.info(family), control)
    if control not in controls(families.small(family)):
        name = next(iter(settings))
        with pytest.raises(InferenceServerException, match=f"{family} .+; leave out {name}"):
            ask(triton, family, seed=[[5]], **settings)
        return

    plain = ask(triton, family, seed=[[5]])["image"]
    answer = ask(triton, family, ("image", "recipe"), seed=[[5]], **settings)

    assert (plain != answer["image"]).any()
    assert set(settings) <= set(json.loads(answer["recipe"][0, 0]))


@pytest.mark.triton
@pytest.mark.parametrize("control", OPTIONS)
@pytest.mark.parametrize("family", FAMILIES)
def test_the_client_refuses_what_a_family_lacks_before_it_asks(
    client: Client, family: str, control: str
) -> None:
    if control in client.info(family).controls:
        (picture,) = client.generate(family, [5], format=RAW, **OPTIONS[control])
        assert picture.array().shape == (16, 16, 3)
        return

    with pytest.raises(InvalidRequest, match=f"{family} .*takes no .*, remove that setting"):
        client.generate(family, [5], **OPTIONS[control])


@pytest.mark.triton
@pytest.mark.parametrize("family", FAMILIES)
def test_all_controls_at_once_give_what_torch_gives(
    triton: InferenceServerClient, client: Client, family: str
) -> None:
    card = client.info(family)
    settings: dict[str, Any] = {"c": [[0.25, 0.0, 0.75]]}
    for control in set(card.controls) & {"mix", "ws_offset", "noise_scale", "transform"}:
        settings |= sent(card, control)
    z = np.random.RandomState(0).randn(1, card.z_dim).astype(np.float32)
    second = {"mix_z": -z, "psi": [[0.6]]} if card.w_dim else {}
    settings = {k: v for k, v in settings.items() if k != "mix_seed"} | second

    image = ask(triton, family, z=z, **settings)["image"]

    assert np.abs(image.astype(int) - _reference(family, z, settings)).max() <= 1


def _reference(family: str, z: NDArray[np.float32], settings: dict[str, Any]) -> NDArray[Any]:
    """The picture as torch draws it, [1, H, W, C]."""
    generator = families.small(family)
    pipeline = Pipeline(generator)
    given = neutral(generator, torch.from_numpy(z))
    for name, value in settings.items():
        if name in given:
            given[name] = torch.tensor(np.array(value)).float().expand(given[name].shape)
    with torch.inference_mode():
        image: NDArray[np.uint8] = pipeline(*(given[name] for name in pipeline.names)).numpy()
    return image


@pytest.mark.triton
@pytest.mark.parametrize(
    ("matrix", "said"),
    [
        pytest.param(np.eye(2), "transform is \\[2, 2\\], expected \\[3, 3\\]", id="two rows"),
        pytest.param(np.diag([1, 1, np.nan]), "transform is nan, expected -1e", id="nan"),
        pytest.param(np.diag([1, np.inf, 1]), "transform is inf, expected -1e", id="infinite"),
    ],
)
def test_a_transform_that_is_none_is_refused(
    triton: InferenceServerClient, matrix: NDArray[Any], said: str
) -> None:
    with pytest.raises(InferenceServerException, match=said):
        ask(triton, "stylegan3", seed=[[5]], transform=matrix[None])


@pytest.mark.triton
def test_without_a_w_there_is_no_mapping_to_serve(repository: Path) -> None:
    assert not (repository / "progan_mapping").exists()
    assert (repository / "stylegan1_mapping").is_dir()


@pytest.mark.triton
@pytest.mark.parametrize("family", sorted(set(FAMILIES) - {"progan"}))
def test_w_of_a_seed_is_drawn_as_the_seed_is(client: Client, family: str) -> None:
    w = client.map(family, range(5), class_idx=1)
    codes = Codes(ws=w, model=family, model_hash=client.info(family).model_hash)

    of_codes = client.generate_each(family, codes.samples(), format=RAW)

    plain = Truncation(psi=1.0)
    of_seeds = client.generate(family, range(5), class_idx=1, truncation=plain, format=RAW)
    for one, other in zip(of_codes, of_seeds, strict=True):
        assert np.abs(one.array().astype(int) - other.array()).max() <= 1


@pytest.mark.triton
def test_a_checkpoints_own_defaults_hold_where_a_request_names_none(client: Client) -> None:
    (plain,) = client.generate("stylegan1", [5])

    assert (plain.recipe["psi"], plain.recipe["cutoff"]) == (0.7, 4)


@pytest.mark.triton
@pytest.mark.parametrize("family", FAMILIES)
def test_soft_labels_lie_between_classes(client: Client, family: str) -> None:
    def drawn(**settings: Any) -> NDArray[np.int64]:
        (picture,) = client.generate(family, [5], format=RAW, **settings)
        return picture.array().astype(int)

    one, soft = drawn(class_idx=2), drawn(class_weights={1: 0.5, 2: 0.5})

    assert (drawn(class_weights=[0, 0, 1]) == one).all()
    assert (soft != one).any()
    assert (soft != drawn(class_idx=1)).any()


@pytest.mark.triton
def test_a_cropped_model_serves_the_part_alone(client: Client) -> None:
    card = client.info("cars")

    (picture,) = client.generate("cars", [5], format=Format(name="png"))

    assert (card.height, card.width, card.channels) == (12, 16, 4)
    assert card.crop == picture.recipe["crop"] == "16x12+0+2"
    assert picture.array().shape == (12, 16, 4)


def test_the_page_of_families_is_current() -> None:
    page = Path(__file__).parents[1] / "docs" / "families.md"

    assert page.read_text(encoding="utf-8") == families.page()


def test_every_golden_file_is_of_a_format_and_family_in_the_table() -> None:
    for path in sorted(GOLDEN.glob("*.p*")):
        found = checkpoint.read(path)
        assert found.family in checkpoint.FORMATS[found.provenance.format][1], path.name


def test_native_files_of_every_family_are_read(tmp_path: Path) -> None:
    for family in checkpoint.FORMATS["native"][1]:
        path = tmp_path / f"{family}.safetensors"
        native.write(network.freeze(families.small(family), family), path)
        assert network.check(checkpoint.read(path)) == families.small(family).config
