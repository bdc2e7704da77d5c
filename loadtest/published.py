"""StyleGAN3 in the sizes that its authors publish, and what its convolutions cost.

From the paper (Karras et al., 2021, arXiv:2106.12423), section 3.2 and appendix G: fourteen
layers, the last two critically sampled; cutoffs and stopbands in geometric progressions from 2
and 2^2.1 cycles to half the resolution and 2^0.3 times that; margins of ten samples; filters of
six taps for each step in rate. Configuration R has kernels of one tap, round filters and twice
the channels.
"""

import math
from itertools import pairwise

from nonesuch_export.network.aliasfree import Config, Layer

_LAYERS, _CRITICAL = 14, 2
_FIRST_CUTOFF, _FIRST_STOPBAND, _LAST_STOPBAND = 2.0, 2.0**2.1, 2.0**0.3
_MARGIN, _TAPS = 10, 6
_CHANNELS, _MOST = {256: 16384, 512: 32768, 1024: 32768}, 512


def sized(resolution: int, kind: str) -> Config:
    """The configuration T or R at a resolution of 64 or more."""
    radial = kind == "R"
    twice = 2 if radial else 1
    planes = [_plane(i, resolution, twice) for i in range(_LAYERS)]
    steps = pairwise([planes[0], *planes])
    layers = [
        _layer(before, plane, radial=radial and i < _LAYERS - _CRITICAL)
        for i, (before, plane) in enumerate(steps)
    ]
    first = layers[0]
    return Config(
        resolution=resolution,
        channels=3,
        z_dim=512,
        c_dim=0,
        layers=tuple(layers),
        input_width=first.width,
        input_size=first.size,
        input_rate=first.rate,
        kernel_size=1 if radial else 3,
    )


def _plane(index: int, resolution: int, twice: int) -> tuple[int, int, int, float]:
    """Width, size, rate and cutoff of what a layer gives."""
    share = min(index / (_LAYERS - _CRITICAL), 1)
    highest = resolution / 2
    cutoff = _FIRST_CUTOFF * (highest / _FIRST_CUTOFF) ** share
    stopband = _FIRST_STOPBAND * (highest * _LAST_STOPBAND / _FIRST_STOPBAND) ** share
    rate = 2 ** math.ceil(math.log2(min(2 * stopband, resolution)))
    channels = _CHANNELS.get(resolution, 16384) * twice / 2 / cutoff
    size = resolution if index == _LAYERS - 1 else rate + 2 * _MARGIN
    return round(min(channels, _MOST * twice)), size, rate, cutoff


def _layer(
    before: tuple[int, int, int, float], plane: tuple[int, int, int, float], *, radial: bool
) -> Layer:
    width, size, rate, cutoff = plane
    between = 2 * max(before[2], rate)
    up, down = between // before[2], between // rate
    return Layer(
        width=width, size=size, rate=rate, cutoff=cutoff, up=up, down=down,
        up_taps=_TAPS * up, down_taps=_TAPS * down, radial=radial,
    )  # fmt: skip


def multiply_adds(config: Config) -> int:
    """Of the convolutions for one picture; its filters, a few hundredths of them, not counted."""
    total, width, size = config.input_width**2 * config.input_size**2, config.input_width, 0
    size = config.input_size
    for layer in config.layers:
        area = (size + config.kernel_size - 1) ** 2
        total += width * layer.width * config.kernel_size**2 * area
        width, size = layer.width, layer.size
    return total + width * config.channels * size**2
