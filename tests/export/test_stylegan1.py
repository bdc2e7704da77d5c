"""StyleGAN: the authors' pictures, every option's formulas, and what is refused."""

import functools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.export import golden_growing as gold
from tests.export.forge_growing import stylegan1
from tests.export.forge_tensorflow import pickled
from tests.export.golden_growing import Golden, assert_levels, draw, joined, split
from tests.export.test_graph import Exported
from tests.export.textbook_growing import StyleGANBook

from nonesuch.errors import CheckpointError
from nonesuch_export import graph, network
from nonesuch_export.checkpoint import Checkpoint, native, read
from nonesuch_export.network import Generator

_loaded = functools.cache(gold.golden)


@pytest.fixture(scope="module", params=["stylegan1-64", "stylegan1-32-fused"])
def golden(request: pytest.FixtureRequest) -> Golden:
    return _loaded(request.param)


@pytest.fixture(scope="module")
def exported(golden: Golden, graphs: Path) -> Exported:
    return Exported(golden.generator, graphs / f"{golden.stem}.onnx")


def test_all_golden_images_are_compared(golden: Golden) -> None:
    asked = {name for name, _ in (*golden.cases(), *golden.stages())}

    others = {key for key in golden.arrays if key.startswith("images_")} - asked
    assert others <= {"images_G_seed0", "images_runner_seed7"}  # which have tests of their own


def test_w_is_the_authors(golden: Golden) -> None:
    assert golden.generator.mapping is not None
    w = golden.generator.mapping(torch.from_numpy(golden["latents"]))

    for row in range(golden.generator.num_ws):
        np.testing.assert_allclose(w.numpy(), golden["dlatents"][:, row], rtol=1e-5, atol=1e-6)


def test_ws_are_the_authors(golden: Golden) -> None:
    pipeline = graph.Pipeline(golden.generator)
    cases = {"dlatents_default": golden.plain(slice(4)), "dlatents": golden.feeds(slice(4))}
    cases["dlatents_psi0p7"] = golden.asked("dlatents_psi0p7") or {}
    cases |= {k.replace("images", "dlatents"): feeds for k, feeds in golden.cases()}

    compared = [key for key in cases if key in golden.arrays]
    assert {k for k in golden.arrays if k.startswith("dlatents")} == set(compared)
    for key in compared:
        ws = pipeline.ws({name: torch.from_numpy(value) for name, value in cases[key].items()})
        np.testing.assert_allclose(ws.numpy(), golden[key], rtol=1e-5, atol=1e-6)


def test_the_files_default_truncation_is_recommended() -> None:
    assert _loaded("stylegan1-64").generator.recommended == (0.7, 8)
    assert _loaded("stylegan1-32-fused").generator.recommended == (0.7, None)  # it has 8 rows


def test_images_are_the_authors(golden: Golden) -> None:
    for key, feeds in golden.cases():
        np.testing.assert_allclose(draw(golden.generator, feeds), golden[key], atol=5e-5)


def test_onnx_runtime_gives_the_authors_images_one_by_one(
    golden: Golden, exported: Exported
) -> None:
    for key, feeds in golden.cases():
        for i, one in enumerate(split(feeds)):
            _, img = exported.run(one)
            np.testing.assert_allclose(img, golden[key][i : i + 1], atol=5e-5)


def test_onnx_runtime_gives_the_authors_images_in_one_batch(
    golden: Golden, exported: Exported
) -> None:
    keys, parts = zip(*golden.cases(), strict=True)

    _, img = exported.run(joined(list(parts)))

    assert len(img) > 5
    np.testing.assert_allclose(img, np.concatenate([golden[key] for key in keys]), atol=5e-5)


def test_eight_bits_are_the_authors(golden: Golden, exported: Exported) -> None:
    image, img = exported.run(golden.plain())

    np.testing.assert_array_equal(image, graph.to_uint8(torch.from_numpy(img)))
    assert_levels(img, golden["uint8_default_seed0"])
    assert_levels(gold.halved(img), golden["uint8_shrink2_seed0"])


def _stages() -> list[Any]:
    stems = ("stylegan1-64", "stylegan1-32-fused")
    return [(stem, *stage) for stem in stems for stage in _loaded(stem).stages()]


@pytest.mark.parametrize(("stem", "key", "lod"), _stages())
def test_a_network_that_is_not_fully_grown_draws_what_it_has(
    stem: str, key: str, lod: float, tmp_path: Path
) -> None:
    golden = _loaded(stem)
    grown = golden.changed({"lod": lod})
    exported = Exported(grown.generator, tmp_path / "model.onnx")

    size = golden.generator.config.resolution
    assert grown.generator.image_size == (size >> int(lod), size >> int(lod))
    feeds = grown.plain()
    for img in (draw(grown.generator, feeds), exported.run(feeds)[1]):
        np.testing.assert_allclose(gold.enlarged(img, size), golden[key], atol=5e-5)


def test_the_command_lines_picture_of_a_seed_is_reproduced(tmp_path: Path) -> None:
    random = np.random.RandomState(7)
    stem = "stylegan1-64"
    z = random.randn(1, _loaded(stem).generator.config.z_dim).astype(np.float32)
    names, shapes = _loaded(stem)["noise_names"], _loaded(stem)["noise_shapes"]
    noise = {
        str(name): random.randn(*shape).astype(np.float32)
        for name, shape in zip(names, shapes, strict=True)
    }
    golden = _loaded(stem).changed({}, noise)
    feeds = golden.feeds(0) | {"z": z, "mix_z": z}
    feeds["psi"][:, :8] = 0.5

    exported = Exported(golden.generator, tmp_path / "model.onnx")
    for img in (draw(golden.generator, feeds), exported.run(feeds)[1]):
        np.testing.assert_allclose(img, golden["images_runner_seed7"], atol=5e-5)
        assert_levels(img, golden["uint8_runner_seed7"])


def test_the_training_generator_alone_is_read_too(golden: Golden) -> None:
    alone = gold.checkpoint(gold.unpickled(golden.stem)[0])

    img = draw(network.build(alone), golden.plain())

    np.testing.assert_allclose(img, golden["images_G_seed0"], atol=5e-5)
    assert alone.provenance.remarks == ("no moving average (Gs): the network 'G' is used",)


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
_NO_STYLES = {"use_styles": False, "const_input_layer": False}
_PIXEL_NORM = {"use_pixel_norm": True, "use_instance_norm": False}
# Static arguments, and lod, which is a variable.
_VARIANTS: dict[str, dict[str, Any]] = {
    "usual": {},
    "fused": {"fused_scale": True},
    "unfused": {"fused_scale": False},
    "fused from 128 pixels": {"resolution": 128, "fmap_max": 3},
    "512 pixels": {"resolution": 512, "fmap_base": 512, "fmap_max": 2},
    "4 pixels": {"resolution": 4},
    "8 pixels": {"resolution": 8},
    "dense input": {"const_input_layer": False},
    "no styles": _NO_STYLES,
    "no styles, pixel norm": {**_NO_STYLES, **_PIXEL_NORM},
    "no noise": {"use_noise": False},
    "nothing but convolutions": {**_NO_STYLES, "use_noise": False, "use_instance_norm": False},
    "pixel norm": _PIXEL_NORM,
    "both norms": {"use_pixel_norm": True},
    "no norm": {"use_instance_norm": False},
    "weights as they are": {"use_wscale": False},
    "weights as they are, dense input": {"use_wscale": False, "const_input_layer": False},
    "relu": {"nonlinearity": "relu", "mapping_nonlinearity": "relu"},
    "classes": {"label_size": 5},
    "classes, latents as they are": {"label_size": 5, "normalize_latents": False},
    "latents as they are": {"normalize_latents": False},
    "no mapping layer": {"mapping_layers": 0, "dlatent_size": 12},
    "classes, no mapping layer": {"label_size": 3, "mapping_layers": 0, "dlatent_size": 24},
    "nine mapping layers": {"mapping_layers": 9, "mapping_lrmul": 0.1},
    "grey": {"num_channels": 1},
    "transparent": {"num_channels": 4},
    "widths": {"fmap_decay": 0.6, "fmap_max": 9},
    "no blur": {"blur_filter": None},
    "blur of 1 tap": {"blur_filter": [3]},
    "blur of 2 taps": {"blur_filter": [1, 1]},
    "blur of 4 taps": {"blur_filter": [1, 3, 3, 1]},
    "asymmetric blur": {"blur_filter": [1, 4, 2, 0.5, -1]},
    "square blur": {"blur_filter": [[1, 2, 0], [0, 3, 1], [1, 1, 5]]},
    "blur, fused": {"blur_filter": [1, 2, 4], "fused_scale": True},
    "linear": {"structure": "linear", "randomize_noise": False, "style_mixing_prob": 0.5},
    "half grown": {"lod": 1.0},
    "growing": {"lod": 0.75},
    "growing, fused": {"lod": 0.25, "fused_scale": True},
    "growing from the first": {"lod": 1.5, "label_size": 3, "use_wscale": False},
    "growing, no styles": {"lod": 1.5, **_NO_STYLES},
    "not grown at all": {"lod": 2.0},
    "lod is not read": {"lod": 1.5, "structure": "fixed"},
    "many at once": {
        "lod": 0.75,
        "label_size": 5,
        "num_channels": 1,
        "const_input_layer": False,
        "use_pixel_norm": True,
        "blur_filter": [1, 3, 3, 1],
        "fused_scale": True,
    },
}


def _forged(name: str, tmp_path: Path, protocol: int = 4) -> tuple[Checkpoint, StyleGANBook]:
    changes = dict(_VARIANTS[name])
    forged = stylegan1(SMALL | changes, lod=changes.pop("lod", 0.0))
    forged.state["static_kwargs"].pop("lod", None)
    for part in forged.state["components"].values():
        part.state["static_kwargs"].pop("lod", None)
    path = tmp_path / "network.pkl"
    path.write_bytes(pickled((None, None, forged), protocol=protocol))
    return read(path), StyleGANBook(forged)


def _latents(generator: Generator, count: int) -> tuple[Any, Any]:
    random = np.random.default_rng(1)
    config = generator.config
    z = random.standard_normal((count, config.z_dim)).astype(np.float32)
    c = random.standard_normal((count, config.c_dim)).astype(np.float32)
    return z, c if config.c_dim else None


@pytest.mark.parametrize("name", _VARIANTS)
def test_every_option_computes_what_the_formulas_say(name: str, tmp_path: Path) -> None:
    checkpoint, book = _forged(name, tmp_path)
    generator = network.build(checkpoint)
    z, c = _latents(generator, 2)
    spread = np.random.default_rng(2).standard_normal((2, generator.num_ws, generator.w_dim))

    assert generator.mapping is not None
    labels = None if c is None else torch.from_numpy(c)
    w = generator.mapping(torch.from_numpy(z), labels).numpy()
    ws = (w[:, None] + spread).astype(np.float32)
    noise = [stored[None, None] for stored in generator.noise_const]
    img = generator.synthesize(torch.from_numpy(ws), noise).numpy()

    expected = [book.map(z[i], None if c is None else c[i]) for i in range(2)]
    np.testing.assert_allclose(w, expected, rtol=1e-5, atol=1e-5)
    drawn = np.stack([book.synthesize(row.astype(np.float64)) for row in ws])
    np.testing.assert_allclose(img, drawn, rtol=1e-5, atol=2e-5 * drawn.std())


@pytest.mark.parametrize(
    "name",
    ["many at once", "no styles", "4 pixels", pytest.param("512 pixels", marks=pytest.mark.slow)],
)
def test_onnx_runtime_computes_the_options(name: str, tmp_path: Path) -> None:
    generator = network.build(_forged(name, tmp_path)[0])
    exported = Exported(generator, tmp_path / "model.onnx")
    z, c = _latents(generator, 5)
    feeds = exported.feeds(z) | ({} if c is None else {"c": c})

    _, together = exported.run(feeds)
    one_by_one = np.concatenate([exported.run(one)[1] for one in split(feeds)])

    scale = float(together.std())
    np.testing.assert_allclose(together, draw(generator, feeds), atol=5e-5 * scale)
    np.testing.assert_allclose(together, one_by_one, atol=5e-5 * scale)


def test_fused_and_unfused_up_scaling_are_not_the_same(tmp_path: Path) -> None:
    fused, unfused = (network.build(_forged(n, tmp_path)[0]) for n in ("fused", "unfused"))
    ws = torch.randn(1, fused.num_ws, fused.w_dim)

    assert (fused.synthesize(ws, []) - unfused.synthesize(ws, [])).abs().max() > 0.1


def test_no_class_is_a_label_of_zeros(tmp_path: Path) -> None:
    generator = network.build(_forged("classes", tmp_path)[0])
    z = torch.randn(2, generator.config.z_dim)

    assert generator.mapping is not None
    assert torch.equal(generator.mapping(z), generator.mapping(z, torch.zeros(2, 5)))


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_pickle_protocol_is_read(protocol: int, tmp_path: Path) -> None:
    checkpoint, _ = _forged("usual", tmp_path, protocol)

    assert checkpoint.digest() == _forged("usual", tmp_path)[0].digest()


def test_the_native_format_holds_it_whole(tmp_path: Path) -> None:
    checkpoint, _ = _forged("growing from the first", tmp_path)
    native.write(checkpoint, tmp_path / "network.safetensors")

    again = read(tmp_path / "network.safetensors")

    assert network.check(again) == network.check(checkpoint)
    assert again.digest() == checkpoint.digest()


def test_a_frozen_network_builds_again(tmp_path: Path) -> None:
    generator = network.build(_forged("square blur", tmp_path)[0])

    again = network.build(network.freeze(generator, "test"))

    assert again.config == generator.config
    for name, value in generator.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


@pytest.mark.parametrize("name", ["usual", "dense input", "weights as they are"])
def test_an_untrained_network_draws_in_range(name: str, tmp_path: Path) -> None:
    made = network.build(_forged(name, tmp_path)[0]).config
    generator = network.untrained("stylegan1", made, seed=0)

    assert generator.mapping is not None
    w = generator.mapping(torch.randn(4, made.z_dim))
    img = generator.synthesize(w[:, None].expand(-1, generator.num_ws, -1), [])

    assert 0.05 < img.std() < 5


@pytest.mark.parametrize(
    ("static", "recommended"),
    [
        ({}, (0.7, None)),  # 8 rows of 6
        ({"truncation_cutoff": 4}, (0.7, 4)),
        ({"truncation_psi": -0.5, "truncation_cutoff": 2}, (-0.5, 2)),
        ({"truncation_psi": None}, (1.0, None)),
        ({"truncation_psi": 1, "truncation_cutoff": 4}, (1.0, None)),
        ({"truncation_cutoff": None}, (1.0, None)),
        ({"truncation_cutoff": 0}, (1.0, None)),
        ({"truncation_cutoff": -1}, (1.0, None)),
    ],
)
def test_the_truncation_of_a_plain_run_is_recommended(
    static: dict[str, Any], recommended: tuple[float, int | None], tmp_path: Path
) -> None:
    path = tmp_path / "network.pkl"
    path.write_bytes(pickled(stylegan1(SMALL | static)))

    assert network.build(read(path)).recommended == recommended


def test_without_an_average_w_nothing_is_recommended(tmp_path: Path) -> None:
    forged = stylegan1(SMALL | {"truncation_cutoff": 2})
    forged.state["variables"] = [("lod", np.float32(0))]
    path = tmp_path / "network.pkl"
    path.write_bytes(pickled(forged))

    generator = network.build(read(path))

    assert generator.w_avg is None
    assert generator.recommended == (1.0, None)
    assert "psi" not in graph.controls(generator)


def test_what_is_unusual_is_said(tmp_path: Path) -> None:
    path = tmp_path / "network.pkl"
    path.write_bytes(pickled(stylegan1(SMALL | {"dtype": "float16"}, lod=1.5)))

    assert read(path).provenance.remarks == (
        "not fully grown (lod 1.5): draws 8 of 16 pixels, 0.5 of it from 4 pixels",
        "trained with activations in 'float16': float32 is computed",
    )


@pytest.mark.parametrize(
    ("static", "message"),
    [
        ({"attention": 1}, "attention=1, an argument that G_mapping does not have; please report"),
        ({"structure": "tree"}, "structure is 'tree', expected auto, linear, recursive, fixed"),
        ({"resolution": 48}, "resolution is 48, expected a power of two"),
        ({"resolution": "big"}, "resolution is 'big', expected 4 to 4096"),
        ({"mapping_layers": 65}, "mapping_layers is 65, expected 0 to 64"),
        ({"mapping_layers": 3}, "variable 'Dense2/weight' of G_mapping is missing"),
        ({"mapping_layers": 1}, "variable 'Dense1/bias' of G_mapping has no place"),
        ({"fused_scale": "maybe"}, "fused_scale is 'maybe', expected true, false or auto"),
        ({"truncation_cutoff": 2.5}, "truncation_cutoff is 2.5, expected"),
        ({"truncation_psi": "much"}, "psi 'much', expected a number"),
        ({"truncation_psi": math.nan}, "psi nan, expected a number"),
        ({"nonlinearity": "selu"}, "activation 'selu', expected lrelu, relu"),
        ({"mapping_nonlinearity": "selu"}, "mapping_activation 'selu', expected lrelu, relu"),
        ({"mapping_lrmul": 0}, "lr_multiplier 0, expected a positive number"),
        ({"normalize_latents": 2}, "normalize_z 2, expected true or false"),
        ({"use_instance_norm": 2}, "use_instance_norm 2, expected true or false"),
        ({"num_channels": 2}, "channels 2, expected 1, 3 or 4"),
        ({"latent_size": 13}, r"tensor mapping.fc0.weight is \(14, 12\), expected \(14, 13\)"),
        ({"dlatent_size": 11}, "mapping_widths a tuple, expected at most 64 widths, w_dim last"),
        ({"label_size": 3}, "variable 'LabelConcat/weight' of G_mapping is missing"),
        ({"use_noise": False}, "variable '16x16/Conv0_up/Noise/weight' of G_synthesis has no pl"),
        ({"blur_filter": [1, -1]}, "blur_filter a tuple, expected numbers"),
        ({"blur_filter": [[1, 2]]}, "blur_filter a tuple, expected numbers"),
        ({"blur_filter": "soft"}, "blur_filter 'soft', expected numbers"),
        ({"blur_filter": [0]}, "blur_filter a tuple, expected numbers"),
    ],
)
def test_arguments_that_no_network_here_has_are_refused_by_name(
    static: dict[str, Any], message: str, tmp_path: Path
) -> None:
    forged = stylegan1(SMALL)
    for part in (forged, *forged.state["components"].values()):
        part.state["static_kwargs"].update(static)
    path = tmp_path / "network.pkl"
    path.write_bytes(pickled(forged))

    with pytest.raises(CheckpointError, match=message):
        network.build(read(path))


def test_a_constant_that_no_style_changes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "network.pkl"
    path.write_bytes(pickled(stylegan1(SMALL | {"use_styles": False})))

    with pytest.raises(CheckpointError, match="const_input True, expected true or false, and fal"):
        network.build(read(path))


def test_components_that_disagree_are_refused(tmp_path: Path) -> None:
    forged = stylegan1(SMALL)
    forged.state["components"]["mapping"].state["static_kwargs"]["use_wscale"] = False
    path = tmp_path / "network.pkl"
    path.write_bytes(pickled(forged))

    with pytest.raises(CheckpointError, match="use_wscale differs between mapping and synthesis"):
        network.build(read(path))


@pytest.mark.parametrize(
    ("place", "variables", "message"),
    [
        ("", {"lod": np.float32(2.5)}, "lod is 2.5, expected 0 to 2"),
        ("", {"lod": np.zeros(2, np.float32)}, "lod has 2 values, expected one"),
        ("", {"dlatent_avg": np.zeros(3, np.float32)}, r"mapping.w_avg is \(3,\), expected"),
        ("", {"dlatent_max": np.zeros(3, np.float32)}, "'dlatent_max' of Gs has no place"),
        ("synthesis", {"8x8/Skip/weight": np.zeros(3, np.float32)}, "Skip/weight' of G_syn"),
        ("synthesis", {"noise3": np.zeros((1, 1, 8, 4), np.float32)}, "noise_const is"),
        ("synthesis", {"noise3": np.float32(0)}, "noise_const is"),
        ("synthesis", {"8x8/Conv1/weight": np.zeros(4, np.float32)}, "do not fit together"),
        ("synthesis", {"8x8/Conv1/bias": np.zeros(4, np.float32)}, "layers.3.bias is"),
        ("synthesis", {"4x4/Const/const": np.float32(0)}, "do not fit together|const is"),
        ("mapping", {"Dense1/bias": np.float32(0)}, "do not fit together"),
        ("mapping", {"Dense1/weight": np.zeros(3, np.float32)}, "mapping.fc1.weight is"),
    ],
)
def test_variables_that_do_not_fit_are_refused_by_name(
    place: str, variables: dict[str, Any], message: str, tmp_path: Path
) -> None:
    forged = stylegan1(SMALL)
    part = forged.state["components"][place] if place else forged
    part.state["variables"] = list((dict(part.state["variables"]) | variables).items())
    path = tmp_path / "network.pkl"
    path.write_bytes(pickled(forged))

    with pytest.raises(CheckpointError, match=message):
        network.build(read(path))
