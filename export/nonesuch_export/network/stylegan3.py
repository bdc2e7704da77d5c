"""StyleGAN3, or Alias-Free GAN (Karras et al., 2021, arXiv:2106.12423), configurations T and R.

Parameter names are those of the authors' modules, so that weights move between the two as they are.
"""

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F  # noqa: N812 (everyone's name for it)
from torch import Tensor, nn

from nonesuch_export.network import aliasfree
from nonesuch_export.network.aliasfree import Config
from nonesuch_export.network.filtered import Filtered, Resampling
from nonesuch_export.network.generator import Generator
from nonesuch_export.network.mapping import Mapping
from nonesuch_export.network.ops import EPSILON, SQRT2, Linear, normalize

_TINY = 1e-20  # keeps a rotation of length zero finite and is lost in any other


class Input(nn.Module):
    """Fourier features of a plane that w and the transform turn and shift (section 3.3, fig. 4)."""

    freqs: Tensor
    phases: Tensor
    _positions: Tensor

    def __init__(self, config: Config) -> None:
        super().__init__()
        width, size = config.input_width, config.input_size
        self.affine = Linear(config.w_dim, 4)  # cosine, sine and shift, of any length
        nn.init.zeros_(self.affine.weight)
        self.affine.bias = nn.Parameter(torch.tensor([1.0, 0.0, 0.0, 0.0]))
        self.weight = nn.Parameter(torch.randn(width, width))
        self.register_buffer("freqs", torch.randn(width, 2) * config.input_cutoff / 2)  # cycles
        self.register_buffer("phases", torch.rand(width) - 0.5)  # turns
        positions = (torch.arange(size) + 0.5 - size / 2) / config.input_rate
        self.register_buffer("_positions", positions, persistent=False)
        self._cutoff = config.input_cutoff
        self._slope = 1 / (config.input_rate / 2 - config.input_cutoff)

    def forward(self, w: Tensor, transform: Tensor) -> Tensor:
        """w [N, w_dim] and transform [N, 3, 3] to [N, width, size, size]."""
        moved = self.freqs @ self._motion(w, transform)  # [N, width, 3]
        freqs, phases = moved[:, :, :2], moved[:, :, 2] + self.phases
        # Frequencies that a magnifying transform brings near the sampling limit fade out.
        length = freqs.square().sum(dim=2).sqrt()
        amplitude = (1 - (length - self._cutoff) * self._slope).clamp(0.0, 1.0)[:, :, None]
        turns = freqs[:, :, :, None] * self._positions  # [N, width, 2, size], x before y
        across = (turns[:, :, 0] + phases[:, :, None]) * (2 * math.pi)
        along = turns[:, :, 1, :, None] * (2 * math.pi)
        # sin(a + b) from the sines of rows and columns: two for each of them, none for a sample.
        x = (across.sin() * amplitude)[:, :, None] * along.cos()
        x = x + (across.cos() * amplitude)[:, :, None] * along.sin()
        weight = self.weight[:, :, None, None] / math.sqrt(self.weight.shape[1])
        return F.conv2d(x, weight)

    def _motion(self, w: Tensor, transform: Tensor) -> Tensor:
        """The first two rows of rotation · shift · transform, [N, 2, 3]."""
        t = self.affine(w)
        t = t * torch.rsqrt(t[:, :2].square().sum(dim=1, keepdim=True) + _TINY)
        cosine, sine = t[:, 0:1], t[:, 1:2]
        shifted = transform[:, :2] - t[:, 2:, None] * transform[:, 2:]  # [N, 2, 3]
        x, y = shifted[:, 0], shifted[:, 1]
        return torch.stack([cosine * x - sine * y, sine * x + cosine * y], dim=1)


class Layer(nn.Module):
    """Modulated convolution, bias and filtered leaky ReLU (section 3.2).

    x is [N, inputs, h, h] with margins around the picture, the result [N, width, size, size].
    """

    magnitude_ema: Tensor
    up_filter: Tensor | None
    down_filter: Tensor | None

    def __init__(self, config: Config, shape: aliasfree.Layer, inputs: int, size: int) -> None:
        super().__init__()
        kernel = config.kernel_size
        self.affine = Linear(config.w_dim, inputs, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(shape.width, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(shape.width))
        self.register_buffer("magnitude_ema", torch.ones([]))
        self.register_buffer("up_filter", _average(shape.up_taps, 1))
        self.register_buffer("down_filter", _average(shape.down_taps, 2 if shape.radial else 1))
        self._clamp = config.conv_clamp
        plan = Resampling(
            inputs=size + kernel - 1,
            outputs=shape.size,
            up=shape.up,
            down=shape.down,
            up_taps=shape.up_taps,
            down_taps=shape.down_taps,
        )
        self._nonlinearity = Filtered(plan, shape.width, self._activated)
        self._nonlinearity.load(self.up_filter, self.down_filter)
        self.register_load_state_dict_post_hook(_load_filters)  # type: ignore[no-untyped-call]

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        x = self._convolved(x, w) + (self.bias * SQRT2)[:, None, None]
        return self._nonlinearity(x)  # type: ignore[no-any-return]

    def _convolved(self, x: Tensor, w: Tensor) -> Tensor:
        """The modulated convolution, times the gain √2 of the nonlinearity to come.

        Styles are brought to unit power by sample, where the authors take the batch's power:
        demodulation undoes either, and a picture must not depend on its company.
        """
        style = normalize(self.affine(w))  # [N, inputs]
        power = self.weight.square().mean(dim=(1, 2, 3), keepdim=True)
        weight = self.weight * torch.rsqrt(power + EPSILON)
        x = x * style[:, :, None, None].to(x.dtype)
        x = F.conv2d(x, weight, padding=weight.shape[-1] - 1)
        power = F.linear(style.square(), weight.square().sum(dim=(2, 3)))  # [N, width]
        scale = torch.rsqrt(power + EPSILON) * (self.magnitude_ema.rsqrt() * SQRT2)
        return x * scale[:, :, None, None].to(x.dtype)

    def _activated(self, x: Tensor) -> Tensor:
        return _clamped(F.leaky_relu(x, 0.2), self._clamp)


def _load_filters(layer: Layer, _: object) -> None:
    """Lay the filters out anew once a checkpoint's are there."""
    layer._nonlinearity.load(layer.up_filter, layer.down_filter)


class ToRGB(nn.Module):
    """1x1 modulated convolution to image channels, without demodulation or filters."""

    magnitude_ema: Tensor

    def __init__(self, config: Config) -> None:
        super().__init__()
        inputs = config.layers[-1].width
        self.affine = Linear(config.w_dim, inputs, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(config.channels, inputs, 1, 1))
        self.bias = nn.Parameter(torch.zeros(config.channels))
        self.register_buffer("magnitude_ema", torch.ones([]))
        self._clamp = config.conv_clamp

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        gain = self.magnitude_ema.rsqrt() / math.sqrt(x.shape[1])
        style = self.affine(w) * gain
        x = F.conv2d(x * style[:, :, None, None].to(x.dtype), self.weight, self.bias)
        return _clamped(x, self._clamp)


def _average(taps: int, axes: int) -> Tensor | None:
    """The plainest filter of as many taps, until a checkpoint's own takes its place."""
    return torch.full((taps,) * axes, 1 / taps**axes) if taps > 1 else None


def _clamped(x: Tensor, limit: float | None) -> Tensor:
    return x if limit is None else x.clamp(-float(limit), float(limit))


class Synthesis(nn.Module):
    """ws [N, num_ws, w_dim] and transform [N, 3, 3] to an image, nominally in [-1, 1]."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.input = Input(config)
        self._names: list[str] = []
        width, size = config.input_width, config.input_size
        for shape in config.layers:
            self._add(Layer(config, shape, width, size), shape.size, shape.width)
            width, size = shape.width, shape.size
        self._add(ToRGB(config), config.resolution, config.channels)
        self._scale = config.output_scale

    def _add(self, layer: nn.Module, size: int, width: int) -> None:
        """Add a layer under the authors' name for it."""
        name = f"L{len(self._names)}_{size}_{width}"
        self.add_module(name, layer)
        self._names.append(name)

    @property
    def styled(self) -> list[Input | Layer | ToRGB]:
        """What each row of ws styles, in the order of the rows."""
        return [self.input, *map(self.get_submodule, self._names)]  # type: ignore[list-item]

    def forward(self, ws: Tensor, transform: Tensor) -> Tensor:
        x: Tensor = self.input(ws[:, 0], transform)
        for i, name in enumerate(self._names):
            x = self.get_submodule(name)(x, ws[:, i + 1])
        return x * self._scale


class StyleGAN3(Generator):
    """A whole StyleGAN3: `mapping`, `synthesis`, and what the graph must know of them."""

    family: ClassVar[str] = "stylegan3"
    takes_transform: ClassVar[bool] = True
    seamed: ClassVar[str] = (
        "its synthesis draws a margin around the picture and crops it, of Fourier features that "
        "do not repeat at the picture's size"
    )

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
            lr_multiplier=config.lr_multiplier,
            has_w_avg=config.has_w_avg,
        )
        self.synthesis = Synthesis(config)

    @property
    def affines(self) -> tuple[Tensor, ...]:
        return tuple(part.affine.matrix for part in self.synthesis.styled)

    @property
    def ws_resolutions(self) -> tuple[int, ...]:
        """The resolution that could just show what each row styles, [num_ws].

        All layers have the same field of view and margins; what makes one coarser than another
        is its band: a cutoff of f cycles takes 2f pixels, here to the nearest power of two.
        """
        config = self.config
        cutoffs = [config.input_cutoff, *(layer.cutoff for layer in config.layers)]
        rows = [2 ** max(round(math.log2(2 * cutoff)), 0) for cutoff in cutoffs]
        return tuple(min(r, config.resolution) for r in (*rows, config.resolution))

    def synthesize(
        self,
        ws: Tensor,
        noise: Sequence[Tensor],  # noqa: ARG002 (there is none)
        transform: Tensor | None = None,
    ) -> Tensor:
        """ws [N, num_ws, w_dim] and transform [N, 3, 3] to a float image.

        The transform maps places in the picture to places in the plane of the input: it is
        the inverse of the motion that the picture makes.
        """
        if transform is None:
            transform = torch.eye(3, device=ws.device).expand(ws.shape[0], -1, -1)
        return self.synthesis(ws, transform)  # type: ignore[no-any-return]
