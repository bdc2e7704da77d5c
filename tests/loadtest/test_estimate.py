"""Intervals hold what they promise, against numpy on raw samples."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.loadtest.forge import Made, counted

from nonesuch_loadtest import estimate
from nonesuch_loadtest.estimate import Estimate
from nonesuch_loadtest.result import Window

_PERCENTS = (50.0, 90.0, 95.0, 99.0, 99.9)
positive = st.floats(1e-3, 1e3)


@pytest.mark.parametrize(("percent", "needed"), [(50, 6), (90, 36), (99, 368), (99.9, 3688)])
def test_a_percentile_needs_enough_samples_to_know_its_interval(
    percent: float, needed: int
) -> None:
    assert estimate.needed(percent) == needed

    share = percent / 100
    assert share**needed <= 0.025 < share ** (needed - 1)


@pytest.mark.parametrize("percent", _PERCENTS)
def test_percentiles_are_those_of_the_raw_samples(percent: float) -> None:
    made = Made(rate_hz=500)
    point = made.point()

    found = estimate.percentile(point.windows, percent)

    raw = np.concatenate(made.latencies())
    assert found
    expected = np.percentile(raw, percent, method="inverted_cdf")
    assert found.value == pytest.approx(expected, rel=2e-3)
    assert found.low <= found.value <= found.high


def test_two_hundred_samples_do_not_know_the_last_percentiles() -> None:
    (window,) = Made(rate_hz=20, windows=1).point().windows

    told = [estimate.percentile([window], percent) for percent in _PERCENTS]

    assert [t is not None for t in told] == [True, True, True, False, False]


def test_intervals_of_percentiles_hold_the_truth_nineteen_times_of_twenty() -> None:
    dice = np.random.default_rng(7)
    samples = np.sort(dice.exponential(size=(2000, 500)), axis=1)
    for percent in (50.0, 90.0, 99.0):
        low, high = estimate.ranks(500, percent)
        truth = -math.log(1 - percent / 100)

        held = (samples[:, low - 1] <= truth) & (truth <= samples[:, high - 1])

        assert 0.94 <= held.mean() <= 0.985


@settings(deadline=None)
@given(count=st.integers(6, 20_000), percent=st.sampled_from(_PERCENTS))
def test_ranks_lie_around_the_percentile(count: int, percent: float) -> None:
    assume(count >= estimate.needed(percent))

    low, high = estimate.ranks(count, percent)

    assert 1 <= low <= math.ceil(percent / 100 * count) <= high <= count


def test_a_failure_is_slower_than_every_answer() -> None:
    made = Made(rate_hz=100, failed=0.03)

    p50, p99 = (estimate.percentile(made.point().windows, p) for p in (50, 99))

    raw = np.concatenate(made.latencies())
    assert p50
    assert p50.value == pytest.approx(np.percentile(raw, 50, method="inverted_cdf"), rel=2e-3)
    assert p99
    assert math.isinf(p99.value)


@settings(max_examples=25, deadline=None)
@given(parts=st.lists(st.lists(st.floats(1e-4, 10), max_size=60), min_size=1, max_size=5))
def test_merged_windows_have_the_percentiles_of_all_samples(parts: list[list[float]]) -> None:
    windows = [Window(length_s=1, latency=counted(np.array(part))) for part in parts]

    found = estimate.percentile(windows, 50)

    every = np.array([span for part in parts for span in part])
    if len(every) < estimate.needed(50):
        assert found is None
    else:
        assert found
        expected = np.percentile(every, 50, method="inverted_cdf")
        assert found.value == pytest.approx(expected, rel=2e-3, abs=1e-6)


def test_means_have_students_interval() -> None:
    dice = np.random.default_rng(3)
    rows = dice.normal(10, 1, size=(2000, 4))

    held = [e.low <= 10 <= e.high for e in (estimate.mean(list(row)) for row in rows)]

    assert 0.935 <= np.mean(held) <= 0.965


def test_one_window_tells_no_interval() -> None:
    found = estimate.mean([40.0])

    assert found.value == 40
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_ratios_hold_the_truth_nineteen_times_of_twenty() -> None:
    dice = np.random.default_rng(11)
    old, new = dice.normal(10, 0.3, size=(1500, 6)), dice.normal(8, 0.3, size=(1500, 6))

    ratios = [
        estimate.ratio(estimate.mean(list(a)), estimate.mean(list(b)))
        for a, b in zip(old, new, strict=True)
    ]

    assert 0.94 <= np.mean([r.low <= 0.8 <= r.high for r in ratios]) <= 0.985


@settings(deadline=None)
@given(a=positive, b=positive, wide=st.floats(1.001, 3))
def test_a_ratio_turned_round_is_one_over_it(a: float, b: float, wide: float) -> None:
    one = Estimate(value=a, low=a / wide, high=a * wide)
    other = Estimate(value=b, low=b / wide, high=b * wide)

    there, back = estimate.ratio(one, other), estimate.ratio(other, one)

    assert there.low < there.value < there.high
    assert there.value == pytest.approx(1 / back.value)
    assert there.low == pytest.approx(1 / back.high)
    assert there.high == pytest.approx(1 / back.low)


def test_a_ratio_without_an_interval_on_one_side_has_none() -> None:
    found = estimate.ratio(estimate.mean([40.0]), estimate.mean([30.0, 30.1, 30.2]))

    assert found.value == pytest.approx(30.1 / 40)
    assert (found.low, found.high) == (0, math.inf)


@settings(deadline=None)
@given(total=st.integers(1, 500), data=st.data())
def test_shares_lie_in_their_interval(total: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(0, total))

    found = estimate.share(count, total)

    assert 0 <= found.low <= found.value == count / total <= found.high <= 1


def test_more_failures_are_told_from_chance() -> None:
    none, some, many = (estimate.share(n, 1000) for n in (0, 2, 30))

    assert estimate.difference(none, some).low < 0 < estimate.difference(none, some).high
    assert estimate.difference(none, many).low > 0
