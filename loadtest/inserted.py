"""StyleGAN3 as it is usually computed on a CPU: zeros inserted, every sample between them filtered.

From the paper (Karras et al., 2021, arXiv:2106.12423), section 3.2 and appendix F: weights for
each sample, in grouped convolutions; zeros between the samples, a filter over all of them, leaky
ReLU, a filter over all of them, and of the result every other sample. Filters that are separable
go along rows and columns in turn, round ones over both at once. What `make bench-engines`
compares others with, in fp32.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 (everyone's name for it)
from torch import Tensor


class Inserted:
    """A generator over a checkpoint's configuration and arrays."""

    def __init__(self, config: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
        self._config = config
        self._arrays = {name: torch.tensor(array) for name, array in arrays.items()}
        names = [name for name in arrays if name.endswith(".affine.weight")]
        places = {int(n.split(".")[1].split("_")[0][1:]): n for n in names if ".L" in n}
        self._names = [places[i].removesuffix(".affine.weight") for i in range(len(places))]

    def __call__(self, z: Tensor) -> Tensor:
        """z [N, z_dim] to pictures [N, H, W, C] uint8, untruncated and unmoved."""
        w = self._mapping(z)
        x = self._input(w)
        size = self._config["input_size"]
        for name, layer in zip(self._names, self._config["layers"], strict=False):
            x = self._layer(name, layer, x, w, size)
            size = layer["size"]
        img = self._colours(x, w) * self._config["output_scale"]
        pixels: Tensor = (img * 127.5 + 128).clamp(0, 255).permute(0, 2, 3, 1).to(torch.uint8)
        return pixels

    def _mapping(self, z: Tensor) -> Tensor:
        x = z * (z.square().mean(1, keepdim=True) + 1e-8).rsqrt()
        for i in range(len(self._config["mapping_widths"])):
            x = self._linear(f"mapping.fc{i}", x, self._config["lr_multiplier"])
            x = F.leaky_relu(x, 0.2) * math.sqrt(2)
        return x

    def _linear(self, name: str, x: Tensor, lr: float = 1.0) -> Tensor:
        weight, bias = self._arrays[f"{name}.weight"], self._arrays[f"{name}.bias"]
        return F.linear(x, weight * (lr / math.sqrt(weight.shape[1])), bias * lr)

    def _input(self, w: Tensor) -> Tensor:
        """Fourier features at every place (section 3.3), and a linear map over them."""
        c, name = self._config, "synthesis.input"
        t = self._linear(f"{name}.affine", w)
        t = t / t[:, :2].norm(dim=1, keepdim=True)
        cosine, sine = t[:, 0], t[:, 1]
        rows = torch.stack([cosine, -sine, sine, cosine], 1).reshape(-1, 2, 2)
        freqs = self._arrays[f"{name}.freqs"] @ rows  # [N, width, 2]
        phases = self._arrays[f"{name}.phases"] - (freqs * t[:, None, 2:]).sum(2)
        line = (torch.arange(c["input_size"]) + 0.5 - c["input_size"] / 2) / c["input_rate"]
        grid = torch.stack(torch.meshgrid(line, line, indexing="xy"), 2)  # [size, size, x and y]
        waves = torch.sin((grid @ freqs[:, None].mT + phases[:, None, None]) * (2 * math.pi))
        slope = c["input_rate"] / 2 - c["input_cutoff"]
        amplitude = (1 - (freqs.norm(dim=2) - c["input_cutoff"]) / slope).clamp(0, 1)
        weight = self._arrays[f"{name}.weight"]
        mixed = F.linear(waves * amplitude[:, None, None], weight / math.sqrt(weight.shape[1]))
        return mixed.permute(0, 3, 1, 2)

    def _layer(
        self, name: str, layer: Mapping[str, Any], x: Tensor, w: Tensor, size: int
    ) -> Tensor:
        weight = self._arrays[f"{name}.weight"]
        weight = weight * weight.square().mean((1, 2, 3), keepdim=True).rsqrt()
        style = self._linear(f"{name}.affine", w)
        weight = weight * (style * style.square().mean().rsqrt())[:, None, :, None, None]
        weight = weight * (weight.square().sum((2, 3, 4), keepdim=True) + 1e-8).rsqrt()
        x = self._convolved(x, weight * self._arrays[f"{name}.magnitude_ema"].rsqrt())
        x = x + self._arrays[f"{name}.bias"][:, None, None]
        return self._nonlinear(name, layer, x, size + weight.shape[-1] - 1)

    def _nonlinear(self, name: str, layer: Mapping[str, Any], x: Tensor, size: int) -> Tensor:
        up, down = layer["up"], layer["down"]
        total = (layer["size"] - 1) * down + 1 - size * up + layer["up_taps"] + layer["down_taps"]
        before = (total - 2 + up) // 2
        x = _spread(x, up)
        x = F.pad(x, (before, total - 2 - before) * 2)
        if (taps := self._arrays.get(f"{name}.up_filter")) is not None:
            x = _filtered(x, taps * up)
        x = _clamped(F.leaky_relu(x, 0.2) * math.sqrt(2), self._config["conv_clamp"])
        if (taps := self._arrays.get(f"{name}.down_filter")) is not None:
            x = _filtered(x, taps)
        return x[:, :, ::down, ::down]

    def _colours(self, x: Tensor, w: Tensor) -> Tensor:
        name = self._names[-1]
        style = self._linear(f"{name}.affine", w) / math.sqrt(x.shape[1])
        weight = self._arrays[f"{name}.weight"] * style[:, None, :, None, None]
        x = self._convolved(x, weight * self._arrays[f"{name}.magnitude_ema"].rsqrt())
        return _clamped(x + self._arrays[f"{name}.bias"][:, None, None], self._config["conv_clamp"])

    def _convolved(self, x: Tensor, weight: Tensor) -> Tensor:
        """x [N, in, h, w] with weights [N, out, in, k, k], each sample in a group of its own."""
        count, outputs, inputs, size, _ = weight.shape
        x = x.reshape(1, count * inputs, *x.shape[2:])
        weight = weight.reshape(count * outputs, inputs, size, size)
        x = F.conv2d(x, weight, padding=size - 1, groups=count)
        return x.reshape(count, outputs, *x.shape[2:])


def _spread(x: Tensor, factor: int) -> Tensor:
    """factor - 1 zeros behind each sample, on both axes."""
    count, channels, height, width = x.shape
    x = F.pad(x[:, :, :, None, :, None], (0, factor - 1, 0, 0, 0, factor - 1))
    return x.reshape(count, channels, height * factor, width * factor)


def _filtered(x: Tensor, taps: Tensor) -> Tensor:
    """x [N, C, h, w] convolved with [t] along both axes or with [t, t], where they overlap."""
    channels, turned = x.shape[1], taps.flip(tuple(range(taps.ndim)))
    kernels = (turned[:, None], turned[None]) if taps.ndim == 1 else (turned,)
    for kernel in kernels:
        x = F.conv2d(x, kernel.expand(channels, 1, -1, -1), groups=channels)
    return x


def _clamped(x: Tensor, limit: float | None) -> Tensor:
    return x if limit is None else x.clamp(-limit, limit)
