"""Rounding to half precision: values one by one, and the kernels of convolutions by their sums.

A kernel is the same for every sample of a map and every map of a batch, so what rounding adds to
it never averages out: of all of a graph's roundings it costs most. Maps are smooth, and what a
kernel does to them is above all its sum. So the error of each tap is handed on to the next
smaller one of the same kernel, and the sum comes out right to the precision of the smallest
(error diffusion, Floyd and Steinberg, 1976, over taps in place of pixels).
"""

from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

_HIGHEST = 65504.0  # of fp16
_TYPES: dict[str, Any] = {"fp16": np.float16, "bf16": ml_dtypes.bfloat16}


def values(array: NDArray[Any], precision: str) -> NDArray[Any]:
    """Each value in fp16 or bf16; what fp16 cannot hold becomes its largest."""
    if precision == "fp16":
        array = array.clip(-_HIGHEST, _HIGHEST)
    rounded: NDArray[Any] = array.astype(_TYPES[precision])
    return rounded


def kernels(weight: NDArray[np.float32], precision: str) -> NDArray[Any]:
    """Kernels [outputs, inputs, taps …] in fp16 or bf16, each with the sum that it had."""
    taps = weight.reshape(*weight.shape[:2], -1).astype(np.float64)
    order = np.argsort(-np.abs(taps), axis=2, kind="stable")
    falling = np.take_along_axis(taps, order, axis=2)
    carried = np.zeros(taps.shape[:2])
    for i in range(taps.shape[2]):
        wanted = falling[:, :, i] + carried
        falling[:, :, i] = values(wanted.astype(np.float32), precision)
        carried = wanted - falling[:, :, i]
    np.put_along_axis(taps, order, falling, axis=2)
    return values(taps.reshape(weight.shape), precision)
