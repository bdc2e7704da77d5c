"""What Progressive GAN and StyleGAN have in common: networks that grew while they were trained.

Layers come in pairs, one pair for each resolution, the first of which doubles the one before.
Weights are scaled at run time (Progressive GAN, section 4.1), and the image is made of the last
layer alone, or faded between two resolutions in a network that was saved as it grew (figure 2).
"""

import math
from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812 (everyone's name for it)
from torch import Tensor, nn

from nonesuch_export.network.grown import GrowingConfig
from nonesuch_export.network.ops import SQRT2
from nonesuch_export.network.periodic import Periodic

# Without a gain, unlike StyleGAN2's.
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "lrelu": lambda x: F.leaky_relu(x, 0.2),
    "relu": F.relu,
}
_HE = SQRT2  # He et al.'s gain of a layer that a rectifier follows; here it is in the weight

Up = Literal["fused", "repeated"]


def scale(fan_in: int, gain: float, *, use_wscale: bool) -> float:
    """What a stored weight is multiplied by when it is used."""
    return gain / math.sqrt(fan_in) if use_wscale else 1.0


def initial(shape: tuple[int, ...], fan_in: int, gain: float, *, use_wscale: bool) -> nn.Parameter:
    """The weight that training starts from."""
    stored = 1.0 if use_wscale else gain / math.sqrt(fan_in)
    return nn.Parameter(torch.randn(shape) * stored)


class Dense(nn.Module):
    """Fully connected layer, x [N, inputs] to [N, outputs]; `gain` is the weight's alone."""

    def __init__(
        self, inputs: int, outputs: int, gain: float, *, use_wscale: bool, lr: float = 1.0
    ) -> None:
        super().__init__()
        weight = initial((outputs, inputs), inputs, gain, use_wscale=use_wscale)
        self.weight = nn.Parameter(weight.detach() / lr)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self._scale = scale(inputs, gain, use_wscale=use_wscale) * lr
        self._lr = lr

    @property
    def matrix(self) -> Tensor:
        """The weight in force, [outputs, inputs]."""
        return self.weight * self._scale

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.matrix, self.bias * self._lr)


class Spread(nn.Module):
    """The first layer of a network without a constant: x [N, inputs] to [N, width, 4, 4]."""

    def __init__(self, inputs: int, width: int, *, use_wscale: bool) -> None:
        super().__init__()
        self._width = width
        gain = _HE / 4  # as if each of the 16 places were a layer of its own
        self.weight = initial((width * 16, inputs), inputs, gain, use_wscale=use_wscale)
        self._scale = scale(inputs, gain, use_wscale=use_wscale)

    @property
    def matrix(self) -> Tensor:
        """The weight in force, [width · 16, inputs]."""
        return self.weight * self._scale

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """`bias` is [width]."""
        x = F.linear(x, self.matrix, bias.repeat_interleave(16))
        return x.reshape(-1, self._width, 4, 4)


class Convolution(Periodic):
    """3x3 convolution that keeps the size, or doubles it.

    Doubling is either `repeated` (repeat pixels, then convolve) or `fused` (a transposed
    convolution with the kernel spread over 4x4). For one stored weight they are not the same
    function: the transposed form applies the kernel mirrored. Both are computed in the
    transposed form, which takes 4 multiplications for each value where the other takes 9.
    """

    def __init__(
        self, inputs: int, outputs: int, *, up: Up | None = None, use_wscale: bool
    ) -> None:
        super().__init__()
        fan_in = 9 * inputs
        self.weight = initial((outputs, inputs, 3, 3), fan_in, _HE, use_wscale=use_wscale)
        self._scale = scale(fan_in, _HE, use_wscale=use_wscale)
        self.up = up

    def forward(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """x [N, inputs, h, w] to [N, outputs, h, w] or twice that; `bias` is [outputs]."""
        return self.around(lambda x: self._convolved(x, bias), x, 1, 2 if self.up else 1)

    def _convolved(self, x: Tensor, bias: Tensor | None) -> Tensor:
        weight = self.weight * self._scale
        if self.up is None:
            return F.conv2d(x, weight, bias, padding=self.padding(1))
        if self.up == "repeated":
            weight = weight.flip((2, 3))
        # Each repeated pixel meets a sum of neighbouring taps: the kernel, shifted and added.
        corners = ((0, 1, 0, 1), (1, 0, 0, 1), (0, 1, 1, 0), (1, 0, 1, 0))
        spread = torch.stack([F.pad(weight, corner) for corner in corners]).sum(0)  # [O, I, 4, 4]
        return F.conv_transpose2d(x, spread.transpose(0, 1), bias, stride=2, padding=1)


class ToRGB(nn.Module):
    """1x1 convolution to image channels, in a growing network faded with the resolution before.

    While it fades, `half_weight` and `half_bias` colour the layers of half the resolution, whose
    image is enlarged by repeating pixels.
    """

    def __init__(self, config: GrowingConfig) -> None:
        super().__init__()
        self._fade, self._wscale = config.fade, config.use_wscale
        self.weight = self._initial(config.channels, config.widths[-1])
        self.bias = nn.Parameter(torch.zeros(config.channels))
        if self._fade:
            self.half_weight = self._initial(config.channels, config.widths[-2])
            self.half_bias = nn.Parameter(torch.zeros(config.channels))

    def forward(self, x: Tensor, half: Tensor) -> Tensor:
        """x [N, width, r, r] to an image; `half` [N, …, r/2, r/2] is used while it fades."""
        kept = 1.0 - self._fade
        img = F.conv2d(x, self._scaled(self.weight) * kept, self.bias * kept)
        if not self._fade:
            return img
        # A 1x1 convolution and the repetition of pixels are one transposed convolution.
        weight = (self._scaled(self.half_weight) * self._fade).transpose(0, 1)
        weight = weight.expand(-1, -1, 2, 2)
        return img + F.conv_transpose2d(half, weight, self.half_bias * self._fade, stride=2)

    def _initial(self, channels: int, width: int) -> nn.Parameter:
        return initial((channels, width, 1, 1), width, 1.0, use_wscale=self._wscale)

    def _scaled(self, weight: Tensor) -> Tensor:
        return weight * scale(weight.shape[1], 1.0, use_wscale=self._wscale)


def convolutions(config: GrowingConfig) -> list[Convolution]:
    """The convolutions of all layers but the first, which is the input."""
    made = [Convolution(config.widths[0], config.widths[0], use_wscale=config.use_wscale)]
    for i, fused in enumerate(config.fused):
        inputs, outputs = config.widths[i : i + 2]
        up: Up = "fused" if fused else "repeated"
        made.append(Convolution(inputs, outputs, up=up, use_wscale=config.use_wscale))
        made.append(Convolution(outputs, outputs, use_wscale=config.use_wscale))
    return made
