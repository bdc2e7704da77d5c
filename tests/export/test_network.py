"""The networks compute what the authors' code computes, and what the formulas say."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.conftest import Golden
from tests.export.forge import shaped
from tests.export.textbook import Textbook

from nonesuch.errors import CheckpointError
from nonesuch_export import network
from nonesuch_export.checkpoint import Checkpoint, read
from nonesuch_export.network import StyleGAN2
from nonesuch_export.network.config import Config, channel_widths

SMALL = Config(
    resolution=16,
    widths=(12, 10, 8),
    z_dim=24,
    w_dim=20,
    mapping_widths=(28, 20),
)
_BY_NAME: dict[str, dict[str, Any]] = {
    "skip": {},
    "orig": {"architecture": "orig"},
    "resnet": {"architecture": "resnet"},
    "resnet clamped": {"architecture": "resnet", "conv_clamp": 0.4},
    "clamped": {"conv_clamp": 0.3},
    "no clamp": {"conv_clamp": None},
    "no noise": {"use_noise": False},
    "one mapping layer": {"mapping_widths": (20,)},
    "no mapping layer": {"mapping_widths": (), "z_dim": 20},
    "classes": {"c_dim": 5, "embed_width": 16},
    "grey": {"channels": 1},
    "transparent": {"channels": 4},
    "relu": {"activation": "relu", "mapping_activation": "tanh"},
    "swish": {"activation": "swish", "lr_multiplier": 1.0},
    "kernel 1": {"kernel_size": 1},
    "kernel 5": {"kernel_size": 5},
    "filter of 1 tap": {"resample_filter": ((1.0,),)},
    "filter of 2 taps": {"resample_filter": ((0.25, 0.25), (0.25, 0.25))},
    "asymmetric filter of 3 taps": {
        "resample_filter": ((0.1, 0.2, 0.05), (0.15, 0.1, 0.1), (0.1, 0.1, 0.1))
    },
    "separable filter of 8 taps": {
        "resample_filter": (-0.02, 0.03, 0.2, 0.31, 0.27, 0.17, 0.06, -0.02)
    },
    "separable filter of 9 taps": {
        "resample_filter": (0.01, 0.03, 0.1, 0.2, 0.26, 0.22, 0.1, 0.05, 0.03)
    },
}


def variant(name: str) -> Config:
    return replace(SMALL, **_BY_NAME[name])


VARIANTS = tuple(_BY_NAME)


def _noise(generator: StyleGAN2) -> list[torch.Tensor]:
    return [stored[None, None] for stored in generator.noise_const]


def _built(path: Path) -> StyleGAN2:
    generator = network.build(read(path))
    assert isinstance(generator, StyleGAN2)
    return generator


def test_w_is_the_authors(golden: Golden) -> None:
    generator = _built(golden.path)
    c = torch.from_numpy(golden["c"]) if generator.config.c_dim else None

    w = generator.mapping(torch.from_numpy(golden["z"]), c)

    np.testing.assert_allclose(w.numpy(), golden["w"], atol=1e-5)


@pytest.mark.parametrize(
    ("ws", "image", "noise"),
    [
        pytest.param("ws_psi07", "img_psi07_const", True, id="psi 0.7"),
        pytest.param("ws_psi05_cut4", "img_psi05_cut4_const", True, id="psi 0.5, cutoff 4"),
        pytest.param("ws_mix", "img_mix_const", True, id="mixed"),
        pytest.param("w", "img_psi1_none", False, id="no noise"),
        pytest.param("w", "img_psi1_const", True, id="stored noise"),
    ],
)
def test_images_are_the_authors(golden: Golden, ws: str, image: str, *, noise: bool) -> None:
    generator = _built(golden.path)
    rows = torch.from_numpy(golden[ws][: len(golden[image])])
    if ws == "w":
        rows = rows[:, None].expand(-1, generator.num_ws, -1)

    img = generator.synthesize(rows, _noise(generator) if noise else [])

    np.testing.assert_allclose(img.numpy(), golden[image], atol=2e-5)


@pytest.mark.parametrize("name", VARIANTS)
def test_every_option_computes_what_the_formulas_say(name: str) -> None:
    config = variant(name)
    generator = shaped(config)
    book = Textbook(config, {n: v.numpy() for n, v in generator.state_dict().items()})
    z, c = torch.randn(2, config.z_dim), torch.randn(2, config.c_dim) if config.c_dim else None

    w = generator.mapping(z, c)
    ws = w[:, None] + torch.randn(2, config.num_ws, config.w_dim)
    img = generator.synthesize(ws, _noise(generator))

    np.testing.assert_allclose(w.numpy(), book.mapping(z, c).numpy(), atol=1e-5)
    expected = torch.cat([book.synthesis(ws[0]), book.synthesis(ws[1])])
    np.testing.assert_allclose(img.numpy(), expected.numpy(), atol=5e-5)


def test_a_frozen_network_builds_again() -> None:
    generator = shaped(variant("resnet"))

    again = network.build(network.freeze(generator, "test"))

    for name, value in generator.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_default_widths_are_the_papers() -> None:
    assert channel_widths(1024) == (512, 512, 512, 512, 512, 256, 128, 64, 32)


def _changed(**changes: Any) -> Checkpoint:
    frozen = network.freeze(shaped(SMALL), "faces.pkl")
    merged: dict[str, Any] = {key: {**getattr(frozen, key), **v} for key, v in changes.items()}
    return replace(frozen, **merged)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"config": {"style": 1}}, "unknown key 'style'"),
        ({"config": {"architecture": "deep"}}, "architecture 'deep', expected skip, resnet or"),
        ({"config": {"resolution": 17}}, "resolution 17, expected a power of two"),
        ({"config": {"activation": "gelu"}}, "activation 'gelu', expected linear, relu"),
        ({"config": {"widths": [8, 8]}}, "widths"),
        ({"config": {"conv_clamp": float("nan")}}, "conv_clamp nan, expected a positive number"),
        ({"config": {"conv_clamp": -1}}, "conv_clamp -1, expected a positive number"),
        ({"config": {"lr_multiplier": 0}}, "lr_multiplier 0, expected a positive number"),
        ({"config": {"widths": [12, -1, 8]}}, "widths a tuple, expected one a block"),
        ({"config": {"widths": 12}}, "widths 12, expected one a block"),
        ({"config": {"z_dim": 1.5}}, "z_dim 1.5, expected 1 to"),
        ({"config": {"channels": True}}, "channels True, expected 1, 3 or 4"),
        ({"config": {"use_noise": "aaa"}}, "use_noise 'aaa', expected true or false"),
        ({"config": {"resample_filter": [[0.5, 0.5]]}}, "resample_filter a tuple, expected num"),
        ({"config": {"resample_filter": []}}, "resample_filter a tuple, expected numbers"),
        ({"config": {"resample_filter": [1, float("inf")]}}, "resample_filter a tuple"),
        ({"config": {"mapping_widths": [8] * 100}}, "mapping_widths a tuple, expected at most"),
        ({"config": {"resolution": "big"}}, "resolution 'big', expected a power"),
        ({"arrays": {"extra": np.zeros(3)}}, "tensor 'extra' has no place"),
        ({"arrays": {"mapping.fc0.bias": np.zeros(3)}}, r"mapping.fc0.bias is \(3,\), expected"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        network.build(_changed(**changes))


def test_a_missing_tensor_is_named() -> None:
    frozen = network.freeze(shaped(SMALL), "faces.pkl")
    arrays = {n: a for n, a in frozen.arrays.items() if n != "synthesis.b8.conv0.weight"}

    with pytest.raises(CheckpointError, match=r"faces.pkl: tensor synthesis.b8.conv0.weight is mi"):
        network.build(replace(frozen, arrays=arrays))
