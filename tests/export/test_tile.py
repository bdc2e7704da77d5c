"""Tiles: layers that take their input for periodic, and pictures that repeat without a seam."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from tests import families
from tests.conftest import GOLDEN
from tests.export.forge import shaped
from tests.export.test_network import SMALL, VARIANTS, variant
from torch import Tensor

from nonesuch.errors import InvalidRequest
from nonesuch.latents import latent
from nonesuch_export import checkpoint, graph, network, parity
from nonesuch_export.checkpoint import native
from nonesuch_export.cli import main
from nonesuch_export.crop import Crop
from nonesuch_export.network import Generator, growing, stylegan1, stylegan2
from nonesuch_export.network.grown import StyleGAN1Config
from nonesuch_export.network.ops import Resampler
from nonesuch_export.seam import Tile, seam

TILES = get_args(Tile)
PORTRAITS = Path(__file__).parents[2] / "demo" / "portraits.safetensors"
AXES = {"x": (3,), "y": (2,), "both": (2, 3)}

Layer = Callable[[Tensor], Tensor]


def layers(generator: Generator) -> Iterator[tuple[Layer, int]]:
    """The layers that look around, bound to random styles and biases, with their channels."""
    for module in generator.modules():
        match module:
            case stylegan2.Convolution():
                w = torch.randn(2, module.affine.weight.shape[1])
                yield partial(module, w=w, noise=None), module.weight.shape[1]
            case Resampler():
                yield module.upsample, 3
            case growing.Convolution():
                bias = torch.randn(module.weight.shape[0])
                yield partial(module, bias=bias), module.weight.shape[1]
            case stylegan1.Blur():
                yield partial(module, bias=torch.randn(3)), 3


def long_filter() -> Generator:
    """One that goes round a picture of 4x4 more than once."""
    return shaped(replace(SMALL, resample_filter=tuple(np.hanning(24)[1:-1].tolist())))


def even_blur() -> Generator:
    made = {**families.SMALL["stylegan1"], "blur_filter": (1.0, 3.0, 3.0, 1.0)}
    return network.untrained("stylegan1", StyleGAN1Config.from_json(made), seed=1)


NETWORKS: dict[str, Callable[[], Generator]] = {
    **{name: lambda name=name: shaped(variant(name)) for name in VARIANTS},  # type: ignore[misc]
    "resnet, 9 taps": lambda: shaped(
        replace(variant("separable filter of 9 taps"), architecture="resnet")
    ),
    "long filter": long_filter,
    "progan": lambda: families.small("progan"),
    "stylegan1": lambda: families.small("stylegan1"),
    "stylegan1, even blur": even_blur,
}


@pytest.mark.parametrize("tile", TILES)
@pytest.mark.parametrize("name", NETWORKS)
def test_a_layer_takes_its_input_for_one_tile_of_many(name: str, tile: Tile) -> None:
    generator = NETWORKS[name]()
    for layer, channels in layers(generator):
        x = torch.randn(2, channels, 4, 4)
        generator.frame(None, None)
        many = layer(x.repeat(1, 1, *(7 if axis in AXES[tile] else 1 for axis in (2, 3))))

        generator.frame(None, tile)
        one = layer(x)

        for axis in AXES[tile]:
            many = many.narrow(axis, 3 * one.shape[axis], one.shape[axis])
        torch.testing.assert_close(one, many, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("tile", TILES)
@pytest.mark.parametrize("name", ["resnet", "kernel 5", "long filter", "progan", "stylegan1"])
def test_a_layer_moves_its_output_round_with_its_input(name: str, tile: Tile) -> None:
    generator = NETWORKS[name]()
    generator.frame(None, tile)
    for layer, channels in layers(generator):
        x = torch.randn(2, channels, 8, 8)
        y = layer(x)
        for axis in (2, 3):
            factor = y.shape[axis] // x.shape[axis]

            moved = layer(x.roll(3, axis))

            follows = torch.allclose(moved, y.roll(3 * factor, axis), rtol=1e-4, atol=1e-4)
            assert follows == (axis in AXES[tile])


def drawn(generator: Generator, seeds: range = range(4)) -> NDArray[np.uint8]:
    z = np.concatenate([latent(seed, generator.config.z_dim) for seed in seeds])
    given = graph.neutral(generator, torch.from_numpy(z))
    with torch.inference_mode():
        image: NDArray[np.uint8] = graph.Pipeline(generator)(*given.values()).numpy()
    return image


@pytest.mark.parametrize("name", ["skip", "resnet", "orig", "progan", "stylegan1"])
def test_a_whole_network_follows_its_constant_round(name: str) -> None:
    generator = NETWORKS[name]()
    generator.frame(None, "both")
    for noise in generator.noise_const:
        noise.fill_(0.5)  # which is alike everywhere, so that the first layer alone decides
    before = drawn(generator)

    with torch.no_grad():
        for key, value in generator.state_dict().items():
            if key.endswith("const") and value.ndim == 3:
                value.copy_(value.roll((1, 2), (1, 2)))
            if key == "layers.0.source.weight":  # Progressive GAN begins with a layer on z
                value.copy_(value.unflatten(0, (-1, 4, 4)).roll((1, 2), (1, 2)).flatten(0, 2))

    quarter = before.shape[1] // 4
    expected = np.roll(before, (quarter, 2 * quarter), (1, 2)).astype(int)
    assert np.abs(drawn(generator) - expected).max() <= 1


def test_without_a_tile_nothing_changes() -> None:
    plain, back = shaped(SMALL), shaped(SMALL)
    back.frame(None, "both")
    assert (drawn(back) != drawn(plain)).any()

    back.frame(None, None)

    assert (drawn(back) == drawn(plain)).all()


@pytest.mark.parametrize(("name", "tile"), [("resnet, 9 taps", "x"), ("stylegan1", "both")])
def test_a_tiled_export_draws_what_torch_draws(name: str, tile: Tile, tmp_path: Path) -> None:
    generator = NETWORKS[name]()
    generator.frame(None, tile)
    path = tmp_path / "model.onnx"

    graph.export(generator, path)
    report = parity.compare(generator, path)

    assert report.passed, report.table()
    assert report.summary()["seam"] == report.seam == max(row.seam for row in report.rows)


@pytest.mark.parametrize(
    ("file", "untiled"),
    [
        # Weights of these are random, with much noise, which hides a part of the seam.
        pytest.param(GOLDEN / "sg2_cond_32.pkl", 1.6, id="stylegan2"),
        pytest.param(GOLDEN / "rosinality_64.pt", 2, id="rosinality"),
        pytest.param(GOLDEN / "stylegan2tf-64.pkl", 2, id="stylegan2, TensorFlow"),
        pytest.param(GOLDEN / "stylegan1-64.pkl", 2, id="stylegan1"),
        pytest.param(GOLDEN / "progan-64.pkl", 2, id="progan"),
        pytest.param(PORTRAITS, 4, id="portraits"),
    ],
)
def test_the_score_sees_the_seam_of_a_picture_that_does_not_tile(
    file: Path, untiled: float
) -> None:
    generator = network.build(checkpoint.read(file))
    scores = {}

    for tile in (None, "both"):
        generator.frame(None, tile)
        scores[tile] = [seam(picture, "both") for picture in drawn(generator, range(6))]

    assert max(scores["both"]) <= 1.1
    assert np.median(scores[None]) >= untiled


def test_one_tiled_axis_leaves_the_other_its_seam() -> None:
    generator = network.build(checkpoint.read(PORTRAITS))
    generator.frame(None, "x")

    pictures = drawn(generator)

    assert max(seam(picture, "x") for picture in pictures) <= 1.1
    assert min(seam(picture, "y") for picture in pictures) >= 2


def picture(lines: NDArray[Any]) -> NDArray[np.uint8]:
    """64x64 grey, every row the same."""
    return np.tile(lines.round().astype(np.uint8)[None, :, None], (64, 1, 1))


_X = np.arange(64)


@pytest.mark.parametrize(
    ("pixels", "least", "most"),
    [
        pytest.param(picture(0 * _X + 90), 0, 0, id="one colour"),
        pytest.param(picture(128 + 100 * np.cos(2 * np.pi * _X / 64)), 0, 0.3, id="a wave"),
        pytest.param(picture(128 + 100 * np.tanh(8 - abs(_X - 32) / 2)), 0, 0.1, id="a wall"),
        pytest.param(picture(128 + 90 * np.sin(2 * np.pi * _X / 32 - 0.1)), 0, 0.3, id="steep"),
        pytest.param(picture(4.0 * _X), 30, 99, id="a ramp"),
        pytest.param(picture(np.where(_X < 32, 100, 102)), 1.2, 1.3, id="two levels"),
        pytest.param(
            np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8), 0.7, 1.1, id="noise"
        ),
        pytest.param(picture(_X[:4] * 60.0)[:3, :], 2.5, 2.6, id="few pixels"),
    ],
)
def test_scores_of_known_pictures(pixels: NDArray[np.uint8], least: float, most: float) -> None:
    assert least <= seam(pixels, "x") <= most
    assert seam(pixels.swapaxes(0, 1), "y") == seam(pixels, "x")
    assert seam(pixels, "both") >= seam(pixels, "x") if len(pixels) > 3 else True


def test_stylegan3_is_refused_with_the_reason() -> None:
    generator = families.small("stylegan3")

    with pytest.raises(InvalidRequest, match=r"^stylegan3 cannot tile: its synthesis draws a marg"):
        generator.frame(None, "x")


@pytest.mark.parametrize(
    ("crop", "tile"),
    [("16x12", "y"), ("16x12", "both"), ("12x16", "x"), ("12x16", "both"), ("8x8", "x")],
)
def test_a_crop_along_an_axis_that_tiles_is_refused(crop: str, tile: Tile) -> None:
    said = rf"the crop {crop}\+\d\+\d cuts a picture of 16x16, and .* not tile along {tile};"

    with pytest.raises(InvalidRequest, match=said):
        shaped(SMALL).frame(Crop.parse(crop), tile)


@pytest.mark.parametrize(("crop", "tile"), [("16x12", "x"), ("12x16", "y"), ("16x16", "both")])
def test_a_crop_along_the_other_axis_keeps_the_tile(crop: str, tile: Tile) -> None:
    whole, part = shaped(SMALL), shaped(SMALL)
    whole.frame(None, tile)

    part.frame(Crop.parse(crop), tile)

    width, height = map(int, crop.split("x"))
    top, left = (16 - height) // 2, (16 - width) // 2
    assert (drawn(part) == drawn(whole)[:, top : top + height, left : left + width]).all()


def test_the_command_line_builds_compares_and_refuses(tmp_path: Path) -> None:
    files = {name: tmp_path / f"{name}.safetensors" for name in ("progan", "stylegan3")}
    for family, file in files.items():
        native.write(network.freeze(families.small(family), family), file)
    place = ["--name", "bricks", "--repository", str(tmp_path / "models")]

    def run(command: str, family: str, *words: str) -> Result:
        return CliRunner().invoke(main, [command, str(files[family]), *words])

    built = run("build", "progan", "--tile", "x", *place, "--json")
    engine = str(tmp_path / "models" / "bricks_generator" / "1" / "model.onnx")
    same = run("parity", "progan", "--tile", "x", "--engine-file", engine)
    other = run("parity", "progan", "--engine-file", engine)
    third = run("build", "stylegan3", "--tile", "x", *place)

    assert '"tile": "x"' in built.stdout
    assert (same.exit_code, other.exit_code, third.exit_code) == (0, 1, 2)
    assert same.stdout.split("\n")[0].split() == [
        "seed", "settings", "max", "level", "differ", "PSNR", "seam"
    ]  # fmt: skip
    assert third.stderr.startswith("Error: stylegan3 cannot tile: ")
