"""StyleGAN3 once more, straight from its formulas and with none of the exporter's code.

Everything is float64, one sample at a time: weights are modulated, signals are up-sampled by
writing zeros between samples, filters are applied in two dimensions, every Fourier feature is a
sine of its own. Slow, and the judge of options for which there is no golden file.
"""

import math

import torch
import torch.nn.functional as F  # noqa: N812
from tests.export.forge_stylegan3 import Arrays, Options, Shape, layers, planes
from torch import Tensor


class Textbook:
    """A StyleGAN3 over a table of arrays."""

    def __init__(self, options: Options, arrays: Arrays) -> None:
        self.options = options
        self._arrays = {name: torch.tensor(value).double() for name, value in arrays.items()}

    def mapping(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        x = _unit(z.double())
        if c is not None:
            x = torch.cat([x, _unit(self._linear("mapping.embed", c.double()))], dim=1)
        for i in range(self.options.mapping_layers):
            x = _lrelu(self._linear(f"mapping.fc{i}", x, 0.01))
        return x

    def synthesis(self, ws: Tensor, transform: Tensor) -> Tensor:
        """One sample: ws [num_ws, w_dim] and transform [3, 3] to an image [1, C, r, r]."""
        ws = ws.double()
        x = self._input(ws[0], transform.double())
        for row, layer in enumerate(layers(self.options), start=1):
            x = self._layer(layer, x, ws[row])
        return x * self.options.output_scale

    def _input(self, w: Tensor, transform: Tensor) -> Tensor:
        plane = planes(self.options)[0]
        t = self._linear("synthesis.input.affine", w[None])[0]
        c, s, x, y = (t / torch.hypot(t[0], t[1])).tolist()
        turn = torch.tensor([[c, -s, 0], [s, c, 0], [0, 0, 1]]).double()
        shift = torch.tensor([[1, 0, -x], [0, 1, -y], [0, 0, 1]]).double()
        motion = turn @ shift @ transform
        freqs = self._arrays["synthesis.input.freqs"]
        phases = self._arrays["synthesis.input.phases"] + freqs @ motion[:2, 2]
        freqs = freqs @ motion[:2, :2]
        cutoff, limit = self.options.first_cutoff, plane.rate / 2
        amplitude = 1 - (freqs.norm(dim=1) - cutoff) / (limit - cutoff)
        places = (torch.arange(plane.size).double() + 0.5 - plane.size / 2) / plane.rate
        turns = freqs[:, 0, None, None] * places[None, None, :]
        turns = turns + freqs[:, 1, None, None] * places[None, :, None] + phases[:, None, None]
        waves = torch.sin(2 * math.pi * turns) * amplitude.clamp(0, 1)[:, None, None]
        weight = self._arrays["synthesis.input.weight"] / math.sqrt(plane.channels)
        return torch.einsum("oi,ihw->ohw", weight, waves)[None]

    def _linear(self, name: str, x: Tensor, lr: float = 1.0) -> Tensor:
        weight, bias = self._arrays[f"{name}.weight"], self._arrays[f"{name}.bias"]
        return x @ (weight * lr / math.sqrt(weight.shape[1])).T + bias * lr

    def _layer(self, layer: Shape, x: Tensor, w: Tensor) -> Tensor:
        name, bias = f"synthesis.{layer.name}", self._arrays[f"synthesis.{layer.name}.bias"]
        weight, kernel = self._weight(layer, w), layer["conv_kernel"]
        x = F.conv2d(x, weight, padding=kernel - 1) + bias[:, None, None]
        if layer["is_torgb"]:
            return self._clamped(x)
        up = self._arrays.get(f"{name}.up_filter", torch.ones(1).double())
        down = self._arrays.get(f"{name}.down_filter", torch.ones(1).double())
        x = F.pad(_spread(x, layer["up_factor"]), layer["padding"])
        x = _convolved(x, up * layer["up_factor"])
        x = _convolved(self._clamped(_lrelu(x)), down)
        return x[:, :, :: layer["down_factor"], :: layer["down_factor"]]

    def _weight(self, layer: Shape, w: Tensor) -> Tensor:
        name = f"synthesis.{layer.name}"
        style, weight = self._linear(f"{name}.affine", w[None])[0], self._arrays[f"{name}.weight"]
        if layer["is_torgb"]:
            weight = weight * style[None, :, None, None] / math.sqrt(weight.shape[1])
        else:
            weight = weight / weight.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
            weight = weight * (style / style.square().mean().sqrt())[None, :, None, None]
            power = weight.square().sum(dim=(1, 2, 3), keepdim=True)
            weight = weight / (power + 1e-8).sqrt()
        return weight / self._arrays[f"{name}.magnitude_ema"].sqrt()

    def _clamped(self, x: Tensor) -> Tensor:
        limit = self.options.conv_clamp
        return x if limit is None else x.clamp(-limit, limit)


def _unit(x: Tensor) -> Tensor:
    return x / (x.square().mean(dim=1, keepdim=True) + 1e-8).sqrt()


def _lrelu(x: Tensor) -> Tensor:
    return torch.where(x < 0, 0.2 * x, x) * math.sqrt(2)


def _spread(x: Tensor, factor: int) -> Tensor:
    """factor - 1 zeros behind each sample, on both axes."""
    n, c, h, w = x.shape
    out = torch.zeros(n, c, factor * h, factor * w, dtype=x.dtype)
    out[:, :, ::factor, ::factor] = x
    return out


def _convolved(x: Tensor, taps: Tensor) -> Tensor:
    """x [1, C, h, w] convolved with [t] along both axes or with [t, t], where they overlap."""
    full = torch.outer(taps, taps) if taps.ndim == 1 else taps
    return F.conv2d(x.transpose(0, 1), full.flip((0, 1))[None, None]).transpose(0, 1)
