"""Progressive GAN (Karras et al., 2018, arXiv:1710.10196), with the options of its programs."""

import torch
from torch import Tensor, nn

from nonesuch_export.network.generator import Generator
from nonesuch_export.network.growing import ACTIVATIONS, Spread, ToRGB, convolutions
from nonesuch_export.network.grown import ProGANConfig as Config
from nonesuch_export.network.ops import normalize


class Layer(nn.Module):
    """A source of features (the input or a convolution), bias, activation, normalisation."""

    def __init__(self, config: Config, source: nn.Module, width: int) -> None:
        super().__init__()
        self.source = source
        self.bias = nn.Parameter(torch.zeros(width))
        self._activation = ACTIVATIONS[config.activation]
        self._epsilon = config.epsilon if config.use_pixel_norm else None

    def forward(self, x: Tensor) -> Tensor:
        x = self._activation(self.source(x, self.bias))
        return x if self._epsilon is None else normalize(x, self._epsilon)


class ProGAN(Generator):
    """A whole Progressive GAN: z straight to an image, with neither w nor noise."""

    family = "progan"

    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        inputs = config.z_dim + config.c_dim
        first = Spread(inputs, config.widths[0], use_wscale=config.use_wscale)
        widths = [width for width in config.widths for _ in range(2)]
        sources = [first, *convolutions(config)]
        self.layers = nn.ModuleList(map(Layer, [config] * len(widths), sources, widths))
        self.torgb = ToRGB(config)

    def draw(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """z [N, z_dim] and c [N, c_dim] (None: all zeros) to a float image [N, C, H, W]."""
        x = half = self._latents(z, c)
        for index, layer in enumerate(self.layers):
            x = layer(x)
            if index == len(self.layers) - 3:  # what the last block begins with
                half = x
        img: Tensor = self.torgb(x, half)
        return img

    def _latents(self, z: Tensor, c: Tensor | None) -> Tensor:
        """z and the classes in one vector, normalised as one, [N, z_dim + c_dim]."""
        if self.config.c_dim:
            c = z.new_zeros(z.shape[0], self.config.c_dim) if c is None else c
            z = torch.cat([z, c], dim=1)
        return normalize(z, self.config.epsilon) if self.config.normalize_z else z
