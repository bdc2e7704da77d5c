"""The operations that StyleGAN2 networks are made of, in a form that exports well.

Modulated convolution (StyleGAN2, section 2.2, equations 1-3) is written as *scale the
activations, convolve with the constant weight, scale the result*. The authors' grouped form
computes a weight for each sample, which ties the batch axis to the channel axis; this one
leaves it free and the weights constant.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812 (everyone's name for it)
from torch import Tensor, nn

from nonesuch_export.network.periodic import Periodic
from nonesuch_export.network.values import EPSILON as EPSILON  # once, for all

SQRT2 = math.sqrt(2.0)

# Name → function and the gain that keeps its output's variance near its input's.
ACTIVATIONS: dict[str, tuple[Callable[[Tensor], Tensor], float]] = {
    "linear": (lambda x: x, 1.0),
    "relu": (F.relu, SQRT2),
    "lrelu": (lambda x: F.leaky_relu(x, 0.2), SQRT2),
    "tanh": (torch.tanh, 1.0),
    "sigmoid": (torch.sigmoid, 1.0),
    "elu": (F.elu, 1.0),
    "selu": (F.selu, 1.0),
    "softplus": (F.softplus, 1.0),
    "swish": (F.silu, SQRT2),
}
# act(a·x) = a·act(x) for a > 0: a gain may go before them, into factors that are there anyway.
HOMOGENEOUS = frozenset({"linear", "relu", "lrelu"})


def normalize(x: Tensor, epsilon: float = EPSILON) -> Tensor:
    """Scale each row of [N, D], or each pixel of [N, D, h, w], to mean square 1."""
    # A sum times a constant: some ONNX importers misread the axes of a mean.
    mean_square = x.square().sum(dim=1, keepdim=True) * (1.0 / x.shape[1])
    return x * torch.rsqrt(mean_square + epsilon)


class Linear(nn.Module):
    """Fully connected layer with equalised learning rate (Progressive GAN, section 4.1).

    Computes act(x (W · lr/√inputs)ᵀ + b · lr) · gain for x of [N, inputs].
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        lr_multiplier: float = 1.0,
        activation: str = "linear",
        bias_init: float = 0.0,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / lr_multiplier)
        self.bias = nn.Parameter(torch.full((outputs,), bias_init / lr_multiplier))
        self._weight_gain = lr_multiplier / math.sqrt(inputs)
        self._bias_gain = lr_multiplier
        self._activation, self._gain = ACTIVATIONS[activation]

    @property
    def matrix(self) -> Tensor:
        """The weight in force, [outputs, inputs], before the activation's gain."""
        return self.weight * self._weight_gain

    def forward(self, x: Tensor) -> Tensor:
        x = F.linear(x, self.matrix, self.bias * self._bias_gain)
        x = self._activation(x)
        return x if self._gain == 1 else x * self._gain


class Resampler(Periodic):
    """FIR filtering around up-sampling by two, as StyleGAN2's `upfirdn2d` defines it.

    `taps` is the normalised filter: [t] to be applied along both axes, or [t, t].
    """

    filters: Tensor

    def __init__(self, taps: Tensor) -> None:
        super().__init__()
        self.taps = taps.shape[-1]
        # The gain 4 of up-sampling in two dimensions is folded in.
        axes = (taps[:, None], taps[None, :]) if taps.ndim == 1 else (taps,)
        gain = 4.0 ** (1 / len(axes))
        self._count = len(axes)
        for i, kernel in enumerate(axes):
            self.register_buffer(f"kernel{i}", kernel * gain, persistent=False)

    def _kernels(self) -> list[tuple[Tensor, tuple[int, int]]]:
        """The filter's parts, and for each whether it works along (rows, columns)."""
        along = [(1, 1)] if self._count == 1 else [(1, 0), (0, 1)]
        return [(self.get_buffer(f"kernel{i}"), axes) for i, axes in enumerate(along)]

    def reach(self, kernel_size: int = 1) -> int:
        """Samples beyond its place that up-sampling reads, a convolution before it included."""
        return (kernel_size // 2 + (self.taps + 1) // 2) // 2

    def _margins(self, kernel_size: int) -> tuple[int, int]:
        """The zeros before and after what a transposed convolution gave, for `blur`."""
        half = kernel_size // 2
        before = half + (self.taps + 1) // 2 - (kernel_size - 1)
        return before, half + (self.taps - 2) // 2 - (kernel_size - 2)

    def blur(self, x: Tensor, kernel_size: int, bias: Tensor, *, spare: int = 0) -> Tensor:
        """Filter what a transposed convolution of stride 2 gave, to twice its input's size.

        And add bias [C], which costs nothing here. `spare` rows and columns of zeros are at the
        end of x already.
        """
        before, after = self._margins(kernel_size)
        after -= spare
        common = max(min(before, after), 0)
        x = pad(x, before - common, after - common)
        for i, (kernel, along) in enumerate(self._kernels(), start=1):
            # Convolution proper: torch correlates, so the filter is turned.
            weight = kernel.flip((0, 1)).expand(x.shape[1], 1, -1, -1)
            padding = [common * axis for axis in along]
            shift = bias if i == self._count else None
            x = F.conv2d(x, weight, shift, padding=padding, groups=x.shape[1])
        return x

    def upsample(self, x: Tensor) -> Tensor:
        """Double height and width: a zero behind each sample, then the filter."""
        return self.around(self._upsampled, x, self.reach(), factor=2)

    def _upsampled(self, x: Tensor) -> Tensor:
        shift = (self.taps + 1) // 2
        left, right = self.taps - 1 - shift, shift - 1  # to be cut off what follows
        common = max(min(left, right), 0)
        for kernel, along in self._kernels():
            weight = kernel.expand(x.shape[1], 1, -1, -1)
            stride = [1 + axis for axis in along]
            padding = [common * axis for axis in along]
            x = F.conv_transpose2d(x, weight, stride=stride, padding=padding, groups=x.shape[1])
        return pad(x, common - left, common - right)


def pad(x: Tensor, before: int, after: int) -> Tensor:
    """Zeros (or, where negative, a crop) on both spatial axes."""
    if before == after == 0:
        return x
    return F.pad(x, (before, after, before, after))


class Modulated(Periodic):
    """Convolution whose input channels are scaled by a style (StyleGAN2, equations 1-3).

    x is [N, in, h, w] and the style w [N, w_dim]. Demodulation undoes the style's effect on the
    output's variance. `equalized` scales the weight by 1/√fan-in before that (TensorFlow), which
    the epsilon feels.
    """

    def __init__(
        self,
        w_dim: int,
        inputs: int,
        outputs: int,
        kernel_size: int,
        *,
        equalized: bool = False,
    ) -> None:
        super().__init__()
        self.affine = Linear(w_dim, inputs, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel_size, kernel_size))
        # W/√n demodulated with ε is W demodulated with n·ε.
        self._epsilon = EPSILON * inputs * kernel_size**2 if equalized else EPSILON

    def convolve(self, x: Tensor, w: Tensor, gain: float = 1.0) -> Tensor:
        """The convolution of x with its style, times `gain`."""
        style = self.affine(w)  # [N, in]
        x = x * style[:, :, None, None].to(x.dtype)
        x = self.dense(x)
        power = self.weight.square().sum(dim=(2, 3)) / gain**2  # [out, in]
        epsilon = torch.full_like(power[:, 0], self._epsilon / gain**2)
        scale = torch.rsqrt(F.linear(style.square(), power, epsilon))  # [N, out]
        return x * scale[:, :, None, None].to(x.dtype)

    def dense(self, x: Tensor) -> Tensor:
        """The bare convolution with the constant weight."""
        return F.conv2d(x, self.weight, padding=self.padding(self.weight.shape[-1] // 2))
