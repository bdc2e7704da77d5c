"""Samples become windows, whichever process counted them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nonesuch_loadtest.histogram import Histogram
from nonesuch_loadtest.result import Window
from nonesuch_loadtest.tally import Sample, Tally

SECOND = 10**9
EDGES = (SECOND, 2 * SECOND, 3 * SECOND)  # a second of warm-up, two windows


def sample(due_s: float, end_s: float, *, error: str = "", sent_s: float | None = None) -> Sample:
    return Sample(
        kind=0,
        due_ns=round(due_s * SECOND),
        sent_ns=round((due_s if sent_s is None else sent_s) * SECOND),
        end_ns=round(end_s * SECOND),
        images=0 if error else 2,
        bytes=0 if error else 100,
        error=error,
    )


def tallied(*samples: Sample, limit_s: float = 0) -> Tally:
    tally = Tally(EDGES, kinds=1, limit_ns=round(limit_s * SECOND))
    for each in samples:
        tally.add(each)
    return tally


def test_latency_counts_from_when_a_request_was_due() -> None:
    _, first, _ = tallied(sample(1.2, 1.7, sent_s=1.6)).windows(EDGES[-1])

    assert first.latency.max_s == pytest.approx(0.5, rel=1e-3)
    assert first.delay.max_s == pytest.approx(0.4, rel=1e-3)


def test_an_answer_is_shared_among_the_windows_through_which_it_came() -> None:
    warmup, first, second = tallied(sample(1.5, 2.5), sample(0.9, 1.1)).windows(EDGES[-1])

    assert (warmup.images, first.images, second.images) == pytest.approx((1, 2, 1))
    assert len(warmup.latency) == len(first.latency) == 1
    assert len(second.latency) == 0


def test_a_failure_is_a_sample_of_its_class_and_ranks_behind_every_answer() -> None:
    tally = tallied(sample(1.1, 1.2), sample(1.3, 1.31, error="ServerUnreachable"))

    window = Window.merged(tally.windows(EDGES[-1])[1:])

    assert window.errors == {"ServerUnreachable": 1}
    assert window.percentile(50) == pytest.approx(0.1, rel=1e-3)
    assert window.percentile(51) == float("inf")
    assert window.answered == 1


def test_goodput_leaves_out_what_came_too_late() -> None:
    tally = tallied(sample(1.1, 1.2), sample(1.1, 1.6), limit_s=0.3)

    _, first, _ = tally.windows(EDGES[-1])

    assert (first.images, first.good_images) == (4, 2)


def test_a_run_that_is_stopped_has_the_windows_that_it_began() -> None:
    windows = tallied(sample(1.1, 1.2)).windows(round(1.5 * SECOND))

    assert [window.length_s for window in windows] == [1.0, 0.5]
    assert windows[1].rate_hz == pytest.approx(4)


spans = st.tuples(st.floats(0, 3.5), st.floats(0.001, 40), st.sampled_from(["", "", "RemoteError"]))


@given(st.lists(spans, min_size=1, max_size=30), st.integers(0, 30))
def test_two_tallies_merge_to_the_tally_of_all(
    drawn: list[tuple[float, float, str]], cut: int
) -> None:
    samples = [sample(due, due + span, error=error) for due, span, error in drawn]
    together, one, other = tallied(*samples), tallied(*samples[:cut]), tallied(*samples[cut:])

    one.merge(other)

    merged, whole = Window.merged(one.windows(2**62)), Window.merged(together.windows(2**62))
    assert merged.latency == whole.latency
    assert merged.failed == whole.failed
    assert merged.errors == whole.errors
    assert merged.images == pytest.approx(whole.images)
    ours, theirs = one.ticks(), together.ticks()
    assert sum(t.answered + t.failed for t in ours) == len(samples)
    assert [(t.start_s, t.answered, t.failed, t.due) for t in ours] == [
        (t.start_s, t.answered, t.failed, t.due) for t in theirs
    ]


def test_the_time_line_stays_short_however_long_the_run() -> None:
    tally = tallied(*(sample(hour / 2, hour / 2 + 0.1) for hour in range(5000)))

    ticks = tally.ticks()

    assert 100 < len(ticks) <= 240
    assert sum(tick.answered for tick in ticks) == 5000


@given(st.lists(st.integers(1_000, 3_600 * SECOND), min_size=1, max_size=50), st.integers(1, 100))
def test_a_histogram_knows_its_values_to_three_digits(values: list[int], percent: int) -> None:
    histogram = Histogram()
    for value in values:
        histogram.record_ns(value)

    truth = sorted(values)[-(-percent * len(values) // 100) - 1] / 1e9

    read = Histogram.decode(histogram.encode())
    assert read == histogram
    assert read.percentile(percent) == pytest.approx(truth, rel=1e-3, abs=1e-6)
