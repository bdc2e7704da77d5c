"""StyleGAN2 of the TensorFlow program: the authors' pictures, and every option's formulas."""

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.conftest import GOLDEN
from tests.export import forge_tensorflow as forge
from tests.export.test_graph import Exported, Feeds
from tests.export.textbook_tensorflow import Textbook

from nonesuch.errors import CheckpointError, UnsupportedCheckpoint
from nonesuch_export import graph, network
from nonesuch_export.checkpoint import Checkpoint, Provenance, native, read, tensorflow
from nonesuch_export.checkpoint.source import Bounded
from nonesuch_export.checkpoint.unpickle import load
from nonesuch_export.network import Generator
from nonesuch_export.network.config import Config

STEMS = ("stylegan2tf-64", "stylegan2tf-32-orig")
_CUT = re.compile(r"images_psi(None|m?\d+(?:p\d+)?)(?:_cutoff(None|\d+))?(?:_seed0)?")
_MIX = re.compile(r"images_mix_row(\d)_col(\d)_layers(\d+)to(\d+)(?:_psi(0p5))?")


@dataclass(frozen=True)
class Golden:
    """One golden case: the generator read from the file, and what the authors' code makes."""

    path: Path
    generator: Generator
    arrays: dict[str, NDArray[Any]]

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.arrays[name]

    def feeds(self, rows: slice) -> Feeds:
        given = graph.neutral(self.generator, torch.from_numpy(self["latents"][rows]))
        return {name: value.numpy().copy() for name, value in given.items()}

    def cases(self) -> Iterator[tuple[str, Feeds]]:
        """Name and the graph's inputs of each golden image that one request can ask for."""
        for key in self.arrays:
            if key.startswith("images_") and (feeds := self._asked(key)):
                yield key, feeds

    def _asked(self, key: str) -> Feeds | None:
        feeds = self.feeds(slice(len(self[key])))
        if key == "images_default":
            feeds["psi"][:] = _psi(self.generator, *self.generator.recommended)
        elif key == "images_noise_zero_seed0":
            feeds["psi"][:] = _psi(self.generator, *self.generator.recommended)
            feeds["noise_scale"][:] = 0
        elif key == "images_wplus":
            feeds["psi"][:] = 0
            feeds["ws_offset"][:] = self["wplus"] - self["dlatent_avg"]
        elif found := _CUT.fullmatch(key):
            psi, cutoff = _number(found[1]), _number(found[2] or "None")
            feeds["psi"][:] = _psi(self.generator, psi, None if cutoff is None else int(cutoff))
        elif found := _MIX.fullmatch(key):
            row, col, low, high = map(int, found.groups()[:4])
            feeds["z"], feeds["mix_z"] = self["latents"][[row]], self["latents"][[col]]
            feeds["mix"][:, low : high + 1] = 1
            feeds["psi"][:] = _number(found[5] or "1") or 1
        else:
            return None
        return feeds


def _number(text: str) -> float | None:
    return None if text == "None" else float(text.replace("m", "-").replace("p", "."))


def _psi(generator: Generator, psi: float | None, cutoff: int | None) -> NDArray[np.float32]:
    """psi by row [num_ws]; this program takes no cutoff for all rows."""
    rows = np.ones(generator.num_ws, np.float32)
    rows[:cutoff] = 1 if psi is None else psi
    return rows


@functools.cache
def _loaded(stem: str) -> Golden:
    with np.load(GOLDEN / f"{stem}.npz", allow_pickle=False) as file:
        path = GOLDEN / f"{stem}.pkl"
        return Golden(path, network.build(read(path)), dict(file))


@pytest.fixture(scope="module", params=STEMS)
def golden(request: pytest.FixtureRequest) -> Golden:
    return _loaded(request.param)


@pytest.fixture(scope="module")
def exported(golden: Golden, graphs: Path) -> Exported:
    return Exported(golden.generator, graphs / f"{golden.path.stem}.onnx")


def _image(generator: Generator, feeds: Feeds) -> NDArray[Any]:
    with torch.inference_mode():
        given = {name: torch.from_numpy(value) for name, value in feeds.items()}
        return graph.Pipeline(generator).image(given).numpy()


def _joined(parts: list[Feeds]) -> Feeds:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _split(feeds: Feeds) -> Iterator[Feeds]:
    for i in range(len(feeds["z"])):
        yield {name: value[i : i + 1] for name, value in feeds.items()}


def test_all_golden_images_are_compared(golden: Golden) -> None:
    asked = {name for name, _ in golden.cases()}

    others = {key for key in golden.arrays if key.startswith("images_")} - asked
    assert others <= {"images_G_seed0", "images_runner_seed7"}  # which have tests of their own


def test_w_and_ws_are_the_authors(golden: Golden) -> None:
    pipeline = graph.Pipeline(golden.generator)

    for key, psi in (("", (1.0, None)), ("_default", (0.5, None)), ("_psi0p7", (0.7, None))):
        feeds = golden.feeds(slice(4))
        feeds["psi"][:] = _psi(golden.generator, *psi)
        ws = pipeline.ws({name: torch.from_numpy(value) for name, value in feeds.items()})
        np.testing.assert_allclose(ws.numpy(), golden[f"dlatents{key}"], rtol=1e-5, atol=1e-5)
    for key, feeds in golden.cases():
        if (name := key.replace("images", "dlatents")) in golden.arrays:
            ws = pipeline.ws({name: torch.from_numpy(value) for name, value in feeds.items()})
            np.testing.assert_allclose(ws.numpy(), golden[name], rtol=1e-5, atol=1e-5)


def test_the_files_default_truncation_is_recommended(golden: Golden) -> None:
    assert golden.generator.recommended == (0.5, None)


def test_images_are_the_authors(golden: Golden) -> None:
    for key, feeds in golden.cases():
        np.testing.assert_allclose(_image(golden.generator, feeds), golden[key], atol=2e-5)


def test_onnx_runtime_gives_the_authors_images_one_by_one(
    golden: Golden, exported: Exported
) -> None:
    for key, feeds in golden.cases():
        for i, one in enumerate(_split(feeds)):
            _, img = exported.run(one)
            np.testing.assert_allclose(img, golden[key][i : i + 1], atol=2e-5)


def test_onnx_runtime_gives_the_authors_images_in_one_batch(
    golden: Golden, exported: Exported
) -> None:
    keys, parts = zip(*golden.cases(), strict=True)

    _, img = exported.run(_joined(list(parts)))

    assert len(img) > 5
    np.testing.assert_allclose(img, np.concatenate([golden[key] for key in keys]), atol=2e-5)


def _levels(image: NDArray[Any], expected: NDArray[Any]) -> None:
    difference = np.abs(image.astype(int) - expected)
    assert difference.max() <= 1
    assert (difference > 0).mean() <= 0.001


def test_eight_bits_are_the_authors(golden: Golden, exported: Exported) -> None:
    feeds = golden.feeds(slice(1))
    feeds["psi"][:] = 0.5

    image, img = exported.run(feeds)

    _levels(image, golden["uint8_default_seed0"])
    n, c, h, w = img.shape
    half = torch.from_numpy(img.reshape(n, c, h // 2, 2, w // 2, 2).mean(axis=(3, 5)))
    _levels(graph.to_uint8(half).numpy(), golden["uint8_shrink2_seed0"])


def test_the_command_lines_picture_of_a_seed_is_reproduced() -> None:
    golden = _loaded("stylegan2tf-64")
    random = np.random.RandomState(7)
    z = random.randn(1, golden.generator.config.z_dim).astype(np.float32)
    noise = [torch.from_numpy(random.randn(*s)).float() for s in golden["noise_shapes"]]
    given = graph.neutral(golden.generator, torch.from_numpy(z))
    given["psi"][:] = 0.5

    img = golden.generator.synthesize(graph.Pipeline(golden.generator).ws(given), noise)

    np.testing.assert_allclose(img.numpy(), golden["images_runner_seed7"], atol=2e-5)
    _levels(graph.to_uint8(img).numpy(), golden["uint8_runner_seed7"])


def test_the_training_generator_alone_is_read_too() -> None:
    golden = _loaded("stylegan2tf-64")
    with golden.path.open("rb") as file:
        networks = load(Bounded(file), tensorflow.NAMES)
    family, config, arrays, remarks = tensorflow.read(networks[0])
    source = Provenance(file="G.pkl", sha256="", format="tensorflow")
    checkpoint = Checkpoint(family=family, config=config, arrays=arrays, provenance=source)

    feeds = golden.feeds(slice(1))
    feeds["psi"][:] = 0.5
    img = _image(network.build(checkpoint), feeds)

    np.testing.assert_allclose(img, golden["images_G_seed0"], atol=2e-5)
    assert remarks == ["no moving average (Gs): the network 'G' is used"]


SMALL: dict[str, Any] = {
    "num_channels": 3,
    "resolution": 16,
    "label_size": 0,
    "latent_size": 12,
    "dlatent_size": 10,
    "mapping_fmaps": 14,
    "mapping_layers": 2,
    "fmap_base": 64,
    "fmap_max": 12,
}
_ADA: dict[str, Any] = {"synthesis_func": forge.ADA, "conv_clamp": 2, "num_fp16_res": 4}
_GROWS = {"synthesis_func": "G_synthesis_stylegan_revised"}
_VARIANTS: dict[str, dict[str, Any]] = {
    "skip": {},
    "orig": {"architecture": "orig"},
    "resnet": {"architecture": "resnet"},
    "4 pixels": {"resolution": 4},
    "8 pixels": {"resolution": 8, "architecture": "resnet"},
    "classes": {"label_size": 5},
    "classes, nothing normalised": {"label_size": 5, "normalize_latents": False},
    "nothing normalised": {"normalize_latents": False},
    "classes, no mapping layer": {"label_size": 3, "mapping_layers": 0, "dlatent_size": 24},
    "no mapping layer": {"mapping_layers": 0, "dlatent_size": 12},
    "nine mapping layers": {"mapping_layers": 9, "mapping_lrmul": 0.1},
    "grey": {"num_channels": 1},
    "transparent": {"num_channels": 4, "architecture": "orig"},
    "widths": {"fmap_decay": 0.7, "fmap_min": 7, "fmap_max": 9},
    "relu": {"nonlinearity": "relu", "mapping_nonlinearity": "relu"},
    "tanh": {"nonlinearity": "tanh", "mapping_nonlinearity": "sigmoid", "mapping_lrmul": 1},
    "elu": {"nonlinearity": "elu", "mapping_nonlinearity": "selu"},
    "softplus": {"nonlinearity": "softplus", "mapping_nonlinearity": "linear"},
    "swish": {"nonlinearity": "swish", "architecture": "resnet"},
    "pixels repeated": {"resample_kernel": None},
    "filter of 1 tap": {"resample_kernel": [1], "architecture": "resnet"},
    "filter of 3 taps": {"resample_kernel": [1, 2, 1], "architecture": "resnet"},
    "asymmetric filter": {"resample_kernel": [1, 4, 2, 0.5], "architecture": "resnet"},
    "filter of 6 taps": {"resample_kernel": [1, 5, 10, 10, 5, 1]},
    "square of taps": {"resample_kernel": [[1, 2, 0], [0, 3, 1], [1, 1, 5]]},
    "grown": {**_GROWS},
    "grown, orig is not asked": {**_GROWS, "architecture": "skip"},
    "half grown": {**_GROWS, "lod": 1.0},
    "growing": {**_GROWS, "lod": 0.75},
    "growing from the first": {**_GROWS, "lod": 1.5, "label_size": 3},
    "not grown at all": {**_GROWS, "lod": 2.0},
    "lod is not read": {**_GROWS, "lod": 1.5, "structure": "fixed"},
    "lod means nothing": {"lod": 1.5},
    "ADA": {**_ADA},
    "ADA, resnet": {**_ADA, "architecture": "resnet", "conv_clamp": 0.7},
    "ADA, classes": {**_ADA, "label_size": 5, "label_fmaps": 7, "mapping_fmaps": 10},
    "ADA, z as it is": {**_ADA, "label_size": 5, "normalize_latents": False},
    "ADA, no noise": {**_ADA, "use_noise": False, "architecture": "orig", "conv_clamp": None},
    "half precision": {"dtype": "float16", "fused_modconv": False, "randomize_noise": False},
}


def _forged(tmp_path: Path, **static: Any) -> Checkpoint:
    path = tmp_path / "network.pkl"
    nets = [forge.stylegan2(n, seed=i, **(SMALL | static)) for i, n in enumerate(("G", "Gs"))]
    path.write_bytes(forge.pickled((nets[0], None, nets[1])))
    return read(path)


@pytest.mark.parametrize("name", _VARIANTS)
def test_every_option_computes_what_the_formulas_say(tmp_path: Path, name: str) -> None:
    given = {**SMALL, **_VARIANTS[name]}
    checkpoint = _forged(tmp_path, **_VARIANTS[name])
    generator = network.build(checkpoint)
    config = generator.config
    parts = forge.stylegan2("Gs", seed=1, **given).state["components"]
    book = Textbook(given, *(dict(parts[n].state["variables"]) for n in ("mapping", "synthesis")))

    z, c = torch.randn(2, config.z_dim), torch.randn(2, config.c_dim) if config.c_dim else None
    assert generator.mapping is not None
    w = generator.mapping(z, c)
    whole = 2 * int(np.log2(given["resolution"])) - 2  # rows of the network when it has grown
    ws = torch.randn(2, whole, generator.w_dim)
    noise = [stored[None, None] for stored in generator.noise_const]
    img = generator.synthesize(ws[:, : generator.num_ws], noise).numpy()

    labels = [None, None] if c is None else list(c.numpy())
    expected_w = [book.w(a, b) for a, b in zip(z.numpy(), labels, strict=True)]
    np.testing.assert_allclose(w.numpy(), expected_w, rtol=1e-5, atol=1e-5)
    lod = 0.0 if given.get("structure") == "fixed" else given.get("lod", 0.0)
    repeated = img.repeat(2 ** int(lod if "synthesis_func" in given else 0), axis=2)
    repeated = repeated.repeat(repeated.shape[2] // img.shape[2], axis=3)
    expected = np.stack([book.image(row, lod) for row in ws.numpy()])
    np.testing.assert_allclose(repeated, expected, rtol=1e-5, atol=1e-4)


def test_weights_are_scaled_before_demodulation(tmp_path: Path) -> None:
    """So a layer that is nearly switched off stays so: its power is near the root's epsilon."""
    made = forge.stylegan2("Gs", **SMALL)
    variables = dict(made.state["components"]["synthesis"].state["variables"])
    variables["8x8/Conv1/mod_weight"][:] = 0
    variables["8x8/Conv1/mod_bias"][:] = -1 + 1e-4
    path = tmp_path / "network.pkl"
    path.write_bytes(forge.pickled(made))
    generator = network.build(read(path))
    ws = torch.randn(1, generator.num_ws, generator.w_dim)

    img = generator.synthesize(ws, [stored[None, None] for stored in generator.noise_const])

    expected = Textbook(SMALL, {}, variables).image(ws[0].numpy())
    np.testing.assert_allclose(img[0].numpy(), expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("name", ["classes", "growing", "not grown at all", "asymmetric filter"])
def test_onnx_runtime_computes_the_options(tmp_path: Path, name: str) -> None:
    generator = network.build(_forged(tmp_path, **_VARIANTS[name]))
    exported = Exported(generator, tmp_path / "model.onnx")
    feeds = exported.feeds(np.random.default_rng(0).normal(size=(5, 12)).astype(np.float32))
    if "c" in feeds:
        feeds["c"][:] = np.eye(5, feeds["c"].shape[1])

    _, together = exported.run(feeds)
    one_by_one = [exported.run(one)[1] for one in _split(feeds)]

    np.testing.assert_allclose(together, _image(generator, feeds), atol=1e-4)
    np.testing.assert_allclose(together, np.concatenate(one_by_one), atol=1e-4)


@pytest.mark.parametrize("name", ["classes", "growing", "resnet"])
def test_the_native_format_holds_the_options(tmp_path: Path, name: str) -> None:
    generator = network.build(_forged(tmp_path, **_VARIANTS[name]))
    native.write(network.freeze(generator, "test"), tmp_path / "network.safetensors")

    again = network.build(read(tmp_path / "network.safetensors"))

    assert again.config == generator.config
    for key, value in generator.state_dict().items():
        assert torch.equal(value, again.state_dict()[key]), key


@pytest.mark.parametrize(
    ("static", "recommended"),
    [
        ({}, (0.5, None)),
        ({"truncation_psi": 0.7, "truncation_cutoff": 4}, (0.7, 4)),
        ({"truncation_psi": None}, (1.0, None)),
        ({"truncation_psi": 1, "truncation_cutoff": 4}, (1.0, None)),
        ({"truncation_cutoff": 0}, (1.0, None)),
        ({"truncation_cutoff": -1}, (1.0, None)),
        ({"truncation_cutoff": 6}, (0.5, None)),
        ({**_GROWS, "lod": 1.0, "truncation_cutoff": 4}, (0.5, None)),
    ],
)
def test_the_truncation_of_a_plain_run_is_recommended(
    tmp_path: Path, static: dict[str, Any], recommended: tuple[float, int | None]
) -> None:
    assert network.build(_forged(tmp_path, **static)).recommended == recommended


def test_the_generators_own_arguments_go_before_its_components(tmp_path: Path) -> None:
    made = forge.stylegan2("Gs", **SMALL, nonlinearity="relu")
    made.state["static_kwargs"]["nonlinearity"] = "swish"
    del made.state["static_kwargs"]["mapping_layers"]  # not said at all: the component's holds
    path = tmp_path / "network.pkl"
    path.write_bytes(forge.pickled(made))

    config = read(path).config

    assert (config["activation"], len(config["mapping_widths"])) == ("swish", 2)


@pytest.mark.parametrize(
    ("static", "remark"),
    [
        ({**_GROWS, "lod": 1.0}, "not fully grown (lod 1): draws 8 of 16 pixels"),
        (
            {**_GROWS, "lod": 0.75},
            "not fully grown (lod 0.75): draws 16 of 16 pixels, 0.75 of it from 8 pixels",
        ),
        ({"dtype": "float16"}, "trained with activations in 'float16': float32 is computed"),
    ],
)
def test_what_is_unusual_is_said(tmp_path: Path, static: dict[str, Any], remark: str) -> None:
    assert _forged(tmp_path, **static).provenance.remarks == (remark,)


@pytest.mark.parametrize(
    ("static", "message"),
    [
        ({"attention": True}, "was built with attention=True, an argument that G_"),
        ({"synthesis_func": "G_synthesis_3d"}, "'synthesis' is built by 'G_synthesis_3d', expe"),
        ({"conv_clamp": 256}, "conv_clamp=256, an argument that G_"),  # ADA's alone
        ({"architecture": "deep"}, "architecture 'deep', expected skip, resnet or orig"),
        ({"nonlinearity": "gelu"}, "activation 'gelu', expected linear, relu"),
        ({"num_channels": 2}, "channels 2, expected 1, 3 or 4"),
        ({"normalize_latents": 3}, "normalize_z 3, expected true or false"),
        ({"resample_kernel": [1, -1]}, r"resample_kernel is \[1, -1\] of no filter's shape"),
        ({"resample_kernel": []}, r"resample_kernel is \[\] of no filter's shape"),
        ({"resample_kernel": "soft"}, "do not fit together"),
        ({"truncation_psi": "much"}, "psi 'much', expected a number"),
        ({"truncation_cutoff": 2.5}, "cutoff 2.5, expected a number of rows or null"),
        ({**_GROWS, "lod": 2.5}, "lod is 2.5, expected 0 to 2"),
        ({**_GROWS, "lod": -0.5}, "lod is -0.5, expected 0 to 2"),
        ({**_GROWS, "lod": float("nan")}, "lod is nan, expected 0 to 2"),
    ],
)
def test_what_no_network_here_computes_is_refused_by_name(
    tmp_path: Path, static: dict[str, Any], message: str
) -> None:
    with pytest.raises(
        UnsupportedCheckpoint if "fit" not in message else CheckpointError, match=message
    ):
        network.build(_forged(tmp_path, **static))


@pytest.mark.parametrize(
    ("part", "changes", "message"),
    [
        ("synthesis", {"8x8/Conv1/weight": None}, "variable '8x8/Conv1/weight' of G_synthesis is"),
        ("synthesis", {"8x8/Conv1/extra": 0.5}, "'8x8/Conv1/extra' of G_synthesis has no place"),
        ("synthesis", {"noise1": np.zeros((2, 1, 8, 8), "f4")}, "noise_const|fit together"),
        ("synthesis", {"4x4/Conv/weight": np.zeros((3, 3), "f4")}, "do not fit together"),
        ("synthesis", {"4x4/Conv/weight": np.zeros((3, 3, 4, 4), "f4")}, "weight is .*, expected"),
        ("mapping", {"Dense0/weight": np.zeros((3, 3), "f4")}, "mapping.fc0.weight is"),
        ("mapping", {"Dense0/bias": np.float32(3)}, "fit together"),
        ("mapping", {"Dense9/bias": np.float32(3)}, "'Dense9/bias' of G_mapping has no place"),
    ],
)
def test_variables_that_do_not_fit_are_refused(
    tmp_path: Path, part: str, changes: dict[str, Any], message: str
) -> None:
    made = forge.stylegan2("Gs", **SMALL)
    state = made.state["components"][part].state
    state["variables"] = [
        (name, value)
        for name, value in (dict(state["variables"]) | changes).items()
        if value is not None
    ]
    path = tmp_path / "network.pkl"
    path.write_bytes(forge.pickled(made))

    with pytest.raises(CheckpointError, match=rf"network.pkl: .*({message})"):
        network.build(read(path))


@pytest.mark.parametrize(
    ("key", "value"),
    [("resolution", 48), ("resolution", 2**40), ("resolution", "16"), ("mapping_layers", 10**9),
     ("latent_size", 0), ("label_size", -1), ("dlatent_size", 2.5), ("mapping_layers", None)],
)  # fmt: skip
def test_sizes_are_checked_before_they_are_used(tmp_path: Path, key: str, value: Any) -> None:
    made = forge.stylegan2("Gs", **SMALL)
    made.state["static_kwargs"][key] = value
    path = tmp_path / "network.pkl"
    path.write_bytes(forge.pickled(made))

    with pytest.raises(UnsupportedCheckpoint, match=rf"{key} is .*, expected"):
        network.build(read(path))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fade": 0.5}, "fade 0.5, expected 0, or in an 'orig'"),
        ({"fade": 1.0, "architecture": "orig"}, "fade 1.0, expected 0, or in an 'orig'"),
        ({"fade": -0.1, "architecture": "orig"}, "fade -0.1, expected 0, or in an 'orig'"),
        ({"label_concat": 1}, "label_concat 1, expected true or false"),
        ({"equalized": None}, "equalized None, expected true or false"),
        ({"psi": float("inf")}, "psi inf, expected a number"),
        ({"cutoff": True}, "cutoff True, expected a number of rows or null"),
    ],
)
def test_a_configuration_out_of_range_is_refused_by_name(
    changes: dict[str, Any], message: str
) -> None:
    sound = {"resolution": 8, "widths": [4, 4], "mapping_widths": [512]}
    Config.from_json(sound)

    with pytest.raises(UnsupportedCheckpoint, match=message):
        Config.from_json(sound | changes)
