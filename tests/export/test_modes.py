"""Modes: each group of layers is truncated towards its own nearest centre, and only on request."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests import families
from tests.export.forge import shaped

from nonesuch.errors import InvalidRequest, UnsupportedCheckpoint
from nonesuch_export import clusters, graph, network, parity, population
from nonesuch_export.card import describe
from nonesuch_export.network import Generator
from nonesuch_export.network.config import Config
from nonesuch_export.repository import Plan
from nonesuch_export.sefa import metric

COUNT = 6
GROUPS = (range(3), range(3, 8))  # coarse and middle rows of ws of a network of 32 pixels


def made(**changes: Any) -> Generator:
    shape = {"resolution": 32, "widths": (8, 8, 8, 4), "mapping_widths": (16, 10)}
    return shaped(Config.from_json({**shape, "z_dim": 12, "w_dim": 10, **changes}))


@pytest.fixture(scope="module")
def generator() -> Generator:
    """A network with modes, which graphs of it are told from a copy without."""
    generator = made()
    generator.modes = clusters.find(generator, COUNT)
    return generator


@pytest.fixture(scope="module")
def session(generator: Generator, tmp_path_factory: pytest.TempPathFactory) -> ort.InferenceSession:
    path = tmp_path_factory.mktemp("modes") / "model.onnx"
    graph.export(generator, path)
    return ort.InferenceSession(path)


def truncated(generator: Generator, given: dict[str, NDArray[Any]]) -> NDArray[Any]:
    """The ws of graph inputs by the definition, in numpy: no linear layer, no batch."""
    assert generator.mapping is not None
    assert generator.modes is not None
    assert generator.w_avg is not None
    w_avg = generator.w_avg.double().numpy()
    rows = []
    for i in range(len(given["z"])):
        pair = torch.from_numpy(np.stack([given["z"][i], given["mix_z"][i]]))
        w = generator.mapping(pair).double().numpy()
        nearest = np.empty((2, generator.num_ws, generator.w_dim))
        for number, group in enumerate(GROUPS):
            part = {
                name: generator.modes.get_buffer(f"{name}{number}").double().numpy()
                for name in ("basis", "points", "back")
            }
            y = (w - w_avg) @ part["basis"]
            distance = np.linalg.norm(y[:, None] - part["points"], axis=2)
            nearest[:, group] = (w_avg + part["points"][distance.argmin(1)] @ part["back"])[:, None]
        mix, psi = given["mix"][i][:, None], given["psi"][i][:, None]
        towards = nearest[0] + mix * (nearest[1] - nearest[0])
        towards = w_avg + given["modes"][i] * (towards - w_avg)
        ws = w[0] + mix * (w[1] - w[0])
        rows.append(towards + psi * (ws - towards) + given["ws_offset"][i])
    return np.stack(rows)


def eight(generator: Generator, seed: int) -> dict[str, NDArray[Any]]:
    """Eight samples with unlike settings, modes among them."""
    random = np.random.default_rng(seed)
    z = torch.from_numpy(random.standard_normal((8, 12), np.float32))
    given = {name: value.numpy().copy() for name, value in graph.neutral(generator, z).items()}
    for name in ("mix_z", "psi", "ws_offset"):
        given[name] = random.standard_normal(given[name].shape).astype(np.float32)
    given["mix"] = random.integers(0, 2, given["mix"].shape).astype(np.float32)
    given["modes"] = np.array([[0], [1]] * 4, np.float32)
    return given


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_ws_go_towards_the_nearest_centre_of_their_group(generator: Generator, seed: int) -> None:
    inputs = eight(generator, seed)

    ws = graph.Pipeline(generator).ws({n: torch.from_numpy(v) for n, v in inputs.items()})

    np.testing.assert_allclose(ws, truncated(generator, inputs), atol=1e-4)


def test_a_batch_of_unlike_samples_equals_single_ones_and_torch(
    generator: Generator, session: ort.InferenceSession
) -> None:
    inputs = eight(generator, 1)
    pipeline = graph.Pipeline(generator)

    (together,) = session.run(None, inputs)
    alone = [session.run(None, {n: v[i : i + 1] for n, v in inputs.items()})[0] for i in range(8)]

    expected = pipeline(*(torch.from_numpy(inputs[name]) for name in pipeline.names)).numpy()
    assert np.abs(together.astype(int) - np.concatenate(alone)).max() <= 1
    assert np.abs(together.astype(int) - expected).max() <= 1


def test_without_truncation_and_without_asking_nothing_changes(
    generator: Generator, session: ort.InferenceSession
) -> None:
    inputs = eight(generator, 2)
    asleep = inputs | {"modes": np.zeros((8, 1), np.float32)}
    whole = inputs | {"psi": np.ones_like(inputs["psi"])}

    def differs(given: dict[str, NDArray[Any]]) -> int:
        """From what the same network without modes draws, in levels."""
        plain = graph.Pipeline(made())
        assert "modes" not in plain.names
        expected = plain(*(torch.from_numpy(given[name]) for name in plain.names)).numpy()
        return int(np.abs(session.run(None, given)[0].astype(int) - expected).max())

    assert differs(asleep) <= 1
    assert differs(whole) <= 1
    assert differs(inputs) > 1


def test_centres_are_near_w_where_the_groups_layers_look(generator: Generator) -> None:
    """Better than the average, better than the other group's, and the same ones each time."""
    w = population.sample(generator, range(10_000, 10_500))
    assert generator.modes is not None
    assert generator.w_avg is not None
    nearest = generator.modes(torch.from_numpy(w).float()).double().numpy()
    average = generator.w_avg.numpy()

    for group, other in (GROUPS, GROUPS[::-1]):
        seen = metric(generator, group)
        far, near, across = (
            np.einsum("ni,ij,nj->n", w - centre, seen, w - centre).mean()
            for centre in (average, nearest[:, group[0]], nearest[:, other[0]])
        )
        assert near < 0.75 * far
        assert near < across
    again = clusters.find(made(), COUNT)
    for name, value in generator.modes.named_buffers():
        assert torch.equal(value, again.get_buffer(name))


def test_every_centre_is_the_mean_of_what_is_nearest_to_it() -> None:
    random = np.random.default_rng(5)
    middles = np.array([[0, 0], [5, 0], [0, 5], [9, 9.0]])
    samples = np.concatenate([m + 0.2 * random.standard_normal((50, 2)) for m in middles])

    points = clusters.means(samples, samples[[0, 60, 110, 160]])

    expected = samples.reshape(4, 50, 2).mean(axis=1)
    np.testing.assert_allclose(points, expected, atol=1e-9)


@pytest.mark.parametrize("family", ["stylegan1", "stylegan2", "stylegan3"])
def test_every_family_with_an_average_w_can_have_modes(family: str) -> None:
    generator = families.small(family)  # with classes

    generator.modes = clusters.find(generator, 3)

    given, said = parity.settings(generator, [2])
    assert said == [f"mixed from row {generator.num_ws // 2}, modes"]
    assert graph.Pipeline(generator)(*given.values()).shape == (1, 16, 16, 3)
    assert "modes0" not in "".join(generator.state_dict())


@pytest.mark.parametrize(
    ("generator", "kind", "said"),
    [
        (families.small("progan"), UnsupportedCheckpoint, "Progressive GAN has no w"),
        (made(has_w_avg=False), UnsupportedCheckpoint, "no average w"),
    ],
    ids=["no w", "no average"],
)
def test_a_model_without_what_is_clustered_is_refused(
    generator: Generator, kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind, match=said):
        clusters.find(generator, 3)


def test_more_modes_than_values_of_w_are_refused() -> None:
    generator = made()
    generator.load_state_dict({"mapping.fc0.weight": torch.zeros(16, 12)}, strict=False)

    with pytest.raises(InvalidRequest, match="modes is 3, but the layers 0-2 tell only 1 values"):
        clusters.find(generator, 3)


@pytest.mark.parametrize("modes", [-1, 1, 5000])
def test_a_number_of_modes_out_of_range_is_refused(modes: int) -> None:
    with pytest.raises(InvalidRequest, match=f"modes is {modes}, expected 0 or 2 to 4096"):
        Plan(name="faces", repository=Path("models"), modes=modes)


def test_the_card_counts_them(generator: Generator) -> None:
    checkpoint = network.freeze(made(), "small")
    row = parity.Row(seed=0, settings="neutral", max_level=0, share=0.0, psnr=None, seam=0.0)
    report = parity.Report(engine="onnxruntime", precision="fp32", rows=(row,))

    with_modes, without = (
        describe("small", checkpoint, one, report, max_batch=8) for one in (generator, made())
    )

    assert (with_modes.modes, without.modes) == (COUNT, 0)
    assert [card.controls.count("modes") for card in (with_modes, without)] == [1, 0]
