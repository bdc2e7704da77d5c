"""StyleGAN (Karras et al., 2019, arXiv:1812.04948), with the options of its program."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 (everyone's name for it)
from torch import Tensor, nn

from nonesuch_export.network.generator import Generator
from nonesuch_export.network.growing import (
    ACTIVATIONS,
    Dense,
    Spread,
    ToRGB,
    convolutions,
)
from nonesuch_export.network.grown import Filter
from nonesuch_export.network.grown import StyleGAN1Config as Config
from nonesuch_export.network.ops import EPSILON, SQRT2, normalize
from nonesuch_export.network.periodic import Periodic

# ONNX Runtime normalises with one running sum of float32, which at 1024x1024 is wrong in the
# fourth digit; up to this many values it is right in the sixth, and faster than anything else.
_LONGEST_SUM = 256 * 256


class Mapping(nn.Module):
    """z [N, z_dim], and c [N, c_dim] where there are classes, to w [N, w_dim] (section 2).

    Classes pass a matrix and join z, and both are normalised as one vector; None is a c of
    zeros. `w_avg` [w_dim] is the centre of truncation, or None where it was never tracked.
    """

    w_avg: Tensor | None

    def __init__(self, config: Config) -> None:
        super().__init__()
        inputs = config.z_dim
        self.embed: nn.Linear | None = None
        if config.c_dim:
            self.embed = nn.Linear(config.c_dim, config.z_dim, bias=False)
            inputs += config.z_dim
        self._normalize = config.normalize_z
        self._activation = ACTIVATIONS[config.mapping_activation]
        self._count = len(config.mapping_widths)
        for i, width in enumerate(config.mapping_widths):
            lr, wscale = config.lr_multiplier, config.use_wscale
            self.add_module(f"fc{i}", Dense(inputs, width, SQRT2, use_wscale=wscale, lr=lr))
            inputs = width
        self.register_buffer("w_avg", torch.zeros(config.w_dim) if config.has_w_avg else None)

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        x = z
        if self.embed is not None:
            x = torch.cat([z, torch.zeros_like(z) if c is None else self.embed(c)], dim=1)
        if self._normalize:
            x = normalize(x)
        for i in range(self._count):
            x = self._activation(self.get_submodule(f"fc{i}")(x))
        return x


class Constant(nn.Module):
    """The learned constant that synthesis begins with."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.const = nn.Parameter(torch.ones(width, 4, 4))

    def forward(self, w: Tensor, bias: Tensor) -> Tensor:
        """One for each row of w [N, w_dim]: [N, width, 4, 4]."""
        return (self.const + bias[:, None, None]).expand(w.shape[0], -1, -1, -1)


class Blur(Periodic):
    """Low-pass filter that keeps the size, the same in all channels (section 2.1)."""

    kernel: Tensor

    def __init__(self, taps: Filter) -> None:
        super().__init__()
        kernel = torch.tensor(taps, dtype=torch.float32)
        kernel = torch.outer(kernel, kernel) if kernel.ndim == 1 else kernel
        self.register_buffer("kernel", kernel / kernel.sum(), persistent=False)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """x [N, C, h, w]; `bias` [C] is added afterwards."""
        return self.around(lambda x: self._blurred(x, bias), x, self.kernel.shape[0] // 2)

    def _blurred(self, x: Tensor, bias: Tensor) -> Tensor:
        taps = self.kernel.shape[0]
        before, after = (taps - 1) // 2, taps // 2
        if before != after:
            x = F.pad(x, (0, after - before, 0, after - before))
        weight = self.kernel.expand(x.shape[1], 1, -1, -1)
        return F.conv2d(x, weight, bias, padding=self.padding(before), groups=x.shape[1])


class Style(Dense):
    """w [N, w_dim] to the factors of all channels, then their shifts, [N, 2 width] (section 2)."""

    neutral: Tensor

    def __init__(self, config: Config, width: int) -> None:
        super().__init__(config.w_dim, 2 * width, 1.0, use_wscale=config.use_wscale)
        # Stored factors are around 0.
        neutral = torch.cat([torch.ones(width), torch.zeros(width)])
        self.register_buffer("neutral", neutral, persistent=False)

    def forward(self, w: Tensor) -> Tensor:
        return F.linear(w, self.matrix, self.bias + self.neutral)


class Layer(nn.Module):
    """One row of ws, one noise: a source of features, then what the authors call its epilogue."""

    noise_const: Tensor
    ones: Tensor
    zeros: Tensor

    def __init__(self, config: Config, index: int, source: nn.Module) -> None:
        super().__init__()
        resolution = config.layer_resolutions[index]
        width = config.widths[index // 2]
        self.source = source
        self.bias = nn.Parameter(torch.zeros(width))
        ups = index >= 2 and index % 2 == 0
        self._blur: Blur | None = None
        if ups and config.blur_filter is not None:
            self._blur = Blur(config.blur_filter)
        if config.use_noise:
            self.noise_strength = nn.Parameter(torch.zeros(width))
            self.register_buffer("noise_const", torch.randn(resolution, resolution))
        self._activation = ACTIVATIONS[config.activation]
        self._pixel_norm, self._instance_norm = config.use_pixel_norm, config.use_instance_norm
        self.register_buffer("ones", torch.ones(width), persistent=False)
        self.register_buffer("zeros", torch.zeros(width), persistent=False)
        self.affine = Style(config, width) if config.use_styles else None

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None) -> Tensor:
        """x to [N, width, r, r]; w is [N, w_dim], `noise` [N or 1, 1, r, r] or None."""
        if self._blur is None:
            x = self.source(x, self.bias)
        else:
            x = self._blur(self.source(x, None), self.bias)
        if noise is not None:
            x = x + noise * self.noise_strength[:, None, None]
        x = self._activation(x)
        if self._pixel_norm:
            x = normalize(x)
        if self._instance_norm:
            x = self._normalized(x)
        if self.affine is not None:
            factor, shift = self.affine(w).unsqueeze(2).unsqueeze(3).chunk(2, dim=1)
            x = x * factor + shift  # [N, C, 1, 1] both
        return x

    def _normalized(self, x: Tensor) -> Tensor:
        """Instance normalisation: each channel of [N, C, h, w] to mean 0 and variance 1."""
        if x.shape[2] * x.shape[3] <= _LONGEST_SUM:
            # Neutral weights, because without them the graph would compute their shape.
            return F.instance_norm(x, weight=self.ones, bias=self.zeros, eps=EPSILON)
        x = x - _mean(x)
        return x * torch.rsqrt(_mean(x.square()) + EPSILON)


def _mean(x: Tensor) -> Tensor:
    """The mean of each channel, [N, C, 1, 1], of sums no longer than a row or a column."""
    return x.sum(dim=3, keepdim=True).sum(dim=2, keepdim=True) * (1.0 / (x.shape[2] * x.shape[3]))


class Synthesis(nn.Module):
    """ws [N, num_ws, w_dim] to an image [N, channels, r, r], nominally in [-1, 1]."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self._styled = config.use_styles
        width = config.widths[0]
        first = Constant(width) if config.const_input else None
        spread = first or Spread(config.w_dim, width, use_wscale=config.use_wscale)
        sources = [spread, *convolutions(config)]
        self.layers = nn.ModuleList(Layer(config, i, s) for i, s in enumerate(sources))
        self.torgb = ToRGB(config)

    def forward(self, ws: Tensor, noise: Sequence[Tensor]) -> Tensor:
        x = half = ws[:, 0]
        for index, layer in enumerate(self.layers):
            row = ws[:, index if self._styled else 0]
            x = layer(x, row, noise[index] if noise else None)
            if index == len(self.layers) - 3:  # what the last block begins with
                half = x
        img: Tensor = self.torgb(x, half)
        return img


class StyleGAN1(Generator):
    """A whole StyleGAN: `mapping`, `synthesis`, and what the graph must know of them."""

    family = "stylegan1"

    config: Config
    mapping: Mapping

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.mapping = Mapping(config)
        self.synthesis = Synthesis(config)

    @property
    def ws_resolutions(self) -> tuple[int, ...]:
        return tuple(self.config.layer_resolutions[: self.num_ws])

    @property
    def affines(self) -> tuple[Tensor, ...]:
        rows: list[list[Tensor]] = [[] for _ in range(self.num_ws)]
        source = self.synthesis.layers[0].source
        if isinstance(source, Spread):  # w is the first layer's input as well
            rows[0].append(source.matrix)
        if self.config.use_styles:
            for row, layer in zip(rows, self.synthesis.layers, strict=True):
                row.append(layer.affine.matrix)  # type: ignore[union-attr,arg-type]
        return tuple(torch.cat(row) for row in rows)

    @property
    def noise_const(self) -> list[Tensor]:
        if not self.config.use_noise:
            return []
        return [layer.noise_const for layer in self.synthesis.layers]  # type: ignore[misc]

    def synthesize(
        self,
        ws: Tensor,
        noise: Sequence[Tensor],
        transform: Tensor | None = None,  # noqa: ARG002 (this family has none)
    ) -> Tensor:
        img: Tensor = self.synthesis(ws, noise)
        return img
