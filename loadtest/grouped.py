"""StyleGAN2 as it is usually computed: weights for each sample, in grouped convolutions.

From the paper (Karras et al., 2020, arXiv:1912.04958): equations 1 and 3 make the weights of a
sample; all samples go through one convolution whose groups are the samples (appendix B). In half
precision as in its successor (Karras et al., 2020, arXiv:2006.06676, appendix D): the largest four
resolutions in fp16, weights and styles divided by their largest value before they meet, and
activations clamped. Only what `make bench-engines` compares others with: the skip architecture,
leaky ReLU, the usual filter of four taps.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 (everyone's name for it)
from torch import Tensor

_HALVED = 4  # resolutions
_CLAMP = 256.0


class Grouped:
    """A generator over a checkpoint's arrays of so many pixels."""

    def __init__(
        self, arrays: Mapping[str, Any], resolution: int, device: str = "cpu", *, half: bool = False
    ) -> None:
        self._arrays = {name: torch.tensor(array).to(device) for name, array in arrays.items()}
        self._resolutions = [2**i for i in range(2, resolution.bit_length())]
        line = torch.tensor([1.0, 3.0, 3.0, 1.0], device=device) / 8
        self._filter = torch.outer(line, line)
        self._halved = self._resolutions[-_HALVED:] if half else []

    def __call__(self, z: Tensor) -> Tensor:
        """z [N, z_dim] to pictures [N, H, W, C] uint8, with the stored noise, untruncated."""
        img = self._synthesis(self._mapping(z))
        return (img * 127.5 + 128).clamp(0, 255).permute(0, 2, 3, 1).to(torch.uint8)

    def _mapping(self, z: Tensor) -> Tensor:
        x = z * (z.square().mean(1, keepdim=True) + 1e-8).rsqrt()
        depth = sum(name.startswith("mapping.fc") for name in self._arrays) // 2
        for i in range(depth):
            x = F.leaky_relu(self._linear(f"mapping.fc{i}", x, 0.01), 0.2) * math.sqrt(2)
        return x

    def _synthesis(self, w: Tensor) -> Tensor:
        x = self._arrays["synthesis.b4.const"].expand(len(w), -1, -1, -1)
        img: Tensor | None = None
        for resolution in self._resolutions:
            block = f"synthesis.b{resolution}"
            x = x.half() if resolution in self._halved else x
            if img is not None:
                x = self._layer(f"{block}.conv0", x, w, up=True)
                img = self._upsampled(img)
            x = self._layer(f"{block}.conv1", x, w)
            rgb = self._colours(f"{block}.torgb", x, w).float()
            img = rgb if img is None else img + rgb
        assert img is not None
        return img

    def _linear(self, name: str, x: Tensor, lr: float = 1.0) -> Tensor:
        weight, bias = self._arrays[f"{name}.weight"], self._arrays[f"{name}.bias"]
        return F.linear(x, weight * (lr / math.sqrt(weight.shape[1])), bias * lr)

    def _layer(self, name: str, x: Tensor, w: Tensor, *, up: bool = False) -> Tensor:
        style, weight = self._linear(f"{name}.affine", w), self._arrays[f"{name}.weight"]
        if x.dtype == torch.float16:  # demodulation takes these factors out again
            weight = (weight / weight.abs().amax((1, 2, 3), keepdim=True)).half()
            style = (style / style.abs().amax(1, keepdim=True)).half()
        weight = weight * style[:, None, :, None, None]  # equation 1
        weight = weight * (weight.square().sum((2, 3, 4), keepdim=True) + 1e-8).rsqrt()  # 3
        x = self._convolved(x, weight, up=up)
        noise = self._arrays[f"{name}.noise_const"] * self._arrays[f"{name}.noise_strength"]
        x = x + noise.to(x.dtype)
        x = x + self._arrays[f"{name}.bias"].to(x.dtype)[:, None, None]
        return _clamped(F.leaky_relu(x, 0.2) * math.sqrt(2))

    def _colours(self, name: str, x: Tensor, w: Tensor) -> Tensor:
        style = self._linear(f"{name}.affine", w) / math.sqrt(x.shape[1])
        weight = self._arrays[f"{name}.weight"].to(x.dtype)
        weight = weight * style.to(x.dtype)[:, None, :, None, None]
        bias = self._arrays[f"{name}.bias"].to(x.dtype)
        return _clamped(self._convolved(x, weight, up=False) + bias[:, None, None])

    def _convolved(self, x: Tensor, weight: Tensor, *, up: bool) -> Tensor:
        """x [N, in, h, w] with weights [N, out, in, k, k], each sample in a group of its own."""
        count, outputs, inputs, size, _ = weight.shape
        x = x.reshape(1, count * inputs, *x.shape[2:])
        if up:
            weight = weight.transpose(1, 2).reshape(count * inputs, outputs, size, size)
            x = F.conv_transpose2d(x, weight, stride=2, groups=count)
        else:
            weight = weight.reshape(count * outputs, inputs, size, size)
            x = F.conv2d(x, weight, padding=size // 2, groups=count)
        x = x.reshape(count, outputs, *x.shape[2:])
        return self._filtered(x, 1, 1) if up else x

    def _upsampled(self, img: Tensor) -> Tensor:
        """A zero behind each pixel on both axes, then the filter."""
        count, channels, height, width = img.shape
        img = F.pad(img[:, :, :, None, :, None], (0, 1, 0, 0, 0, 1))
        return self._filtered(img.reshape(count, channels, 2 * height, 2 * width), 2, 1)

    def _filtered(self, x: Tensor, before: int, after: int) -> Tensor:
        kernel = (4 * self._filter).to(x.dtype).expand(x.shape[1], 1, -1, -1)
        x = F.pad(x, (before, after, before, after))
        return F.conv2d(x, kernel, groups=x.shape[1])


def _clamped(x: Tensor) -> Tensor:
    return x.clamp(-_CLAMP, _CLAMP) if x.dtype == torch.float16 else x
