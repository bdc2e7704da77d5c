"""The whole path, as a client in any language sees it: golden checkpoints behind Triton."""

import hashlib
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tests.conftest import Golden, ServedGolden, dials
from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

from nonesuch import Client, contract
from nonesuch_export import stages
from nonesuch_export.checkpoint import read
from nonesuch_export.graph import to_uint8

pytestmark = pytest.mark.triton

NAMES = ("faces", "classes", "ada")
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
    torch = pytest.importorskip("torch")
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


@pytest.mark.parametrize("name", NAMES)
def test_any_ws_can_be_asked_for(
    triton: InferenceServerClient, served: ServedGolden, name: str
) -> None:
    golden = served.cases[name]
    offset = golden["ws_mix"] - golden["w_avg"]

    image = ask(triton, name, seed=[[0]], psi=[[0.0]], ws_offset=offset)["image"]

    assert np.abs(image.astype(int) - levels(golden["img_mix_const"])).max() <= 1


def test_a_latent_and_soft_classes_do_instead_of_seed_and_class(
    triton: InferenceServerClient, served: ServedGolden
) -> None:
    golden = served.cases["classes"]

    image = ask(triton, "classes", z=golden["z"], c=golden["c"])["image"]

    assert np.abs(image.astype(int) - levels(golden["img_psi1_const"])).max() <= 1


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


def _eight() -> list[dict[str, Any]]:
    """Eight requests, each with other controls, formats and sizes of settings."""
    return [
        {"seed": [[11]]},
        {"seed": [[12]], "psi": [[0.5]]},
        {"seed": [[13]], "psi": [[-0.7]], "cutoff": [[3]]},
        {"seed": [[14]], "mix_seed": [[99]], "mix": [[0.5]]},
        {"seed": [[16]], "noise_seed": [[4_000_000_000]]},
        {"seed": [[17]], "noise_scale": [[0, 0, 0, 1, 1, 1, 2, 2, 2]], "noise_seed": [[1]]},
        {"z": np.ones((1, 64)), "mix_z": np.zeros((1, 64)) + 0.1, "mix_layers": [[b"fine"]]},
        {"seed": [[18]], "directions": [[b'{"smile": 2}']], "noise_layers": [[b"coarse,5"]]},
    ]


def test_eight_settings_at_once_equal_eight_single_runs(
    triton: InferenceServerClient, served: ServedGolden
) -> None:
    alone = [ask(triton, "faces", **settings)["image"] for settings in _eight()]
    before = _runs(triton, "faces_generator")

    def one(settings: dict[str, Any]) -> NDArray[Any]:
        barrier.wait()
        with InferenceServerClient(served.url) as own:
            return ask(own, "faces", **settings)["image"]

    batched = 0
    for _ in range(10):  # until some of them met in the generator
        barrier = threading.Barrier(8)
        with ThreadPoolExecutor(8) as pool:
            together = list(pool.map(one, _eight()))
        for a, b in zip(alone, together, strict=True):
            assert np.abs(a.astype(int) - b).max() <= 1
        inferences, executions = _runs(triton, "faces_generator")
        batched = (inferences - before[0]) - (executions - before[1])
        if batched >= 8:
            break
    assert batched >= 8


def _runs(triton: InferenceServerClient, model: str) -> tuple[int, int]:
    """How many samples a model has served so far, in how many runs."""
    (stats,) = triton.get_inference_statistics(model).model_stats
    return stats.inference_count, stats.execution_count


_BAD: list[tuple[str, dict[str, Any], str]] = [
    ("faces", {"seed": [[1]], "psi": [[np.nan]]}, "psi is nan, expected -10 to 10"),
    ("faces", {"seed": [[1]], "psi": [[10.5]]}, "psi is 10.5, expected -10 to 10"),
    ("faces", {"seed": [[1]], "cutoff": [[11]]}, "cutoff is 11, expected -1 to 10"),
    ("faces", {"seed": [[2**32]]}, "seed is 4294967296, expected 0 to 4294967295"),
    ("faces", {"seed": [[-1]]}, "seed is -1, expected 0 to 4294967295"),
    ("faces", {"seed": [[1], [-5]]}, "seed is -5, expected 0 to 4294967295"),
    ("faces", {"psi": [[1.0]]}, "send either seed or z, and not both"),
    ("faces", {"seed": [[1]], "z": np.zeros((1, 64))}, "send either seed or z, and not both"),
    ("faces", {"z": np.full((1, 64), 1e7)}, "z is 1e+07, expected -1e+06 to 1e+06"),
    ("faces", {"z": np.full((1, 64), np.inf)}, "z is inf, expected -1e+06 to 1e+06"),
    ("faces", {"seed": [[1]], "format": [[b"tiff"]]}, "format is 'tiff', expected one of jpeg"),
    ("faces", {"seed": [[1]], "quality": [[0]]}, "quality is 0, expected 1 to 100"),
    ("faces", {"seed": [[1]], "format": [[b"png"]], "quality": [[90]]}, "png is lossless"),
    ("faces", {"seed": [[1]], "mix": [[0.5]]}, "mixing needs one of mix and mix_layers"),
    (
        "faces",
        {"seed": [[1]], "mix_seed": [[5]]},
        "mixing needs one of mix and mix_layers, and one",
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
    ("faces", {"seed": [[1]], "ws_offset": np.zeros((1, 2, 64))}, "ws_offset is [2, 64], exp"),
    ("faces", {"seed": [[1]], "class": [[1]]}, "faces is unconditional; leave out class"),
    ("classes", {"seed": [[1]], "class": [[10]]}, "class is 10, expected 0 to 9"),
    ("classes", {"seed": [[1]], "c": [[1.0, 0.0]]}, "c has 2 values, expected 10"),
    ("faces", {"z": np.zeros((1, 32))}, "unexpected shape for input 'z'"),
    ("faces", {"seed": [[1]] * 9}, "batch-size must be <= 8"),
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
    settings = _eight()[2] | {"mix_seed": [[7]], "mix": [[0.25]], "noise_seed": [[3]]}
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
            t.name for t in contract.GRAPH if t.name not in {"c", "transform"}
        )


def test_the_noise_of_a_seed_follows_the_written_formula(
    triton: InferenceServerClient, served: ServedGolden
) -> None:
    """The generator, fed with shifts by the client's formula, agrees with the sampler's."""
    golden = served.cases["faces"]
    resolutions = [4, 8, 8, 16, 16, 32, 32, 64, 64]
    shifts = [contract.noise_shift(123, k, r) for k, r in enumerate(resolutions)]
    tensors = {
        "z": golden["z"][:1],
        "mix_z": golden["z"][:1],
        "mix": np.zeros((1, 10), np.float32),
        "psi": np.ones((1, 10), np.float32),
        "ws_offset": np.zeros((1, 10, 64), np.float32),
        "noise_scale": np.ones((1, 9), np.float32),
        "noise_shift": np.array([shifts], np.int32),
    }
    kinds = {t.name: t.dtype for t in contract.GRAPH}
    inputs = [InferInput(n, a.shape, kinds[n]).set_data_from_numpy(a) for n, a in tensors.items()]

    direct = triton.infer("faces_generator", inputs).as_numpy("image")

    sampled = ask(triton, "faces", seed=[[0]], noise_seed=[[123]])["image"]
    assert np.abs(direct.astype(int) - sampled).max() <= 1
