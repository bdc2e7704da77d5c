"""Portraits are drawn the same every time, show every attribute, and keep the groups apart."""

from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from demo.attributes import ATTRIBUTES, INDEX, columns, random
from demo.portraits import Texture, main, render, textures
from PIL import Image
from torch import Tensor

from nonesuch.errors import InvalidRequest

PRESENCE = ("bun", "beard", "moustache", "glasses", "freckles", "earrings")


def people(n: int, seed: int = 0, **fixed: float) -> Tensor:
    """Random portraits in which some attributes are the same in all."""
    attributes = random(n, torch.Generator().manual_seed(seed))
    for name, value in fixed.items():
        attributes[:, INDEX[name]] = value
    return attributes


def plain(n: int, **fixed: float) -> Tensor:
    """Portraits of people with hair, but without what could hide a feature."""
    attributes = people(n, hair_volume=0.6, age=0.3)
    for name, value in (dict.fromkeys(PRESENCE, 0.2) | fixed).items():
        attributes[:, INDEX[name]] = value
    return attributes


def luminance(image: Tensor) -> Tensor:
    return (image * torch.tensor([0.2126, 0.7152, 0.0722])[:, None, None]).sum(1)


def edges(image: Tensor) -> Tensor:
    """How strong the edge at each pixel is; the root counts faint edges nearly like strong ones."""
    right = image[..., 1:, 1:] - image[..., 1:, :-1]
    down = image[..., 1:, 1:] - image[..., :-1, 1:]
    return (right.square() + down.square()).sum(1).pow(0.25).flatten(1)


def same_geometry(a: Tensor, b: Tensor) -> float:
    """Likeness of where the edges are: 1 = all in place, about 0.64 for unrelated portraits."""
    return torch.cosine_similarity(edges(a), edges(b)).mean().item()


def ends(name: str, attributes: Tensor) -> tuple[Tensor, Tensor]:
    """The same people with one attribute low and high."""
    low, high = attributes.clone(), attributes.clone()
    low[:, INDEX[name]], high[:, INDEX[name]] = 0.1, 0.9
    return render(low, 64), render(high, 64)


def test_attributes_have_names_of_their_own() -> None:
    assert len(INDEX) == len(ATTRIBUTES)


def test_groups_hold_each_attribute_once() -> None:
    assert sorted(columns("coarse") + columns("middle") + columns("fine")) == list(
        range(len(ATTRIBUTES))
    )


def test_the_same_attributes_give_the_same_picture() -> None:
    attributes, texture = people(2), textures(2, 64, torch.Generator().manual_seed(1))

    assert torch.equal(
        render(attributes, 64, texture=texture), render(attributes, 64, texture=texture)
    )


def test_a_portrait_does_not_depend_on_its_batch() -> None:
    attributes = people(5)

    batch = render(attributes, 64)

    for i, image in enumerate(batch):
        assert torch.allclose(render(attributes[i : i + 1], 64)[0], image, atol=1e-4)


@pytest.mark.parametrize("resolution", [32, 100, 256])
def test_any_resolution_works(resolution: int) -> None:
    image = render(people(2), resolution, texture=textures(2, resolution))

    assert image.shape == (2, 3, resolution, resolution)
    assert image.dtype == torch.float32


def test_values_lie_between_minus_one_and_one() -> None:
    corners = people(24).round()

    image = render(corners, 64, texture=textures(24, 64))

    assert image.isfinite().all()
    assert image.min() >= -1
    assert image.max() <= 1


def test_another_resolution_shows_the_same_portrait() -> None:
    attributes = people(8)

    small = render(attributes, 64, supersample=2)
    large = torch.nn.functional.avg_pool2d(render(attributes, 256), 4)

    assert (small - large).abs().mean() < 0.02


@pytest.mark.parametrize("name", INDEX)
def test_each_attribute_changes_each_portrait(name: str) -> None:
    worn = {"glasses": 0.9} if name.startswith("glasses_") else {}

    low, high = ends(name, plain(6, **worn))

    assert ((low - high).abs().amax((1, 2, 3)) > 0.04).all()


@pytest.mark.parametrize("name", [ATTRIBUTES[i].name for i in columns("fine")])
def test_colours_and_light_leave_shapes_in_place(name: str) -> None:
    assert same_geometry(*ends(name, plain(8))) > 0.9


@pytest.mark.parametrize(
    "name", ["yaw", "roll", "zoom", "head_width", "hair_volume", "hair_length"]
)
def test_pose_head_and_hair_move_shapes(name: str) -> None:
    assert same_geometry(*ends(name, plain(8))) < 0.9


def test_the_coarse_group_moves_shapes_far_more_than_the_others_together() -> None:
    own, other = plain(16), people(16, seed=1)
    likeness = {}
    for group in ("coarse", "middle", "fine"):
        mixed = own.clone()
        mixed[:, columns(group)] = other[:, columns(group)]
        likeness[group] = same_geometry(render(own, 64), render(mixed, 64))

    assert likeness["coarse"] < 0.8
    assert min(likeness["middle"], likeness["fine"]) > 0.9


def test_skin_darkens_the_cheeks_step_by_step_in_every_face() -> None:
    faces = plain(6, yaw=0.5, pitch=0.5, roll=0.5, zoom=0.5)
    steps = torch.linspace(0, 1, 10)
    series = faces.repeat_interleave(10, 0)
    series[:, INDEX["skin"]] = steps.repeat(6)

    cheeks = luminance(render(series, 64))[:, 33:37, [24, 25, 38, 39]].mean((1, 2)).reshape(6, 10)

    falls = cheeks[:, :-1] - cheeks[:, 1:]
    assert (falls > 0.03).all()
    assert (falls < 0.35).all()


@pytest.mark.parametrize("name", PRESENCE)
def test_what_a_person_has_or_has_not_grows_without_a_step(name: str) -> None:
    series = plain(1, skin=0.3, hair_colour=0.3, yaw=0.5).repeat(101, 1)
    series[:, INDEX[name]] = torch.linspace(0, 1, 101)

    image = render(series, 32)

    change = (image[1:] - image[:-1]).abs().mean((1, 2, 3))
    assert change.max() < 0.3 * (image[-1] - image[0]).abs().mean()


def test_strands_are_drawn_in_hair_only() -> None:
    bald, texture = plain(4, hair_volume=0.0), textures(4, 64, torch.Generator().manual_seed(2))
    combed = Texture(
        strands=torch.zeros(1, 1, 64, 64), skin=texture.skin, background=texture.background
    )

    assert torch.equal(render(bald, 64, texture=texture), render(bald, 64, texture=combed))
    hairy = plain(4)
    changed = render(hairy, 64, texture=texture) - render(hairy, 64, texture=combed)
    assert changed.abs().amax((1, 2, 3)).min() > 0.05


def test_attributes_of_another_length_are_refused() -> None:
    with pytest.raises(InvalidRequest, match=rf"\[2, 3\], expected \[N, {len(ATTRIBUTES)}\]"):
        render(torch.zeros(2, 3), 64)


def test_the_command_writes_a_sheet(tmp_path: Path) -> None:
    path = tmp_path / "people.png"
    options = ["--columns", "3", "--rows", "2", "--resolution", "32"]

    result = CliRunner().invoke(main, ["--sheet", str(path), *options])

    assert result.exit_code == 0
    with Image.open(path) as image:
        assert image.size == (96, 64)
