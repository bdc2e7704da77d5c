"""Progressive GAN: the authors' pictures, every option's formulas, and what is refused."""

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.export import golden_growing as gold
from tests.export.forge_growing import progan
from tests.export.forge_tensorflow import pickled
from tests.export.golden_growing import Golden, assert_levels, draw, split
from tests.export.test_graph import Exported
from tests.export.textbook_growing import ProGANBook

from nonesuch.errors import CheckpointError
from nonesuch_export import graph, network
from nonesuch_export.checkpoint import Checkpoint, native, read

_loaded = functools.cache(gold.golden)


@pytest.fixture(scope="module", params=["progan-64", "progan-32-unfused"])
def golden(request: pytest.FixtureRequest) -> Golden:
    return _loaded(request.param)


@pytest.fixture(scope="module")
def exported(golden: Golden, graphs: Path) -> Exported:
    return Exported(golden.generator, graphs / f"{golden.stem}.onnx")


def test_all_golden_images_are_compared(golden: Golden) -> None:
    asked = {name for name, _ in (*golden.cases(), *golden.stages())}

    assert {k for k in golden.arrays if k.startswith("images_")} == asked | {"images_G_seed0"}


def test_the_controls_are_z_alone(golden: Golden) -> None:
    assert graph.controls(golden.generator) == ("z",)
    assert (golden.generator.num_ws, golden.generator.recommended) == (0, (1.0, None))


def test_images_are_the_authors(golden: Golden) -> None:
    feeds = golden.plain(slice(4))

    np.testing.assert_allclose(draw(golden.generator, feeds), golden["images_default"], atol=3e-5)
    one_by_one = [draw(golden.generator, one) for one in split(feeds)]
    np.testing.assert_allclose(np.concatenate(one_by_one), golden["images_default"], atol=3e-5)


def test_onnx_runtime_gives_the_authors_images(golden: Golden, exported: Exported) -> None:
    feeds = {"z": np.concatenate([golden["latents"], golden["latents"][:1]])}
    expected = np.concatenate([golden["images_default"], golden["images_default"][:1]])

    _, together = exported.run(feeds)
    one_by_one = [exported.run(one)[1] for one in split(feeds)]

    np.testing.assert_allclose(together, expected, atol=3e-5)
    np.testing.assert_allclose(np.concatenate(one_by_one), expected, atol=3e-5)


def test_eight_bits_are_the_authors(golden: Golden, exported: Exported) -> None:
    image, img = exported.run(golden.plain())

    turned = golden["uint8_default_seed0"].transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(image, graph.to_uint8(torch.from_numpy(img)))
    assert_levels(img, turned)
    assert_levels(img, golden["uint8_saved_seed0"][None])
    assert_levels(gold.halved(img), golden["uint8_shrink2_seed0"].transpose(0, 2, 3, 1))


@pytest.mark.parametrize("stem", ["progan-64", "progan-32-unfused"])
def test_a_network_that_is_not_fully_grown_draws_what_it_has(stem: str, tmp_path: Path) -> None:
    golden = _loaded(stem)
    for key, lod in golden.stages():
        generator = golden.changed({"lod": lod}).generator
        exported = Exported(generator, tmp_path / f"{key}.onnx")

        size = golden.generator.config.resolution
        assert generator.image_size == (size >> int(lod), size >> int(lod))
        for img in (draw(generator, golden.plain()), exported.run(golden.plain())[1]):
            np.testing.assert_allclose(gold.enlarged(img, size), golden[key], atol=3e-5)


def test_the_training_generator_alone_is_read_too(golden: Golden) -> None:
    alone = gold.checkpoint(gold.unpickled(golden.stem)[0])

    img = draw(network.build(alone), golden.plain())

    np.testing.assert_allclose(img, golden["images_G_seed0"], atol=3e-5)


SMALL: dict[str, Any] = {
    "num_channels": 3,
    "resolution": 16,
    "label_size": 0,
    "fmap_base": 64,
    "fmap_max": 12,
}
# Static arguments; what is not one of them says how the network is forged.
_VARIANTS: dict[str, dict[str, Any]] = {
    "fused": {},
    "fused, StyleGAN's program": {"container": "dnnlib"},
    "fused by a word": {"fused_scale": "auto"},
    "unfused": {"fused_scale": False},
    "unfused, StyleGAN's program": {"fused_scale": False, "container": "dnnlib"},
    "4 pixels": {"resolution": 4},
    "128 pixels": {"resolution": 128, "fmap_max": 4},
    "classes": {"label_size": 5},
    "classes, latents as they are": {"label_size": 5, "normalize_latents": False},
    "latents as they are": {"normalize_latents": False},
    "latent size": {"latent_size": 7},
    "grey": {"num_channels": 1},
    "transparent": {"num_channels": 4},
    "widths": {"fmap_decay": 0.6, "fmap_max": 9, "latent_size": 5},
    "relu": {"use_leakyrelu": False},
    "weights as they are": {"use_wscale": False},
    "no pixel norm": {"use_pixelnorm": False, "use_wscale": True},
    "epsilon": {"pixelnorm_epsilon": 0.3},
    "linear": {"structure": "linear", "dtype": "float32"},
    "carried over": {"mbstd_group_size": 16, "use_gdrop": True, "fused_scale": False},
    "half grown": {"lod": 1.0},
    "growing": {"lod": 0.75, "fused_scale": False},
    "growing from the first": {"lod": 1.25, "label_size": 2},
    "not grown at all": {"lod": 2.0},
    "many at once": {
        "lod": 0.75,
        "label_size": 5,
        "num_channels": 1,
        "fused_scale": False,
        "use_pixelnorm": False,
        "use_leakyrelu": False,
    },
}


def _forged(name: str, tmp_path: Path, protocol: int = 4) -> tuple[Checkpoint, ProGANBook]:
    changes = dict(_VARIANTS[name])
    container, lod = changes.pop("container", "tfutil"), changes.pop("lod", 0.0)
    forged = progan(SMALL | changes, container=container, lod=lod)
    path = tmp_path / "network.pkl"
    path.write_bytes(pickled((None, None, forged), protocol=protocol))
    return read(path), ProGANBook(forged, container)


@pytest.mark.parametrize("name", _VARIANTS)
def test_every_option_computes_what_the_formulas_say(name: str, tmp_path: Path) -> None:
    checkpoint, book = _forged(name, tmp_path)
    generator = network.build(checkpoint)
    random = np.random.default_rng(1)
    z = random.standard_normal((2, generator.config.z_dim)).astype(np.float32)
    classes = generator.config.c_dim
    c = random.standard_normal((2, classes)).astype(np.float32) if classes else None

    img = generator.draw(torch.from_numpy(z), None if c is None else torch.from_numpy(c))

    labels = [None, None] if c is None else list(c)
    expected = np.stack([book.draw(a, b) for a, b in zip(z, labels, strict=True)])
    np.testing.assert_allclose(img.numpy(), expected, rtol=1e-5, atol=1e-5 * expected.std())


@pytest.mark.parametrize("name", ["many at once", "4 pixels"])
def test_onnx_runtime_computes_the_options(name: str, tmp_path: Path) -> None:
    generator = network.build(_forged(name, tmp_path)[0])
    exported = Exported(generator, tmp_path / "model.onnx")
    z = np.random.default_rng(2).standard_normal((5, generator.config.z_dim)).astype(np.float32)
    feeds = exported.feeds(z)
    if "c" in feeds:
        feeds["c"][:] = np.eye(5, feeds["c"].shape[1])

    _, together = exported.run(feeds)
    one_by_one = np.concatenate([exported.run(one)[1] for one in split(feeds)])

    scale = float(together.std())
    np.testing.assert_allclose(together, draw(generator, feeds), atol=2e-5 * scale)
    np.testing.assert_allclose(together, one_by_one, atol=2e-5 * scale)


def test_no_class_is_a_label_of_zeros(tmp_path: Path) -> None:
    generator = network.build(_forged("classes", tmp_path)[0])
    z = torch.randn(2, generator.config.z_dim)

    assert torch.equal(generator.draw(z), generator.draw(z, torch.zeros(2, 5)))


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_pickle_protocol_is_read(protocol: int, tmp_path: Path) -> None:
    checkpoint, _ = _forged("unfused", tmp_path, protocol)

    assert checkpoint.digest() == _forged("unfused", tmp_path)[0].digest()


def test_the_native_format_holds_it_whole(tmp_path: Path) -> None:
    checkpoint, _ = _forged("growing from the first", tmp_path)
    native.write(checkpoint, tmp_path / "network.safetensors")

    again = read(tmp_path / "network.safetensors")

    assert network.check(again) == network.check(checkpoint)
    z = torch.randn(1, network.check(again).z_dim)
    assert torch.equal(network.build(again).draw(z), network.build(checkpoint).draw(z))


def test_a_stage_of_growth_is_said(tmp_path: Path) -> None:
    checkpoint, _ = _forged("growing", tmp_path)

    assert checkpoint.provenance.remarks == (
        "not fully grown (lod 0.75): draws 16 of 16 pixels, 0.75 of it from 8 pixels",
    )


@pytest.mark.parametrize(
    ("static", "message"),
    [
        ({"attention": 1}, "attention=1, an argument that G_paper does not have; please report"),
        ({"structure": "fixed"}, "structure is 'fixed', expected None, auto, linear, recursive"),
        ({"resolution": 48}, "resolution is 48, expected a power of two"),
        ({"resolution": 2**20}, "resolution is 1048576, expected 4 to 4096"),
        ({"label_size": -1}, "label_size is -1, expected 0 to"),
        ({"num_channels": 2}, "channels 2, expected 1, 3 or 4"),
        ({"num_channels": 4}, r"tensor torgb.weight is \(3, 8, 1, 1\), expected"),
        ({"latent_size": 9}, "latent_size is 9, but 4x4/Dense/weight has 12 rows"),
        ({"pixelnorm_epsilon": 0}, "epsilon 0, expected a positive number"),
        ({"use_wscale": "yes"}, "use_wscale 'yes', expected true or false"),
        (
            {"fused_scale": False},
            "fused_scale is False, but the up-scaling layers are called Conv0_",
        ),
        ({"resolution": 32}, "variable '32x32/Conv0_up/weight' of Gs is missing"),
        ({"resolution": 8}, "variable '16x16/Conv0_up/bias' of Gs has no place"),
    ],
)
def test_arguments_that_no_network_here_has_are_refused_by_name(
    static: dict[str, Any], message: str, tmp_path: Path
) -> None:
    forged = progan(SMALL)
    forged.state["static_kwargs"].update(static)
    path = tmp_path / "network.pkl"
    path.write_bytes(pickled(forged))

    with pytest.raises(CheckpointError, match=message):
        network.build(read(path))


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"lod": np.float32(2.5)}, "lod is 2.5, expected 0 to 2"),
        ({"lod": np.zeros(2, np.float32)}, "lod has 2 values, expected one"),
        ({"16x16/Attention/weight": np.zeros(2, np.float32)}, "Attention/weight' of Gs has no pl"),
        ({"8x8/Conv1/weight": np.zeros((3, 3, 12), np.float32)}, "do not fit together"),
        ({"8x8/Conv1/weight": np.zeros((3, 3, 12, 5), np.float32)}, "layers.3.source.weight is"),
        ({"4x4/Dense/bias": np.float32(1)}, "do not fit together"),
        ({"8x8/Conv0/weight": np.zeros(2, np.float32)}, "are called Conv0 and Conv0_up"),
    ],
)
def test_variables_that_do_not_fit_are_refused_by_name(
    variables: dict[str, Any], message: str, tmp_path: Path
) -> None:
    forged = progan(SMALL)
    merged = dict(forged.state["variables"]) | variables
    forged.state["variables"] = list(merged.items())
    path = tmp_path / "network.pkl"
    path.write_bytes(pickled(forged))

    with pytest.raises(CheckpointError, match=message):
        network.build(read(path))
