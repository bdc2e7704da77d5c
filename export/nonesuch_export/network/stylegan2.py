"""StyleGAN2 (Karras et al., 2020, arXiv:1912.04958) with the options of all its versions.

Parameter names are those of the authors' PyTorch modules, so that weights move between the two
as they are.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 (everyone's name for it)
from torch import Tensor, nn

from nonesuch_export.network.config import Config
from nonesuch_export.network.generator import Generator
from nonesuch_export.network.mapping import Mapping
from nonesuch_export.network.ops import ACTIVATIONS, HOMOGENEOUS, Linear, Modulated, Resampler
from nonesuch_export.network.upconvolution import FORMS, Form, Upconvolution

_REPETITION = ((0.25, 0.25), (0.25, 0.25))  # the filter that repeats each pixel


class Convolution(Modulated):
    """Modulated convolution, noise, bias, activation, clamp: one layer of synthesis."""

    noise_const: Tensor

    def __init__(self, config: Config, inputs: int, resolution: int, *, up: bool = False) -> None:
        outputs = config.widths[resolution.bit_length() - 3]
        super().__init__(
            config.w_dim, inputs, outputs, config.kernel_size, equalized=config.equalized
        )
        self.bias = nn.Parameter(torch.zeros(outputs))
        if config.use_noise:
            self.noise_strength = nn.Parameter(torch.zeros([]))
            self.register_buffer("noise_const", torch.randn(resolution, resolution))
        kernel = config.kernel_size
        taps = torch.tensor(config.resample_filter)
        self.doubling = Upconvolution(taps, kernel) if up else None
        self.resolution = resolution
        self._factor = 2 if up else 1
        self._reach = self.doubling.reach(kernel) if self.doubling else kernel // 2
        self._activation, self._gain_out = ACTIVATIONS[config.activation]
        self._homogeneous = config.activation in HOMOGENEOUS
        self._clamp = config.conv_clamp

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None, gain: float = 1.0) -> Tensor:
        """x [N, in, h, w] to [N, out, r, r]; `noise` is [N or 1, 1, r, r] or None."""
        before, after = self._gains(gain)
        x = self.around(lambda x: self._filtered(x, w, before), x, self._reach, self._factor)
        if noise is not None:
            x = x + (noise * (self.noise_strength * before)).to(x.dtype)
        x = self._activation(x)
        if after != 1:
            x = x * after
        return _clamped(x, self._clamp, gain)

    def dense(self, x: Tensor) -> Tensor:
        return self.doubling.dense(x, self.weight) if self.doubling else super().dense(x)

    def _filtered(self, x: Tensor, w: Tensor, gain: float) -> Tensor:
        x = self.convolve(x, w, gain)
        bias = (self.bias * gain).to(x.dtype)
        return self.doubling.finish(x, bias) if self.doubling else x + bias[:, None, None]

    def _gains(self, gain: float) -> tuple[float, float]:
        """The layer's whole gain, where it costs nothing if possible: before the activation."""
        whole = self._gain_out * gain
        return (whole, 1.0) if self._homogeneous else (1.0, whole)


class ToRGB(nn.Module):
    """1x1 modulated convolution to image channels, without demodulation or noise."""

    def __init__(self, config: Config, inputs: int) -> None:
        super().__init__()
        self.affine = Linear(config.w_dim, inputs, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(config.channels, inputs, 1, 1))
        self._gain = 1.0 / math.sqrt(inputs)
        self.bias = nn.Parameter(torch.zeros(config.channels))
        self._clamp = config.conv_clamp

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        style = self.affine(w) * self._gain  # [N, in]
        x = x * style[:, :, None, None].to(x.dtype)
        return _clamped(F.conv2d(x, self.weight, self.bias), self._clamp)


class Shortcut(nn.Module):
    """The resnet architecture's second path: 1x1 convolution, then up-sampling."""

    def __init__(self, config: Config, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 1, 1))
        self._gain = 1.0 / math.sqrt(inputs)
        self._resampler = Resampler(torch.tensor(config.resample_filter))

    def forward(self, x: Tensor) -> Tensor:
        x = F.conv2d(x, self.weight * self._gain)
        return self._resampler.upsample(x) * math.sqrt(0.5)


def _clamped(x: Tensor, limit: float | None, gain: float = 1.0) -> Tensor:
    return x if limit is None else x.clamp(-limit * gain, limit * gain)


class Block(nn.Module):
    """All layers of one resolution."""

    const: Tensor

    def __init__(self, config: Config, index: int) -> None:
        super().__init__()
        resolution = config.block_resolutions[index]
        width = config.widths[index]
        self.first = index == 0
        last = resolution == config.resolution
        fading = config.fade > 0 and 2 * resolution >= config.resolution
        self._fade = config.fade if last else 0.0
        self._residual = config.architecture == "resnet" and not self.first
        if self.first:
            self.const = nn.Parameter(torch.randn(width, 4, 4))
        else:
            inputs = config.widths[index - 1]
            self.conv0 = Convolution(config, inputs, resolution, up=True)
            if self._residual:
                self.skip = Shortcut(config, inputs, width)
        self.conv1 = Convolution(config, width, resolution)
        coloured = last or fading or config.architecture == "skip"
        self.torgb = ToRGB(config, width) if coloured else None
        kernel = _REPETITION if self._fade else config.resample_filter
        self._resampler = Resampler(torch.tensor(kernel))

    @property
    def convolutions(self) -> list[Convolution]:
        return [self.conv1] if self.first else [self.conv0, self.conv1]

    def forward(
        self, x: Tensor, img: Tensor | None, ws: Sequence[Tensor], noise: Sequence[Tensor | None]
    ) -> tuple[Tensor, Tensor | None]:
        """ws are those [N, w_dim] of the convolutions and ToRGB, `noise` is the convolutions'."""
        if self.first:
            x = self.conv1(x, ws[0], noise[0])
        elif self._residual:
            y = self.skip(x)
            x = self.conv0(x, ws[0], noise[0])
            x = y + self.conv1(x, ws[1], noise[1], gain=math.sqrt(0.5))
        else:
            x = self.conv0(x, ws[0], noise[0])
            x = self.conv1(x, ws[1], noise[1])
        return x, self._coloured(x, img, ws[len(self.convolutions)])

    def _coloured(self, x: Tensor, img: Tensor | None, w: Tensor) -> Tensor | None:
        if img is not None:
            img = self._resampler.upsample(img)
        if self.torgb is None:
            return img
        rgb: Tensor = self.torgb(x, w)
        if img is None:
            return rgb
        # A growing network fades from the picture of the block below (Progressive GAN, section 2).
        return rgb + (img - rgb) * self._fade if self._fade else img + rgb


class Synthesis(nn.Module):
    """ws [N, num_ws, w_dim] to an image [N, channels, r, r], nominally in [-1, 1]."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self._resolutions = config.block_resolutions
        for index, resolution in enumerate(self._resolutions):
            self.add_module(f"b{resolution}", Block(config, index))

    @property
    def blocks(self) -> list[Block]:
        return [self.get_submodule(f"b{r}") for r in self._resolutions]  # type: ignore[misc]

    def forward(self, ws: Tensor, noise: Sequence[Tensor | None]) -> Tensor:
        x = self.blocks[0].const.expand(ws.shape[0], -1, -1, -1)
        img: Tensor | None = None
        rows, row = [ws[:, i] for i in range(ws.shape[1])], 0
        for block in self.blocks:
            count = len(block.convolutions)
            # The last row of a block is also the first of the next: ToRGB shares it.
            x, img = block(x, img, rows[row : row + count + 1], noise[row : row + count])
            row += count
        assert img is not None  # the last block always has ToRGB
        return img


class StyleGAN2(Generator):
    """A whole StyleGAN2: `mapping`, `synthesis`, and what the graph must know of them."""

    family = "stylegan2"

    config: Config
    mapping: Mapping

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.mapping = Mapping(
            config.z_dim,
            config.c_dim,
            config.mapping_widths,
            embed_width=config.embed_width,
            activation=config.mapping_activation,
            lr_multiplier=config.lr_multiplier,
            has_w_avg=config.has_w_avg,
            label_concat=config.label_concat,
            normalize_z=config.normalize_z,
        )
        self.synthesis = Synthesis(config)

    @property
    def noise_const(self) -> list[Tensor]:
        """The stored noise of each noise layer, [r, r] each, in the order of synthesis."""
        if not self.config.use_noise:
            return []
        return [c.noise_const for block in self.synthesis.blocks for c in block.convolutions]

    @property
    def upconvolutions(self) -> dict[int, Convolution]:
        """The layers that have several forms, by their resolution."""
        return {block.conv0.resolution: block.conv0 for block in self.synthesis.blocks[1:]}

    @property
    def forms(self) -> dict[str, Form]:
        return {
            str(resolution): layer.doubling.form
            for resolution, layer in self.upconvolutions.items()
            if layer.doubling is not None
        }

    def use_forms(self, forms: dict[str, str]) -> None:
        for resolution, layer in self.upconvolutions.items():
            form = forms.get(str(resolution))
            if layer.doubling is not None and form in FORMS:
                layer.doubling.form = form

    @property
    def affines(self) -> tuple[Tensor, ...]:
        rows: list[list[Tensor]] = [[] for _ in range(self.num_ws)]
        row = 0
        for block in self.synthesis.blocks:
            affines = [layer.affine for layer in block.convolutions]
            if block.torgb is not None:
                affines.append(block.torgb.affine)
            for i, affine in enumerate(affines):
                rows[row + i].append(affine.matrix)
            row += len(block.convolutions)
        return tuple(torch.cat(row) for row in rows)

    @property
    def ws_resolutions(self) -> tuple[int, ...]:
        """The resolution of the layer that each row of ws styles, [num_ws]."""
        rows = [r for r in self.config.block_resolutions for _ in range(2)]
        return (*rows[1:], self.config.resolution)

    def synthesize(
        self,
        ws: Tensor,
        noise: Sequence[Tensor],
        transform: Tensor | None = None,  # noqa: ARG002 (this family has none)
    ) -> Tensor:
        return self.synthesis(ws, noise or [None] * (self.config.num_ws - 1))  # type: ignore[no-any-return]
