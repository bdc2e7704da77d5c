"""The shipped generator draws what its teacher draws, and its layers mean what they should."""

from pathlib import Path

import pytest
import torch
from demo import space
from demo.attributes import columns
from demo.portraits import Texture, render
from demo.train import layer_groups
from torch import Tensor

from nonesuch.latents import latent
from nonesuch_export import network
from nonesuch_export.checkpoint import read
from nonesuch_export.network import Generator

FILE = Path(__file__).parents[2] / "demo" / "portraits.safetensors"
SEEDS = range(24)


@pytest.fixture(scope="module")
def generator() -> Generator:
    return network.build(read(FILE))


@pytest.fixture(scope="module")
def z() -> Tensor:
    return torch.cat([torch.from_numpy(latent(seed, space.Z_DIM)) for seed in SEEDS])


def synthesized(generator: Generator, ws: Tensor) -> Tensor:
    with torch.inference_mode():
        img: Tensor = generator.synthesize(ws, [n[None, None] for n in generator.noise_const])
    return img


def drawn(generator: Generator, attributes: Tensor) -> Tensor:
    """The teacher's pictures, with the texture of the generator's stored noise."""
    stored = {noise.shape[0]: noise[None, None] for noise in generator.noise_const}
    size = generator.config.resolution
    texture = Texture(strands=stored[size], skin=stored[size // 2], background=stored[16])
    return render(attributes.clamp(0, 1), size, texture=texture)


def psnr(one: Tensor, other: Tensor) -> Tensor:
    """dB of each picture, [N]."""
    decibels: Tensor = -10 * ((one - other) / 2).square().mean(dim=(1, 2, 3)).log10()
    return decibels


def rows(generator: Generator, z: Tensor) -> Tensor:
    with torch.inference_mode():
        w: Tensor = generator.mapping(z)
    return w[:, None].repeat(1, generator.config.num_ws, 1)


def test_the_checkpoint_says_how_it_came_about() -> None:
    checkpoint = read(FILE)

    assert checkpoint.licence == "Apache-2.0"
    assert "no photographs" in (checkpoint.about or "")


def test_seeds_give_the_portraits_that_their_z_stands_for(generator: Generator, z: Tensor) -> None:
    quality = psnr(
        synthesized(generator, rows(generator, z)), drawn(generator, space.attributes_of(z))
    )

    assert quality.mean() > 26
    assert quality.min() > 20


def test_the_average_w_is_a_plain_face(generator: Generator) -> None:
    assert generator.mapping.w_avg is not None
    ws = generator.mapping.w_avg[None, None].expand(1, generator.config.num_ws, -1)

    middle = drawn(generator, torch.full((1, space.COUNT), 0.5))

    assert psnr(synthesized(generator, ws), middle).item() > 24


@pytest.mark.parametrize("group", ["coarse", "middle", "fine"])
def test_mixing_a_group_of_rows_changes_its_attributes_and_no_others(
    generator: Generator, z: Tensor, group: str
) -> None:
    number = ("coarse", "middle", "fine").index(group)
    taken = [i for i, g in enumerate(layer_groups(generator.config)) if g == number]
    other = z.flip(0)
    ws, attributes = rows(generator, z), space.attributes_of(z)
    mixed_ws, mixed = ws.clone(), attributes.clone()
    mixed_ws[:, taken] = rows(generator, other)[:, taken]
    picks = columns(group)  # type: ignore[arg-type]
    mixed[:, picks] = space.attributes_of(other)[:, picks]

    image = synthesized(generator, mixed_ws)

    right = psnr(image, drawn(generator, mixed))
    assert right.mean() > 25
    assert (right > psnr(image, drawn(generator, attributes))).float().mean() > 0.9
    assert (right > psnr(image, drawn(generator, space.attributes_of(other)))).all()
