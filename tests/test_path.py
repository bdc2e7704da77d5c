"""The whole path, as a client in any language sees it: golden checkpoints behind Triton."""

import hashlib
import json
from collections.abc import Iterator
from io import BytesIO
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from tests.conftest import Golden, ServedGolden, dials
from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput

from nonesuch import Client, Format, Mix, Noise, Sample, Truncation, contract
from nonesuch_export import stages
from nonesuch_export.checkpoint import read
from nonesuch_export.graph import to_uint8

pytestmark = pytest.mark.triton

NAMES = ("faces", "classes", "ada")
RAW = Format(name="raw")
_NUMPY: dict[str, Any] = {"FP32": np.float32, "INT32": np.int32, "INT64": np.int64, "BYTES": object}
_DTYPES = {t.name: t.dtype for t in contract.REQUEST}

Answer = dict[str, NDArray[Any]]


@pytest.fixture(scope="module")
def triton(served: ServedGolden) -> Iterator[InferenceServerClient]:
    with InferenceServerClient(served.url) as connected:
        yield connected


def ask(
    triton: InferenceServerClient,
    model: str,
    outputs: tuple[str, ...] = ("image",),
    **settings: Any,
) -> Answer:
    """One request; each setting is an array with the batch axis in front."""
    inputs = []
    for name, value in settings.items():
        array = np.asarray(value, _NUMPY[_DTYPES[name]])
        tensor = InferInput(name, array.shape, _DTYPES[name])
        tensor.set_data_from_numpy(array)
        inputs.append(tensor)
    wanted = [InferRequestedOutput(name) for name in outputs]
    result = triton.infer(model, inputs, outputs=wanted, client_timeout=30)
    return {name: result.as_numpy(name) for name in outputs}


def classes(case: Golden, count: int) -> dict[str, Any]:
    return {"class": case["class_idx"][:count, None]} if case["c"].shape[1] else {}


def levels(img: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The authors' 8-bit conversion of golden images [N, C, H, W]."""
    converted: NDArray[np.uint8] = to_uint8(torch.from_numpy(img)).numpy()
    return converted


def opened(encoded: NDArray[Any]) -> NDArray[np.uint8]:
    return np.stack([np.asarray(Image.open(BytesIO(row[0]))) for row in encoded])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("case", "settings"),
    [
        pytest.param("img_psi1_const", {}, id="plain"),
        pytest.param("img_psi07_const", {"psi": 0.7}, id="psi 0.7"),
        pytest.param("img_psi05_cut4_const", {"psi": 0.5, "cutoff": 4}, id="psi 0.5, cutoff 4"),
        pytest.param("img_psi1_none", {"noise_scale": 0.0}, id="no noise"),
    ],
)
def test_seeds_give_the_authors_pictures_as_png(
    triton: InferenceServerClient,
    served: ServedGolden,
    name: str,
    case: str,
    settings: dict[str, float],
) -> None:
    golden = served.cases[name]
    count = len(golden[case])
    sent: dict[str, Any] = {key: [[value]] * count for key, value in settings.items()}
    sent |= {"seed": golden["seeds"][:count, None], "format": [[b"png"]] * count}

    answer = ask(triton, name, ("encoded",), **sent, **classes(golden, count))

    difference = np.abs(opened(answer["encoded"]).astype(int) - levels(golden[case]))
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.001


@pytest.mark.parametrize("name", ["faces", "ada"])
def test_mixing_gives_the_authors_picture(
    triton: InferenceServerClient, served: ServedGolden, name: str
) -> None:
    golden = served.cases[name]
    rows = golden["ws_mix"].shape[1]

    image = ask(triton, name, seed=[[0]], mix_seed=[[1]], mix=[[0] * 3 + [1] * (rows - 3)])["image"]

    assert np.abs(image.astype(int) - levels(golden["img_mix_const"])).max() <= 1


def test_a_latent_and_soft_classes_do_instead_of_seed_and_class(
    triton: InferenceServerClient, served: ServedGolden
) -> None:
    golden = served.cases["classes"]

    image = ask(triton, "classes", z=golden["z"], c=golden["c"])["image"]

    assert np.abs(image.astype(int) - levels(golden["img_psi1_const"])).max() <= 1


def _sixty_four() -> Iterator[Sample]:
    """Samples of `faces` of which no two set the same controls."""
    numbers = np.random.default_rng(8)
    for i, which in enumerate(product([False, True], repeat=6)):
        other, truncated, mixed, scaled, seeded, moved = which
        settings: dict[str, Any] = {"seed": 100 + i}
        if other:  # mixing is for z; without it, a whole W code
            settings = {"z": numbers.standard_normal(64)}
            if not mixed:
                settings = {"ws": numbers.standard_normal((10, 64))}
        if truncated:
            settings["truncation"] = Truncation(psi=0.9 - i / 64, cutoff=i % 11)
        if mixed:
            settings["mix"] = Mix(z=numbers.standard_normal(64), shares=(i / 64,))
        settings["noise"] = Noise(
            mode="random" if seeded else "const",
            seed=i if seeded else None,
            scale=i / 32 if scaled else 1.0,
            layers=("coarse", "fine", "2-5")[i % 3] if scaled else "all",
        )
        if moved:
            settings["directions"] = {"smile": 2 - i / 16, "age": i / 64}
        yield Sample(**settings)


def test_64_unlike_requests_at_once_share_batches_and_equal_their_single_runs(
    triton: InferenceServerClient, served: ServedGolden
) -> None:
    with Client(served.url, in_flight=1) as one_by_one:
        alone = list(one_by_one.generate_each("faces", _sixty_four(), format=RAW))

    batch = 0.0
    for _ in range(5):  # how many meet in so small a generator depends on what else is running
        before = _runs(triton, "faces_generator")
        with Client(served.url, in_flight=64) as at_once:
            together = list(at_once.generate_each("faces", _sixty_four(), format=RAW))
        inferences, executions = np.subtract(_runs(triton, "faces_generator"), before)
        assert inferences == 64
        for a, b in zip(alone, together, strict=True):
            assert np.abs(a.array().astype(int) - b.array()).max() <= 1
            assert a.recipe == b.recipe
        batch = max(batch, inferences / executions)
        if batch > 4:
            break

    assert batch > 4


def _runs(triton: InferenceServerClient, model: str) -> tuple[int, int]:
    """How many samples a model has served so far, in how many runs."""
    (stats,) = triton.get_inference_statistics(model).model_stats
    return stats.inference_count, stats.execution_count


def test_every_file_says_that_it_is_synthetic_and_how_it_was_made(
    triton: InferenceServerClient,
) -> None:
    sent = {"seed": [[5]] * 3, "format": [[b"jpeg"], [b"png"], [b"webp"]]}

    answer = ask(triton, "faces", ("encoded", "recipe"), **sent)

    for encoded, recipe, kind in zip(
        answer["encoded"][:, 0], answer["recipe"][:, 0], ("JPEG", "PNG", "WEBP"), strict=True
    ):
        picture = Image.open(BytesIO(encoded))
        picture.load()
        packet = picture.info["XML:com.adobe.xmp" if kind == "PNG" else "xmp"]
        text = packet if isinstance(packet, str) else packet.decode()
        assert picture.format == kind
        assert "digitalsourcetype/trainedAlgorithmicMedia" in text
        assert recipe.decode() in text
        assert json.loads(recipe)["seed"] == 5


def test_a_recipe_too_long_for_a_jpeg_is_shortened_in_the_file_only(
    triton: InferenceServerClient,
) -> None:
    offset = np.random.default_rng(1).standard_normal((1, 6, 2048), np.float32)

    answer = ask(triton, "wide", ("encoded", "recipe"), seed=[[5]], ws_offset=offset)

    picture = Image.open(BytesIO(answer["encoded"][0, 0]))
    text, recipe = picture.info["xmp"].decode(), answer["recipe"][0, 0]
    assert (picture.format, picture.mode) == ("JPEG", "L")
    assert "digitalsourcetype/trainedAlgorithmicMedia" in text
    assert hashlib.sha256(recipe).hexdigest() in text
    assert '"seed": 5' in text
    assert len(json.loads(recipe)["ws_offset"]) == 65536


def test_a_direction_is_an_offset_of_its_rows(
    triton: InferenceServerClient, served: ServedGolden
) -> None:
    named = dials(read(served.cases["faces"].path))
    offset = np.zeros((1, 10, 64), np.float32)
    offset[0, 3:7] += 1.5 * named.vectors[0]
    offset[0] -= named.vectors[1]

    by_name = ask(triton, "faces", seed=[[3]], directions=[[b'{"smile": 1.5, "age": -1}']])
    by_hand = ask(triton, "faces", seed=[[3]], ws_offset=offset)

    assert np.abs(by_name["image"].astype(int) - by_hand["image"]).max() <= 1


def test_a_recipe_remakes_its_picture(triton: InferenceServerClient) -> None:
    settings: dict[str, Any] = {"seed": [[13]], "psi": [[-0.7]], "cutoff": [[3]]}
    settings |= {"mix_seed": [[7]], "mix": [[0.25]], "noise_seed": [[3]]}
    settings |= {"directions": [[b'{"age": 0.5}']], "noise_layers": [[b"fine"]]}
    first = ask(triton, "faces", ("image", "recipe"), **settings)

    recipe = json.loads(first["recipe"][0, 0])
    again: dict[str, Any] = {
        k: [v if isinstance(v, list) else [v]] for k, v in recipe.items() if k in _DTYPES
    }
    for name in ("format", "noise_layers"):
        again[name] = [[recipe[name].encode()]]
    again["directions"] = [[json.dumps(recipe["directions"]).encode()]]

    assert (ask(triton, "faces", **again)["image"] == first["image"]).all()


def test_outputs_come_alone_or_together(triton: InferenceServerClient) -> None:
    for outputs in (("encoded",), ("image",), ("recipe",), ("encoded", "image", "recipe")):
        answer = ask(triton, "faces", outputs, seed=[[1], [2]])
        assert {name: len(value) for name, value in answer.items()} == dict.fromkeys(outputs, 2)


def test_the_stages_tables_are_the_contracts(served: ServedGolden) -> None:
    source = (stages.__file__ or "").replace("__init__", "sampler")
    with open(source, encoding="utf-8") as file:  # noqa: PTH123 (a name, not a path)
        text = file.read()
    table = text[text.index("NEEDS = {") : text.index("LACKS = {")]

    scope: dict[str, Any] = {}
    exec(table, scope)
    assert scope["NEEDS"] == {t.name: t.control for t in contract.REQUEST}
    with Client(served.url) as client:
        assert client.info("faces").controls == tuple(
            t.name for t in contract.GRAPH if t.name not in {"c", "modes", "transform"}
        )
