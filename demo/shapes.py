"""Plane shapes as signed distances, and the soft curves that the drawing is made of.

A distance is negative inside a shape. Coordinates and sizes are tensors that broadcast against
each other ([N, H, W], [N, 1, 1] and numbers mix freely), in the units of the picture: its edges
lie at -1 and 1.
"""

import torch
from torch import Tensor

Number = Tensor | float


def ramp(x: Tensor, start: float, end: float) -> Tensor:
    """Rise smoothly from 0 at `start` to 1 at `end`, level on both sides; falls if end < start.

    >>> ramp(torch.tensor([0.0, 0.5, 2.0]), 0.0, 1.0).tolist()
    [0.0, 0.5, 1.0]
    """
    t = ((x - start) * (1 / (end - start))).clamp_(0, 1)
    return t * t * (3 - 2 * t)


def blob(x: Tensor, y: Tensor, width: Number, height: Number) -> Tensor:
    """A Gaussian spot, 1 in its middle; width and height are its standard deviations."""
    return torch.exp(-0.5 * ((x / width).square() + (y / height).square()))


def ellipse(x: Tensor, y: Tensor, width: Number, height: Number) -> Tensor:
    """Distance to an ellipse with these half axes, exact to first order at its edge."""
    px, py = x / width, y / height
    near = (px.square() + py.square() + 1e-9).sqrt_()
    slope = ((px / width).square() + (py / height).square() + 1e-9).sqrt_()
    return near * (near - 1) / slope


def box(x: Tensor, y: Tensor, width: Number, height: Number, radius: Number) -> Tensor:
    """Distance to a rectangle with these half sides and round corners."""
    qx, qy = x.abs() - width + radius, y.abs() - height + radius
    corner = (qx.clamp(min=0).square() + qy.clamp(min=0).square() + 1e-12).sqrt_()
    return corner + torch.maximum(qx, qy).clamp_(max=0) - radius


def segment(x: Tensor, y: Tensor, a: tuple[Number, Number], b: tuple[Number, Number]) -> Tensor:
    """Distance to the line from point `a` to point `b`, never negative."""
    px, py, dx, dy = x - a[0], y - a[1], b[0] - a[0], b[1] - a[1]
    t = ((px * dx + py * dy) / (dx * dx + dy * dy + 1e-9)).clamp_(0, 1)
    return ((px - t * dx).square() + (py - t * dy).square() + 1e-12).sqrt_()


def union(a: Tensor, b: Tensor, smooth: float) -> Tensor:
    """Join two shapes, with a fillet of about the radius `smooth` where they meet."""
    h = (smooth - (a - b).abs()).clamp_(min=0)
    return torch.minimum(a, b) - h * h * (0.25 / smooth)


def intersection(a: Tensor, b: Tensor, smooth: float) -> Tensor:
    """What lies in both shapes, with corners rounded by about the radius `smooth`."""
    h = (smooth - (a - b).abs()).clamp_(min=0)
    return torch.maximum(a, b) + h * h * (0.25 / smooth)
