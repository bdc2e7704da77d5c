"""Scores of w and truncation towards modes, through the whole path."""

import numpy as np
import pytest
import torch
from tests.conftest import GOLDEN, MODES, ServedGolden, dials

from nonesuch import Client, Format, Truncation
from nonesuch_export import clusters, graph, network, population
from nonesuch_export.checkpoint import read

pytestmark = pytest.mark.triton

RAW = Format(name="raw")


def test_scores_are_the_readouts_of_w(served: ServedGolden) -> None:
    found = dials(read(GOLDEN / "sg2_uncond_64.pkl"))

    with Client(served.url) as client:
        w, scores = client.map("faces", range(20)), client.scores("faces", range(20))

    assert scores.shape == (20, 2)
    np.testing.assert_allclose(scores, (w - found.centre) @ found.readouts.T, atol=1e-3)


def test_requests_are_truncated_towards_the_modes_that_ask_for_it(served: ServedGolden) -> None:
    generator = network.build(read(GOLDEN / "sg2ada_uncond_32.pkl"))
    generator.modes = clusters.find(generator, MODES)
    given = graph.neutral(generator, population.latents(generator, range(6)))
    given["psi"][:] = 0.4
    given["modes"][:] = 1

    with Client(served.url) as client:
        assert client.info("ada").modes == MODES
        towards = Truncation(psi=0.4, modes=True)
        shown, plain = (
            np.stack(
                [p.array() for p in client.generate("ada", range(6), truncation=t, format=RAW)]
            )
            for t in (towards, Truncation(psi=0.4))
        )

    with torch.inference_mode():
        expected = graph.Pipeline(generator)(*given.values()).numpy()
    assert np.abs(shown.astype(int) - expected).max() <= 1
    assert np.abs(plain.astype(int) - expected).max() > 1
