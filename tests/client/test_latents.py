"""Seeds as text, and the latents they stand for."""

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nonesuch.errors import InvalidRequest
from nonesuch.latents import Seeds, latent, parse_seeds

seeds = st.integers(0, 2**32 - 1)


@given(st.lists(seeds, min_size=1))
def test_seeds_written_out_read_back_the_same(numbers: list[int]) -> None:
    written = str(Seeds.of(numbers))

    assert list(parse_seeds(written)) == numbers


@given(st.lists(st.integers(0, 20)), st.integers(-30, 30), st.integers(-30, 30))
def test_seeds_are_cut_and_counted_like_a_tuple(numbers: list[int], start: int, stop: int) -> None:
    chained = Seeds.of(numbers)

    assert len(chained) == len(numbers)
    assert chained[start:stop] == tuple(numbers)[start:stop]
    assert [chained[i] for i in range(-len(numbers), len(numbers))] == numbers * 2


@given(seeds, seeds, st.integers(1, 9))
def test_a_latent_owes_nothing_to_the_one_before(first: int, second: int, size: int) -> None:
    latent(first, 7)  # an odd number of normal values leaves one over

    found = latent(second, size)

    assert np.array_equal(found, np.random.RandomState(second).randn(1, size).astype(np.float32))


def test_a_huge_range_takes_no_more_memory_than_a_small_one() -> None:
    huge = parse_seeds("0-4294967295,0-4294967295")

    assert huge[len(huge) - 2 : len(huge)] == (2**32 - 2, 2**32 - 1)
    assert sys.getsizeof(huge) == sys.getsizeof(parse_seeds("1"))


def test_seeds_of_other_whole_numbers_are_plain_ones() -> None:
    assert list(Seeds.of(np.array([3, 4, 9]))) == [3, 4, 9]
    assert list(Seeds.of(range(10, 0, -5))) == [10, 5]
    assert hash(Seeds.of([1, 2])) == hash(parse_seeds("1-2"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("", "cannot read ''", id="nothing"),
        pytest.param("1,,2", "cannot read ''", id="gap"),
        pytest.param("-1", "cannot read '-1'", id="negative"),
        pytest.param("1.5", "cannot read '1.5'", id="fraction"),
        pytest.param("٣", "cannot read", id="digit of another script"),
        pytest.param("5-3", "write 3-5", id="backwards"),
        pytest.param("4294967296", "from 0 to 4294967295", id="too large"),
        pytest.param("0-4294967296", "from 0 to 4294967295", id="end too large"),
        pytest.param("9" * 5000, "cannot read '999", id="far too long"),
    ],
)
def test_what_is_no_list_of_seeds_is_refused_by_name(text: str, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        parse_seeds(text)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_seeds_out_of_range_are_refused_wherever_they_come_from(seed: int) -> None:
    with pytest.raises(InvalidRequest, match=f"seed is {seed}, .* from 0 to 4294967295"):
        Seeds.of([seed])
    with pytest.raises(InvalidRequest, match=f"seed is {seed}"):
        latent(seed, 4)


@given(seeds)
def test_a_seed_always_stands_for_the_same_latent(seed: int) -> None:
    z = latent(seed, 8)

    assert z.shape == (1, 8)
    assert z.dtype == np.float32
    assert (z == latent(seed, 8)).all()
