"""The usual way to compute StyleGAN3 on a CPU, which `make bench-engines` compares with."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.conftest import GOLDEN

import contestants
import published
from inserted import Inserted
from nonesuch_export import graph, network
from nonesuch_export.checkpoint import read
from nonesuch_export.network.aliasfree import Config


@pytest.mark.parametrize("stem", ["sg3t_64", "sg3r_64"])
def test_zeros_between_samples_draw_the_same_pictures(stem: str) -> None:
    checkpoint = read(GOLDEN / f"{stem}.pkl")
    generator = network.build(checkpoint)
    z = torch.from_numpy(np.random.default_rng(0).standard_normal((1, 64), np.float32))
    pipeline = graph.Pipeline(generator)
    given = graph.neutral(generator, z)

    drawn = Inserted(checkpoint.config, checkpoint.arrays)(z)

    expected = pipeline(*(given[name] for name in pipeline.names))
    assert (drawn.int() - expected.int()).abs().max() <= 1
    assert expected.float().std() > 10


@pytest.mark.parametrize("stem", ["sg3t_64", "sg3r_64"])
def test_published_sizes_are_those_of_the_authors_files(stem: str) -> None:
    """The golden files are the authors' 64 pixels with fewer channels."""
    config = network.build(read(GOLDEN / f"{stem}.pkl")).config
    assert isinstance(config, Config)

    made = published.sized(64, stem[3].upper())

    pairs = zip(made.layers, config.layers, strict=True)
    for ours, its in pairs:
        assert ours.cutoff == pytest.approx(its.cutoff)
        assert replace(ours, width=1, cutoff=1.0) == replace(its, width=1, cutoff=1.0)
    assert (made.input_size, made.input_rate) == (config.input_size, config.input_rate)


@pytest.mark.parametrize(("family", "gmac"), [("stylegan3-t", 105.4), ("stylegan3-r", 45.9)])
def test_multiply_adds_of_256_pixels(family: str, gmac: float) -> None:
    config = contestants.sized(family, 256)

    assert contestants.multiply_adds(config) / 1e9 == pytest.approx(gmac, abs=0.1)
