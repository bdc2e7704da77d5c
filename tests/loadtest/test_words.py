"""Figures are written so that they cannot be misread."""

import math

import pytest

from nonesuch_loadtest import words
from nonesuch_loadtest.estimate import Estimate


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.00123, "0.001"),
        (0.0954, "0.095"),
        (5.678, "5.68"),
        (99.94, "99.9"),
        (99.96, "100"),
        (1234.5, "1,234"),
        (math.nan, "—"),
        (math.inf, "∞"),
    ],
)
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert words.number(value) == text


def test_a_share_above_nothing_never_reads_as_nothing() -> None:
    assert [words.percent(share) for share in (0, 1e-7, 0.035)] == ["0 %", "< 0.001 %", "3.50 %"]


def test_a_latency_without_an_answer_says_so() -> None:
    found = Estimate(value=0.08, low=0.07, high=math.inf)

    assert words.interval(found, words.ms) == "80.0 (70.0 … no answer)"
    assert words.interval(Estimate(value=0.08), words.ms) == "80.0"
