"""Upconvolution: a transposed convolution of stride 2 and the filter after it, in equal forms.

Which form is fastest depends on the layer, the runtime and the machine, so it is measured
(`tuning`). All compute y[m] = Σᵢ k[m + s - 2i] x[i] on both axes: for the outputs of one parity, a
convolution with every second tap of the kernel k. The four parities are computed as channels of
one convolution and moved to their places afterwards (sub-pixel convolution, Shi et al., 2016,
arXiv:1609.05158).
"""

from typing import Literal, get_args

import torch
import torch.nn.functional as F  # noqa: N812 (everyone's name for it)
from torch import Tensor

from nonesuch_export.network.ops import Resampler, pad

# transposed: as the authors write it, multiply-adds 1-fold
# subpixel: parities of the transposed convolution, then the filter; 16/9-fold for kernel 3
# merged: parities of convolution and filter as one kernel; 4-fold for kernel 3 and 4 taps
Form = Literal["transposed", "subpixel", "merged"]
FORMS: tuple[Form, ...] = get_args(Form)


class Upconvolution(Resampler):
    """Doubles height and width: `dense` mixes channels, `finish` filters what it gave.

    Whatever scales channels may stand between the two.
    """

    form: Form = "transposed"
    spread: Tensor  # [k·k, K·K]: where each tap of a weight goes in the merged kernel

    def __init__(self, taps: Tensor, kernel_size: int) -> None:
        super().__init__(taps)
        self._kernel_size = kernel_size
        kernel = torch.ones(1, 1)
        for factor, _ in self._kernels():
            kernel = kernel * factor  # [t, t], of a column and a row too
        each = torch.eye(kernel_size**2).reshape(-1, 1, kernel_size, kernel_size)
        spread = F.conv_transpose2d(each, kernel[None, None]).flatten(1)
        self.register_buffer("spread", spread, persistent=False)

    def dense(self, x: Tensor, weight: Tensor) -> Tensor:
        """x [N, in, h, w] and weight [out, in, k, k] to what `finish` takes, [N, out, …]."""
        if self.form == "transposed":
            return F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
        if self.form == "subpixel":
            return _parities(x, weight, 0, more=(self._kernel_size - 1) // 2)
        size = self._kernel_size + self.taps - 1
        merged = (weight.flatten(2) @ self.spread).reshape(*weight.shape[:2], size, size)
        before, _ = self._margins(self._kernel_size)
        return _parities(x, merged, self.taps - 1 - before)

    def finish(self, x: Tensor, bias: Tensor) -> Tensor:
        """What is left of the filter, and bias [out]; [N, out, 2h, 2w]."""
        if self.form == "merged":
            return x + bias[:, None, None]
        # Parities come in pairs; the transposed convolution of an odd kernel lacks the last row.
        return self.blur(x, self._kernel_size, bias, spare=self.form == "subpixel")


def _parities(x: Tensor, kernel: Tensor, start: int, more: int = 0) -> Tensor:
    """y[m] = Σᵢ kernel[m + start - 2i] x[i] for m from 0 to 2 · (size of x + more), on both axes.

    x [N, in, h, w] and kernel [out, in, K, K] to [N, out, …].
    """
    outputs, inputs, taps, _ = kernel.shape
    first, last = -((start + 1) // 2), (taps - 1 - start) // 2  # of m // 2 - i where k has taps
    width = last - first + 1
    before = -(2 * first + start)
    kernel = pad(kernel, before, 2 * width - before - taps)
    parities = kernel.reshape(outputs, inputs, width, 2, width, 2).flip((2, 4))
    # The order of pixel_shuffle: output channel, parity of the row, parity of the column.
    weight = parities.permute(0, 3, 5, 1, 2, 4).reshape(4 * outputs, inputs, width, width)
    after = more - first
    common = min(last, after)
    x = pad(x, last - common, after - common)
    return F.pixel_shuffle(F.conv2d(x, weight, padding=common), 2)
