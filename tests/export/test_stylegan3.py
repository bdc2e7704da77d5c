"""StyleGAN3: the authors' pictures, whatever their options, and refusals by name."""

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.conftest import GOLDEN, Golden
from tests.export.forge_stylegan3 import Arrays, Options, layers, pickled, planes, tensors
from tests.export.test_graph import Exported, Feeds
from tests.export.textbook_stylegan3 import Textbook

from nonesuch.errors import CheckpointError, UnsupportedCheckpoint
from nonesuch_export import network
from nonesuch_export.checkpoint import read
from nonesuch_export.graph import Pipeline
from nonesuch_export.network import Generator
from nonesuch_export.network.aliasfree import Config
from nonesuch_export.network.filtered import Resampling
from nonesuch_export.network.stylegan3 import StyleGAN3

# The same code of the authors in float64 or in a batch is as far from the stored pictures.
TOLERANCE = 1e-4

VARIANTS: dict[str, Options] = {
    "T": Options(),
    "R": Options(conv_kernel=1, use_radial_filters=True, channel_max=8),
    "classes": Options(c_dim=4),
    "no mapping layer": Options(mapping_layers=0, z_dim=10),
    "five mapping layers": Options(mapping_layers=5),
    "one layer": Options(num_layers=1, num_critical=0),
    "seven layers": Options(num_layers=7, num_critical=1),
    "all but one critical": Options(num_layers=4, num_critical=3, use_radial_filters=True),
    "a leap in rate": Options(img_resolution=64, num_layers=3, channel_max=3, first_stopband=3),
    "no margin": Options(margin_size=0),
    "wide margin": Options(margin_size=11),
    "kernel 5": Options(conv_kernel=5),
    "filters of 1": Options(filter_size=1),
    "filters of 3": Options(filter_size=3),
    "filters of 5, radial": Options(filter_size=5, use_radial_filters=True),
    "filters of 8": Options(filter_size=8),
    "no lrelu upsampling": Options(lrelu_upsampling=1),
    "no lrelu upsampling, radial": Options(lrelu_upsampling=1, use_radial_filters=True),
    "threefold lrelu upsampling": Options(lrelu_upsampling=3),
    "fourfold lrelu upsampling, radial": Options(lrelu_upsampling=4, use_radial_filters=True),
    "sixfold lrelu upsampling": Options(lrelu_upsampling=6, filter_size=2),
    "falling rate": Options(first_stopband=8, last_stopband_rel=0.5, margin_size=4),
    "falling rate, radial, unrisen": Options(
        first_stopband=8, last_stopband_rel=0.5, lrelu_upsampling=1, use_radial_filters=True
    ),
    "odd resolution": Options(img_resolution=23),
    "grey": Options(img_channels=1),
    "transparent": Options(img_channels=4),
    "dark": Options(output_scale=0.05),
    "clamped": Options(conv_clamp=0.4),
    "not clamped": Options(conv_clamp=None),
    "other bands": Options(first_cutoff=3, first_stopband=5, last_stopband_rel=1.5),
}


def _moved(count: int) -> torch.Tensor:
    """Another motion for each sample, with some magnification."""
    return torch.eye(3) + 0.4 * torch.randn(count, 3, 3) * torch.tensor([[1.0], [1.0], [0.0]])


def _read(tmp_path: Path, blob: bytes) -> Generator:
    path = tmp_path / "network.pkl"
    path.write_bytes(blob)
    return network.build(read(path))


@pytest.fixture(scope="module", params=["sg3t_64", "sg3r_64"])
def golden3(request: pytest.FixtureRequest) -> Golden:
    stem = request.param
    with np.load(GOLDEN / f"{stem}.npz", allow_pickle=False) as file:
        return Golden(stem, GOLDEN / f"{stem}.pkl", dict(file))


@pytest.fixture(scope="module")
def built(golden3: Golden) -> StyleGAN3:
    generator = network.build(read(golden3.path))
    assert isinstance(generator, StyleGAN3)
    return generator


@pytest.fixture(scope="module")
def exported(built: StyleGAN3, golden3: Golden, graphs: Path) -> Exported:
    return Exported(built, graphs / f"{golden3.stem}.onnx")


def test_w_is_the_authors(built: StyleGAN3, golden3: Golden) -> None:
    w = built.mapping(torch.from_numpy(golden3["z"]))

    np.testing.assert_allclose(w.numpy(), golden3["w"], rtol=1e-5, atol=2e-6)
    np.testing.assert_array_equal(built.state_dict()["mapping.w_avg"], golden3["w_avg"])


# ws, image, and the transform in force: the stored one, which the file's own network draws with.
CASES = [
    ("w", "img_psi1_const", "transform_pkl"),
    ("ws_psi07", "img_psi07_const", "transform_pkl"),
    ("ws_psi05_cut4", "img_psi05_cut4_const", "transform_pkl"),
    ("ws_mix", "img_mix_const", "transform_pkl"),
    ("w", "img_psi1_none", "transform_pkl"),
    ("w", "img_psi1_const_transform_user", "transform_user_inverse"),
    ("w", "img_psi1_const_transform_identity", ""),
]


@pytest.mark.parametrize(("ws", "image", "transform"), CASES)
def test_images_are_the_authors(
    built: StyleGAN3, golden3: Golden, ws: str, image: str, transform: str
) -> None:
    rows = torch.from_numpy(golden3[ws][: len(golden3[image])])
    if ws == "w":
        rows = rows[:, None].expand(-1, built.num_ws, -1)
    moved = torch.from_numpy(golden3[transform]).expand(len(rows), 3, 3) if transform else None

    img = built.synthesize(rows, [], moved)

    np.testing.assert_allclose(img.numpy(), golden3[image], atol=TOLERANCE)


def _feeds(exported: Exported, golden: Golden, image: str, transform: str) -> Feeds:
    """The graph's inputs for a golden image."""
    feeds = exported.feeds(golden["z"][: len(golden[image])])
    if "psi07" in image:
        feeds["psi"][:] = 0.7
    if "psi05" in image:
        feeds["psi"][:, :4] = 0.5
    if "mix" in image:
        feeds["mix_z"] = golden["z"][1:2]
        feeds["mix"][:, 3:] = 1
    if transform:
        feeds["transform"][:] = golden[transform]
    return feeds


@pytest.mark.parametrize(("ws", "image", "transform"), CASES)
def test_the_engines_images_are_the_authors(
    exported: Exported, golden3: Golden, ws: str, image: str, transform: str
) -> None:
    feeds = _feeds(exported, golden3, image, transform)

    levels, img = exported.run(feeds)
    alone = [
        exported.run({name: value[i : i + 1] for name, value in feeds.items()})[1]
        for i in range(len(img))
    ]

    np.testing.assert_allclose(img, golden3[image], atol=TOLERANCE)
    np.testing.assert_allclose(np.concatenate(alone), img, atol=TOLERANCE)
    if ws == "ws_psi07":
        difference = np.abs(levels.astype(int) - golden3["uint8_psi07_const"])
        assert difference.max() <= 1
        assert (difference > 0).mean() <= 0.001


def test_a_batch_of_other_settings_changes_no_picture(exported: Exported) -> None:
    random = np.random.default_rng(3)
    feeds = exported.feeds(random.standard_normal((5, 64), np.float32) * 4)
    feeds["psi"] = random.random(feeds["psi"].shape, np.float32)
    feeds["ws_offset"] = random.standard_normal(feeds["ws_offset"].shape, np.float32)
    feeds["transform"] = _moved(5).numpy()

    together, _ = exported.run(feeds)
    alone = [exported.run({n: v[i : i + 1] for n, v in feeds.items()})[0] for i in range(5)]

    assert np.abs(together.astype(int) - np.concatenate(alone)).max() <= 1


def test_all_filters_are_plain_convolutions(exported: Exported) -> None:
    kinds = {node.op_type for node in exported.model.graph.node}

    assert not kinds & {"ConvTranspose", "Pad", "ScatterND", "Loop", "If"}
    assert "noise_scale" not in exported.feeds(np.zeros((1, 64), np.float32))


def test_rows_are_grouped_by_the_band_of_their_layer(built: StyleGAN3) -> None:
    rows = built.ws_resolutions

    assert rows == (4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64, 64)


def test_the_files_transform_is_left_out_and_that_is_said(golden3: Golden) -> None:
    checkpoint = read(golden3.path)

    assert "synthesis.input.transform" not in checkpoint.arrays
    assert "input transform is left out" in checkpoint.provenance.remarks[0]


@pytest.mark.parametrize("name", VARIANTS)
def test_every_option_computes_what_the_formulas_say(tmp_path: Path, name: str) -> None:
    options = VARIANTS[name]
    arrays = tensors(options)
    generator = _read(tmp_path, pickled(options, arrays))
    book = Textbook(options, arrays)
    torch.manual_seed(1)
    z, c = torch.randn(2, options.z_dim), torch.randn(2, 4) if options.c_dim else None
    transform = _moved(2)

    assert isinstance(generator, StyleGAN3)
    w = generator.mapping(z, c)
    ws = w[:, None] + torch.randn(2, options.num_ws, options.w_dim)
    img = generator.synthesize(ws, [], transform)

    np.testing.assert_allclose(w.numpy(), book.mapping(z, c).numpy(), atol=1e-4)
    pairs = zip(ws, transform, strict=True)
    expected = torch.cat([book.synthesis(*pair) for pair in pairs]).numpy()
    np.testing.assert_allclose(img.numpy(), expected, atol=1e-4 * max(np.abs(expected).max(), 1))
    assert expected.std() > 0.005


@pytest.mark.parametrize("name", ["classes", "falling rate, radial, unrisen"])
def test_options_export_as_torch_computes_them(tmp_path: Path, name: str) -> None:
    options = VARIANTS[name]
    generator = _read(tmp_path, pickled(options, tensors(options)))
    exported = Exported(generator, tmp_path / "model.onnx")
    random = np.random.default_rng(1)
    feeds = exported.feeds(random.standard_normal((5, options.z_dim), np.float32))
    feeds["transform"] = _moved(5).numpy()
    pipeline = Pipeline(generator)

    image, _ = exported.run(feeds)

    expected = pipeline(*(torch.from_numpy(feeds[n]) for n in pipeline.names)).numpy()
    assert np.abs(image.astype(int) - expected).max() <= 1


def test_a_frozen_network_builds_again_with_its_filters(tmp_path: Path) -> None:
    options = VARIANTS["R"]
    generator = _read(tmp_path, pickled(options, tensors(options)))

    again = network.build(network.freeze(generator, "test"))

    ws = torch.randn(1, options.num_ws, options.w_dim)
    assert torch.equal(again.synthesize(ws, []), generator.synthesize(ws, []))


def test_a_style_of_zeros_gives_no_nonsense(tmp_path: Path) -> None:
    options = Options()
    arrays = {n: a * 0 if ".affine." in n else a for n, a in tensors(options).items()}
    generator = _read(tmp_path, pickled(options, arrays))

    img = generator.synthesize(torch.zeros(1, options.num_ws, options.w_dim), [])

    assert img.isfinite().all()


@pytest.mark.parametrize("kernel", [1, 3])
def test_published_layers_need_no_stride_and_no_interleaving(kernel: int) -> None:
    """With the authors' factors, phases meet phases: two of them, of six taps each.

    One more sample's taps may be zeros that let both phases begin at one sample of the input.
    """
    options = Options(img_resolution=1024, num_layers=14, margin_size=10, conv_kernel=kernel)
    found = planes(options)
    steps = itertools.pairwise([found[0], *found])

    for (before, plane), layer in zip(steps, layers(options), strict=True):
        plan = Resampling(
            inputs=before.size + layer["conv_kernel"] - 1,
            outputs=plane.size,
            up=layer["up_factor"],
            down=layer["down_factor"],
            up_taps=layer["up_taps"],
            down_taps=layer["down_taps"],
        )
        assert plan.pad == layer["padding"][0]
        if not layer["is_torgb"]:
            assert (plan.phases, plan.step, plan.reach) == (2, 1, 6)
            assert plan.width <= 7 * plan.spread


SMALL = Options()


def _changed(path: str, **attributes: Any) -> dict[str, dict[str, Any]]:
    return {path: attributes}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (_changed("", _init_kwargs={"attention": 8}), "attention=8, an option that StyleGAN3"),
        (
            _changed("", _init_kwargs={"mapping_kwargs": {"activation": "relu"}}),
            "activation='relu', an option that StyleGAN3",
        ),
        (_changed("", img_resolution=32), "L4_16_3 has out_size 16, expected 32"),
        (
            _changed("synthesis.L1_22_6", padding=[0, 0, 0, 0]),
            "L1_22_6 has padding .0, 0, 0, 0., expected",
        ),
        (_changed("synthesis.L1_22_6", up_factor=3), "L1_22_6 has tmp_sampling_rate 32, exp"),
        (_changed("synthesis.L1_22_6", in_sampling_rate=8), "in_sampling_rate 8, expected 16"),
        (_changed("synthesis.L1_22_6", conv_clamp=2), "conv_clamp differs between layers"),
        (_changed("synthesis.L1_22_6", conv_kernel=5), "conv_kernel 5, expected 3"),
        (_changed("synthesis.L1_22_6", up_taps=8), "up_taps 8, expected 12"),
        (_changed("synthesis.L1_22_6", in_size=np.array([22, 30])), "in_size is no square's size"),
        (_changed("synthesis.L1_22_6", out_cutoff=None), "do not fit together"),
        (_changed("synthesis.L1_22_6", is_torgb=True), "is_torgb True, expected False"),
        (_changed("synthesis.input", sampling_rate=4.0), "sampling_rate 4.0, expected 16"),
        (_changed("synthesis.input", bandwidth=9.0), "input_cutoff 9.0, expected a positive"),
        (_changed("synthesis", layer_names=None), "layer_names None, no list"),
        (_changed("synthesis", layer_names=["L9"] * 5), "has no part 'L9'"),
        (_changed("synthesis", num_layers=9), "num_layers 9, expected 4"),
        (_changed("synthesis", output_scale=-1.0), "output_scale -1.0, expected a positive"),
        (_changed("mapping.fc0", activation="relu"), "activation differs between layers"),
        (_changed("synthesis.L1_22_6.affine", weight_gain=3.0), "weight_gain 3.0, expected"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(
    tmp_path: Path, changes: dict[str, dict[str, Any]], message: str
) -> None:
    with pytest.raises(CheckpointError, match=message):
        _read(tmp_path, pickled(SMALL, tensors(SMALL), changes))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("up_filter", None, "up_taps 12, expected 1"),
        ("up_filter", np.zeros((12, 12), np.float32), "'up_filter' of a SynthesisLayer has 2 axes"),
        ("magnitude_ema", None, "tensor synthesis.L1_22_6.magnitude_ema is missing"),
        ("gain", np.zeros(3, np.float32), "'synthesis.L1_22_6.gain' has no place"),
        ("weight", np.zeros((6, 5, 3, 3), np.float32), r"weight is \(6, 5, 3, 3\), expected"),
    ],
)
def test_tensors_that_do_not_fit_are_refused_by_name(
    tmp_path: Path, name: str, value: Any, message: str
) -> None:
    full = f"synthesis.L1_22_6.{name}"
    arrays: Arrays = {n: a for n, a in tensors(SMALL).items() if n != full}
    if value is not None:
        arrays[full] = value

    with pytest.raises(CheckpointError, match=message):
        _read(tmp_path, pickled(SMALL, arrays))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers": None}, "no layers"),
        ({"layers": [3]}, "a layer of the configuration does not fit StyleGAN3"),
        ({"layers": [{"width": 3}]}, "a layer of the configuration does not fit StyleGAN3"),
        ({"style": 1}, "unknown key 'style'"),
        ({"kernel_size": 2}, "kernel_size 2, expected 1, 3, 5 or 7"),
        ({"resolution": 4097}, "resolution 4097, expected 4 to 4096"),
        ({"resolution": 32}, "layers a tuple, expected layers whose rates and sizes follow on"),
        ({"input_rate": 1e3}, "input_rate 1000.0, expected"),
        ({"mapping_widths": [10, 11]}, "mapping_widths a tuple, expected at most 64 widths"),
    ],
)
def test_configurations_are_checked_by_name(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    frozen = network.freeze(_read(tmp_path, pickled(SMALL, tensors(SMALL))), "faces.pkl")

    with pytest.raises(UnsupportedCheckpoint, match=message):
        network.build(replace(frozen, config={**frozen.config, **changes}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("up", 0),
        ("down_taps", 1),
        ("up_taps", 10**5),
        ("size", 10**6),
        ("radial", 1),
        ("cutoff", float("nan")),
    ],
)
def test_layers_of_a_configuration_are_checked_by_name(
    tmp_path: Path, name: str, value: Any
) -> None:
    frozen = network.freeze(_read(tmp_path, pickled(SMALL, tensors(SMALL))), "faces.pkl")
    first, *others = frozen.config["layers"]

    with pytest.raises(UnsupportedCheckpoint, match=f"a layer .* has {name} "):
        Config.from_json({**frozen.config, "layers": [{**first, name: value}, *others]})
