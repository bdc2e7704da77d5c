"""Noise of a seed through the whole path: by its formula, and as much as random noise."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.conftest import Golden, ServedGolden
from tests.test_path import NAMES, RAW, ask
from tritonclient.grpc import InferenceServerClient, InferInput

from nonesuch import Client, Noise, Sample, contract
from nonesuch_export import network
from nonesuch_export.checkpoint import read
from nonesuch_export.graph import Pipeline, neutral, to_uint8

pytestmark = pytest.mark.triton


@pytest.fixture(scope="module")
def triton(served: ServedGolden) -> Iterator[InferenceServerClient]:
    with InferenceServerClient(served.url) as connected:
        yield connected


@pytest.mark.parametrize("name", NAMES)
def test_a_noise_seed_gives_the_same_picture_in_any_batch(served: ServedGolden, name: str) -> None:
    noise = Noise(mode="random", seed=4_000_000_000)
    with Client(served.url) as client:
        together = list(client.generate(name, range(32), noise=noise, format=RAW))

        for seed in (0, 13, 31):
            (alone,) = client.generate(name, [seed], noise=noise, format=RAW)
            difference = np.abs(alone.array().astype(int) - together[seed].array())
            assert difference.max() <= 1


@pytest.mark.parametrize("name", NAMES)
def test_other_noise_seeds_change_as_much_as_the_authors_random_noise(
    served: ServedGolden, name: str
) -> None:
    theirs = _psnr_of_random_noise(served.cases[name], draws=16)
    with Client(served.url) as client:
        (const,) = client.generate(name, [0], format=RAW)
        noises = (Noise(mode="random", seed=seed) for seed in range(16))
        samples = [Sample(seed=0, noise=noise) for noise in noises]
        pictures = list(client.generate_each(name, samples, format=RAW))

    ours = [psnr(picture.array(), const.array()) for picture in pictures]

    assert min(theirs) - 0.5 < min(ours) < max(ours) < max(theirs) + 0.5
    assert abs(np.mean(ours) - np.mean(theirs)) < 0.5


def psnr(some: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """The ratio of the range to the difference, in dB."""
    return float(10 * np.log10(255**2 / np.mean((some.astype(float) - other) ** 2)))


def _psnr_of_random_noise(golden: Golden, draws: int) -> list[float]:
    """How far fresh N(0, 1) in place of the stored noise takes the picture of seed 0."""
    generator = network.build(read(golden.path))
    pipeline = Pipeline(generator)
    given = neutral(generator, torch.from_numpy(golden["z"][:1]))
    random = torch.Generator().manual_seed(1)
    with torch.inference_mode():
        const = to_uint8(pipeline.image(given)).numpy()
        found = []
        for _ in range(draws):
            for stored in generator.noise_const:
                stored.copy_(torch.randn(stored.shape, generator=random))
            found.append(psnr(to_uint8(pipeline.image(given)).numpy(), const))
    return found


def test_the_noise_of_a_seed_follows_the_written_formula(
    triton: InferenceServerClient, served: ServedGolden
) -> None:
    """The generator, fed with shifts by the client's formula, agrees with the sampler's."""
    golden = served.cases["faces"]
    resolutions = [4, 8, 8, 16, 16, 32, 32, 64, 64]
    shifts = [contract.noise_shift(123, k, r) for k, r in enumerate(resolutions)]
    tensors = {
        "z": golden["z"][:1],
        "mix_z": golden["z"][:1],
        "mix": np.zeros((1, 10), np.float32),
        "psi": np.ones((1, 10), np.float32),
        "ws_offset": np.zeros((1, 10, 64), np.float32),
        "noise_scale": np.ones((1, 9), np.float32),
        "noise_shift": np.array([shifts], np.int32),
    }
    kinds = {t.name: t.dtype for t in contract.GRAPH}
    inputs = [InferInput(n, a.shape, kinds[n]).set_data_from_numpy(a) for n, a in tensors.items()]

    direct = triton.infer("faces_generator", inputs).as_numpy("image")

    sampled = ask(triton, "faces", seed=[[0]], noise_seed=[[123]])["image"]
    assert np.abs(direct.astype(int) - sampled).max() <= 1
