"""Rounding to half precision keeps what kernels sum to, and whatever fp16 can hold."""

import numpy as np
import pytest
from numpy.typing import NDArray

from nonesuch_export import rounding

PRECISIONS = ("fp16", "bf16")


def _weight() -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal((40, 30, 3, 3)).astype(np.float32)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_kernels_keep_their_sums(precision: str) -> None:
    weight = _weight()

    rounded = rounding.kernels(weight, precision)

    lost = [
        np.abs(np.sum(made.astype(np.float64) - weight, axis=(2, 3))).mean()
        for made in (rounded, rounding.values(weight, precision))
    ]
    assert lost[0] < 0.1 * lost[1]


@pytest.mark.parametrize(("precision", "bits"), [("fp16", 11), ("bf16", 8)])
def test_each_tap_is_off_by_little(precision: str, bits: int) -> None:
    weight = _weight()

    off = np.abs(rounding.kernels(weight, precision).astype(np.float64) - weight)

    largest = np.abs(weight).max(axis=(2, 3), keepdims=True)
    assert (off <= 2.0**-bits * 2 * largest).all()


@pytest.mark.parametrize("precision", PRECISIONS)
def test_kernels_of_one_tap_are_rounded_to_the_nearest(precision: str) -> None:
    weight = _weight()[:, :, :1, :1]

    np.testing.assert_array_equal(
        rounding.kernels(weight, precision), rounding.values(weight, precision)
    )


def test_what_fp16_cannot_hold_becomes_its_largest() -> None:
    rounded = rounding.values(np.array([1e6, -1e6], np.float32), "fp16")

    np.testing.assert_array_equal(rounded, np.array([65504, -65504], np.float16))
