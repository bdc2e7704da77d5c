"""The demo's latent space is what it is designed to be."""

import pytest
import torch
from demo import space
from demo.attributes import INDEX, random
from demo.train import Plan, finished, layer_groups

from nonesuch_export.network import StyleGAN2
from nonesuch_export.network.config import Config
from nonesuch_export.network.mapping import Mapping


@pytest.fixture(scope="module")
def z() -> torch.Tensor:
    return torch.randn(4096, space.Z_DIM, generator=torch.Generator().manual_seed(3))


def test_the_written_mapping_network_maps_z_to_its_attributes(z: torch.Tensor) -> None:
    network = Mapping(space.Z_DIM, 0, space.MAPPING_WIDTHS)
    weights = space.mapping_weights(lr_multiplier=0.01)
    network.load_state_dict({n.removeprefix("mapping."): w for n, w in weights.items()})

    with torch.no_grad():
        w = network(z)

    expected = space.w_of(space.attributes_of(z)) + space.SHIFT
    torch.testing.assert_close(w, expected, atol=1e-3, rtol=0)


def test_attributes_of_random_z_are_spread_evenly(z: torch.Tensor) -> None:
    attributes = space.attributes_of(z)

    tenths = torch.histc(attributes, 10, 0, 1) / attributes.numel()
    assert tenths.min() > 0.07
    assert tenths.max() < 0.13


def test_the_average_w_is_the_portrait_in_the_middle() -> None:
    middle = space.w_of(torch.full((1, space.COUNT), 0.5))

    assert middle.abs().max() == 0


def test_an_attributes_direction_moves_it_alone() -> None:
    before = random(1, torch.Generator().manual_seed(1)) * 0.5
    after = before.clone()
    after[0, INDEX["smile"]] += 0.25

    moved = space.w_of(after) - space.w_of(before)

    torch.testing.assert_close(moved[0], 0.5 * space.W_DIRECTIONS[INDEX["smile"]])


def test_layers_are_grouped_by_their_resolution() -> None:
    config = Config(resolution=64, widths=(8,) * 5)

    assert layer_groups(StyleGAN2(config).ws_resolutions) == [0, 0, 0, 1, 1, 1, 1, 2, 2, 2]


def test_the_finished_generator_draws_from_z_what_training_saw_of_w(tmp_path: object) -> None:
    torch.manual_seed(0)
    trained = StyleGAN2(Plan(out=tmp_path, resolution=16).config)  # type: ignore[arg-type]
    z = torch.randn(3, space.Z_DIM)
    noise = [torch.zeros(1, 1, 1, 1)] * 5

    whole = finished(trained)

    with torch.no_grad():
        w = space.w_of(space.attributes_of(z))[:, None].expand(-1, 6, -1)
        seen = trained.synthesize(w, noise)
        drawn = whole.synthesize(whole.mapping(z)[:, None].expand(-1, 6, -1), noise)
    torch.testing.assert_close(drawn, seen, atol=2e-3, rtol=1e-3)
