"""StyleGAN2 once more, straight from its formulas and with none of the exporter's code.

Everything is float64, one sample at a time: weights are modulated, signals are up-sampled by
writing zeros between samples. Slow, and the judge of configurations for which there is no
golden file.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from nonesuch_export.network.config import Config

_NONLINEAR: dict[str, tuple[Callable[[Tensor], Tensor], float]] = {
    "linear": (lambda x: x, 1.0),
    "relu": (lambda x: x.clamp(min=0), math.sqrt(2)),
    "lrelu": (lambda x: torch.where(x < 0, 0.2 * x, x), math.sqrt(2)),
    "swish": (lambda x: x / (1 + torch.exp(-x)), math.sqrt(2)),
    "tanh": (torch.tanh, 1.0),
}


class Textbook:
    """A StyleGAN2 over a table of arrays."""

    def __init__(self, config: Config, arrays: Mapping[str, Any]) -> None:
        self.config = config
        self._arrays = {n: torch.tensor(a).double() for n, a in arrays.items()}

    def mapping(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        x = _unit(z.double())
        if c is not None:
            x = torch.cat([x, _unit(self._linear("mapping.embed", c.double()))], dim=1)
        function, gain = _NONLINEAR[self.config.mapping_activation]
        for i in range(len(self.config.mapping_widths)):
            x = function(self._linear(f"mapping.fc{i}", x, self.config.lr_multiplier)) * gain
        return x

    def synthesis(self, ws: Tensor, *, noise: bool = True) -> Tensor:
        """One sample: ws [num_ws, w_dim] to an image [1, C, r, r]."""
        ws, row = ws.double(), 0
        x: Tensor | None = None
        img: Tensor | None = None
        for r in self.config.block_resolutions:
            name = f"synthesis.b{r}"
            shortcut = torch.zeros(())
            if x is None:
                x = self._arrays[f"{name}.const"][None]
            else:
                shortcut = self._shortcut(f"{name}.skip", x)
                x = self._layer(f"{name}.conv0", x, ws[row], up=True, noise=noise)
                row += 1
            gain = math.sqrt(0.5) if r > 4 and self.config.architecture == "resnet" else 1.0
            x = self._layer(f"{name}.conv1", x, ws[row], noise=noise, gain=gain)
            row += 1
            if gain != 1:
                x = x + shortcut
            img = None if img is None else self._upsampled(img)
            if f"{name}.torgb.weight" in self._arrays:
                rgb = self._to_rgb(f"{name}.torgb", x, ws[row])
                img = rgb if img is None else img + rgb
        assert img is not None
        return img

    def _linear(self, name: str, x: Tensor, lr: float = 1.0) -> Tensor:
        weight, bias = self._arrays[f"{name}.weight"], self._arrays[f"{name}.bias"]
        return x @ (weight * lr / math.sqrt(weight.shape[1])).T + bias * lr

    def _layer(
        self, name: str, x: Tensor, w: Tensor, *, noise: bool, up: bool = False, gain: float = 1.0
    ) -> Tensor:
        style = self._linear(f"{name}.affine", w[None])[0]
        weight = self._arrays[f"{name}.weight"] * style[None, :, None, None]
        weight = weight / (weight.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).sqrt()
        half = weight.shape[-1] // 2
        x = self._convolved_up(x, weight) if up else F.conv2d(x, weight, padding=half)
        if noise and self.config.use_noise:
            x = x + self._arrays[f"{name}.noise_const"] * self._arrays[f"{name}.noise_strength"]
        function, own_gain = _NONLINEAR[self.config.activation]
        x = function(x + self._arrays[f"{name}.bias"][:, None, None]) * own_gain * gain
        return self._clamped(x, gain)

    def _to_rgb(self, name: str, x: Tensor, w: Tensor) -> Tensor:
        style = self._linear(f"{name}.affine", w[None])[0] / math.sqrt(x.shape[1])
        weight = self._arrays[f"{name}.weight"] * style[None, :, None, None]
        return self._clamped(F.conv2d(x, weight) + self._arrays[f"{name}.bias"][:, None, None])

    def _shortcut(self, name: str, x: Tensor) -> Tensor:
        if f"{name}.weight" not in self._arrays:
            return torch.zeros(())
        weight = self._arrays[f"{name}.weight"] / math.sqrt(x.shape[1])
        return self._upsampled(F.conv2d(x, weight)) * math.sqrt(0.5)

    def _clamped(self, x: Tensor, gain: float = 1.0) -> Tensor:
        limit = self.config.conv_clamp
        return x if limit is None else x.clamp(-limit * gain, limit * gain)

    def _convolved_up(self, x: Tensor, weight: Tensor) -> Tensor:
        """A transposed convolution is a full correlation of the spread signal, kernel turned."""
        k, taps = weight.shape[-1], self._filter().shape[-1]
        x = F.pad(_spread(x)[:, :, :-1, :-1], (k - 1,) * 4)
        x = F.conv2d(x, weight.flip((2, 3)))
        return self._filtered(x, k // 2 + (taps + 1) // 2 - k + 1, k // 2 + (taps - 2) // 2 - k + 2)

    def _upsampled(self, x: Tensor) -> Tensor:
        taps = self._filter().shape[-1]
        return self._filtered(_spread(x), (taps + 1) // 2, (taps - 2) // 2)

    def _filtered(self, x: Tensor, before: int, after: int) -> Tensor:
        n, c, h, w = x.shape
        x = F.pad(x.reshape(n * c, 1, h, w), (before, after, before, after))
        x = F.conv2d(x, 4 * self._filter().flip((0, 1))[None, None])
        return x.reshape(n, c, *x.shape[2:])

    def _filter(self) -> Tensor:
        taps = torch.tensor(self.config.resample_filter, dtype=torch.float32).double()
        return torch.outer(taps, taps) if taps.ndim == 1 else taps


def _unit(x: Tensor) -> Tensor:
    return x / (x.square().mean(dim=1, keepdim=True) + 1e-8).sqrt()


def _spread(x: Tensor) -> Tensor:
    """One zero behind each sample, on both axes."""
    n, c, h, w = x.shape
    out = torch.zeros(n, c, 2 * h, 2 * w, dtype=x.dtype)
    out[:, :, ::2, ::2] = x
    return out
