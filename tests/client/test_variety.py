"""How scores spread, and seeds that are balanced by them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from nonesuch import variety
from nonesuch.balance import Balance, Draw, quotas
from nonesuch.card import Card, Direction
from nonesuch.errors import InvalidRequest, TooRare
from nonesuch.latents import Seeds
from nonesuch.options import Truncation

DIRECTIONS = (
    Direction(name="skin", first=6, last=9),
    Direction(name="smile", first=2, last=5),
    Direction(name="wide", first=4, last=7),
)


def card(psi: float = 1.0, cutoff: int | None = None) -> Card:
    return Card(
        name="faces",
        family="stylegan2",
        height=64,
        width=64,
        channels=3,
        z_dim=8,
        w_dim=8,
        c_dim=0,
        num_ws=10,
        ws_resolutions=(4, 8, 8, 16, 16, 32, 32, 64, 64, 64),
        noise_resolutions=(),
        controls=("z", "psi"),
        directions=DIRECTIONS,
        psi=psi,
        cutoff=cutoff,
        max_batch=8,
        model_hash="0" * 64,
        source_sha256="1" * 64,
        engine="onnxruntime",
        precision="fp32",
    )


class Population:
    """Seeds whose scores are normal, independent and the same for everyone who asks."""

    def __init__(self, of: Card) -> None:
        self.card = of

    def info(self, model: str) -> Card:
        assert model == self.card.name
        return self.card

    def scores(
        self, model: str, seeds: Seeds, *, class_idx: int | None = None
    ) -> NDArray[np.float32]:
        assert model == self.card.name
        assert class_idx is None
        return np.stack(
            [np.random.default_rng(seed).normal(size=3).astype(np.float32) for seed in seeds]
        )


def drawn(draw: Draw) -> tuple[list[int], NDArray[np.float32]]:
    seeds = list(draw)
    return seeds, Population(card()).scores("faces", Seeds.of(seeds))


@given(st.integers(2, 16))
def test_an_even_spread_of_deviation_one_fills_all_classes_equally(count: int) -> None:
    even = np.linspace(-np.sqrt(3), np.sqrt(3), 16 * 1000, dtype=np.float32)

    shares = variety.shares(variety.classes(even, count), count)

    assert even.std() == pytest.approx(1, abs=1e-3)
    np.testing.assert_allclose(shares, 1 / count, atol=0.001)


def test_truncation_leaves_of_a_score_what_it_leaves_of_its_rows() -> None:
    cut = Truncation(psi=0.5, cutoff=6)

    np.testing.assert_allclose(variety.remaining(card(), cut), [1, 0.5, 0.75])
    np.testing.assert_allclose(variety.remaining(card(), Truncation(psi=0.5)), [0.5] * 3)


def test_without_a_truncation_that_of_the_card_counts() -> None:
    np.testing.assert_allclose(variety.remaining(card(psi=0.7), None), [0.7] * 3)
    np.testing.assert_allclose(variety.remaining(card(0.7, 6), None), [1, 0.7, 0.85])


def test_truncation_towards_modes_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="remove modes"):
        variety.remaining(card(), Truncation(psi=0.5, modes=True))


def test_a_spread_tells_deviation_thirds_and_the_tails() -> None:
    scores = Population(card()).scores("faces", Seeds.of(range(4000)))

    skin, smile, _ = variety.spreads(card(), scores * np.array([1, 0.5, 1], np.float32))

    assert (skin.direction, skin.pictures) == ("skin", 4000)
    assert skin.deviation == pytest.approx(1, abs=0.05)
    assert skin.low == pytest.approx(-1.645, abs=0.1)
    assert skin.thirds == pytest.approx((0.282, 0.436, 0.282), abs=0.03)
    assert smile.deviation == pytest.approx(0.5, abs=0.03)
    assert smile.thirds[1] > 0.7
    assert sum(skin.histogram) == pytest.approx(1, abs=1e-3)


def test_seeds_are_balanced_to_equal_thirds() -> None:
    draw = Draw(Population(card()), "faces", [Balance(direction="skin")], count=600)

    seeds, scores = drawn(draw)

    assert len(set(seeds)) == 600
    assert seeds == sorted(seeds)
    thirds = np.bincount(variety.classes(scores[:, 0], 3))
    assert thirds.tolist() == [200, 200, 200]
    assert draw.acceptance == 600 / draw.looked_at < 0.95
    assert draw.natural(Balance(direction="skin"))[1] > 0.4


def test_classes_are_those_of_the_truncated_pictures() -> None:
    balance = Balance(direction="skin", shares=(1, 2, 1))
    draw = Draw(Population(card()), "faces", [balance], count=100, truncation=Truncation(psi=0.7))

    _, scores = drawn(draw)

    assert np.bincount(variety.classes(scores[:, 0] * 0.7, 3)).tolist() == [25, 50, 25]


def test_several_directions_are_balanced_together() -> None:
    balances = [Balance(direction="smile", shares=(1, 1)), Balance(direction="skin")]
    draw = Draw(Population(card()), "faces", balances, count=60, first=1000)

    seeds, scores = drawn(draw)

    assert min(seeds) >= 1000
    cells = variety.classes(scores[:, 1], 2) * 3 + variety.classes(scores[:, 0], 3)
    assert np.bincount(cells).tolist() == [10] * 6
    assert draw.reached(balances[0]) == (0.5, 0.5)


def test_the_same_draw_gives_the_same_seeds() -> None:
    first, again = (
        list(Draw(Population(card()), "faces", [Balance(direction="wide")], count=50))
        for _ in range(2)
    )

    assert first == again


def test_what_is_too_rare_ends_with_what_is_missing() -> None:
    balance = Balance(direction="skin", shares=(0, 1))
    draw = Draw(Population(card()), "faces", [balance], count=100, most=50)

    with pytest.raises(
        TooRare, match=r"the seeds 0-49 hold \d+ of the 100 .* class 2 of 2 of skin"
    ):
        list(draw)


@given(
    st.lists(
        st.lists(st.integers(0, 9), min_size=2, max_size=5).filter(any), min_size=1, max_size=3
    ),
    st.integers(1, 500),
)
def test_quotas_sum_up_and_are_within_one_of_the_share(parts: list[list[int]], count: int) -> None:
    balances = [
        Balance(direction=str(i), shares=tuple(map(float, part))) for i, part in enumerate(parts)
    ]

    found = quotas(balances, count)

    exact = np.array(float(count))
    for part in parts:
        exact = np.multiply.outer(exact, np.array(part) / sum(part))
    assert found.sum() == count
    assert np.abs(found - exact).max() < 1
    assert (found[exact == 0] == 0).all()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("skin=", "cannot read 'skin='"),
        ("skin=1,x", "cannot read 'skin=1,x'"),
        ("skin=1", "to have 1 shares, expected 2 to 16"),
        ("skin=0,0", "all shares of skin are 0"),
        ("skin=1,-1", "a share of skin is -1, expected 0 to"),
        ("skin=1,nan", "a share of skin is nan"),
        ("skin=1,inf", "a share of skin is inf"),
    ],
)
def test_unreadable_balances_are_refused(text: str, told: str) -> None:
    with pytest.raises(InvalidRequest, match=told):
        Balance.parse(text)


@pytest.mark.parametrize(
    ("balances", "count", "told"),
    [
        ([Balance(direction="skim")], 8, "no direction 'skim': did you mean skin"),
        ([Balance(direction="skin")] * 2, 8, "skin is to be balanced twice"),
        ([Balance(direction="skin")], 0, "count is 0, expected at least 1"),
        ([], 8, "nothing to balance"),
    ],
)
def test_senseless_draws_are_refused_before_the_work(
    balances: list[Balance], count: int, told: str
) -> None:
    with pytest.raises(InvalidRequest, match=told):
        Draw(Population(card()), "faces", balances, count=count)
