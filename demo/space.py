"""Latent space by design: which z and which w stand for which attributes.

W is laid out first: each attribute has a direction of its own, and w is linear in the attributes
(0.5 = the middle of the space). The mapping network is then not trained but written down: its
first layer takes the attributes' coordinates out of z and bends them into an even spread, its
second lays them out in W. So directions are known exactly, truncation passes through valid
portraits only, and the average w is the portrait with every attribute at 0.5.
"""

import itertools
import math

import torch
from demo.attributes import ATTRIBUTES
from torch import Tensor

Z_DIM = 256
W_DIM = 256
COUNT = len(ATTRIBUTES)
MAPPING_WIDTHS = (5 * COUNT, W_DIM)

# a(g) = 0.5 + f(g) / 2 for a normal coordinate g: f follows 2 Φ(g) - 1 in straight pieces.
_KNOTS = (0.9, 1.9)
_SLOPES = (0.702, 0.311, 0.03)  # up to the first knot, to the second, beyond
_LIFT = 16.0  # |g| is never more: z is normalised to this length
SHIFT = 6.0  # standard deviations that keep w in the straight part of the last activation
_SLOPE = 0.2  # of the leaky ReLU below zero


def _orthonormal(seed: int, size: int) -> Tensor:
    """Fixed rows of length one, at right angles to each other, [COUNT, size]."""
    generator = torch.Generator().manual_seed(seed)
    q, _ = torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64))
    rows: Tensor = q[:, :COUNT].T.float().contiguous()
    return rows


Z_DIRECTIONS = _orthonormal(1234, Z_DIM)  # [COUNT, Z_DIM]
# Scaled so that W has variance one in each dimension when attributes are spread evenly.
W_DIRECTIONS = _orthonormal(4321, W_DIM) * math.sqrt(3 * W_DIM / COUNT)  # [COUNT, W_DIM]


def attributes_of(z: Tensor) -> Tensor:
    """The attributes [N, COUNT], within 0 … 1 but for the rarest z, of z [N, Z_DIM]."""
    unit = z * torch.rsqrt(z.square().mean(dim=1, keepdim=True) + 1e-8)
    g = unit @ Z_DIRECTIONS.to(z).T
    f = _SLOPES[0] * g
    for knot, before, after in zip(_KNOTS, _SLOPES, _SLOPES[1:], strict=False):
        f = f + (after - before) * ((g - knot).relu() - (-g - knot).relu())
    return 0.5 + 0.5 * f


def w_of(attributes: Tensor) -> Tensor:
    """The w [N, W_DIM], centred at zero, of attributes [N, COUNT]."""
    return (2 * attributes - 1) @ W_DIRECTIONS.to(attributes)


def mapping_weights(lr_multiplier: float) -> dict[str, Tensor]:
    """Weights of a mapping network of two layers that computes w_of(attributes_of(z)) + SHIFT.

    They are stored as StyleGAN stores them: divided by the learning-rate multiplier.
    """
    units = [(1.0, -_LIFT), *((sign, knot) for knot in _KNOTS for sign in (1.0, -1.0))]
    first = torch.cat([sign * Z_DIRECTIONS for sign, _ in units])
    offsets = torch.cat([torch.full((COUNT,), -knot) for _, knot in units])
    # A bend is relu(g - k) - relu(-g - k), and relu(x) = (lrelu(x) - 0.2 x) / 0.8: what this
    # takes from the straight part, the first unit gives back, which is always above zero.
    changes = [after - before for before, after in itertools.pairwise(_SLOPES)]
    straight = _SLOPES[0] - 2 * _SLOPE / (1 - _SLOPE) * sum(changes)
    factors = [straight, *(sign * d / (1 - _SLOPE) for d in changes for sign in (1.0, -1.0))]
    # Both activations multiply by √2.
    second = torch.cat([factor * W_DIRECTIONS for factor in factors]).T / 2
    constant = (SHIFT - straight * _LIFT * W_DIRECTIONS.sum(dim=0)) / math.sqrt(2)
    return {
        "mapping.fc0.weight": first * math.sqrt(Z_DIM) / lr_multiplier,
        "mapping.fc0.bias": offsets / lr_multiplier,
        "mapping.fc1.weight": second * math.sqrt(len(units) * COUNT) / lr_multiplier,
        "mapping.fc1.bias": constant / lr_multiplier,
        "mapping.w_avg": torch.full((W_DIM,), SHIFT),
    }
