"""The skin of the face: its shading, cheeks, freckles and lines."""

import torch
from demo.scene import Scene
from demo.shapes import blob, ramp, segment
from torch import Tensor

CELL = 0.052  # the side of the square that holds one freckle


def skin(scene: Scene, grain: Tensor) -> None:
    """Shade the whole head; `grain` is a texture of about unit variance."""
    colours = scene.colours
    nx, ny, nz = scene.normal
    light = ramp(0.25 + 0.75 * scene.lit(nx, ny, nz), 0.05, 1.0)
    light = light + 0.02 * grain
    tone = colours.shade.lerp(colours.skin, ramp(light, 0.0, 0.62)[:, None])
    scene.paint(tone.lerp(colours.shine, 0.8 * ramp(light, 0.60, 1.0)[:, None]), scene.head)


def planes(scene: Scene) -> None:
    """Model the face: sockets, cheeks with their blush, forehead, chin."""
    colours, values = scene.colours, scene.values
    lx, u, v = scene.light[0], scene.u, scene.v
    on = scene.face
    beside = u.abs()
    smile = values["smile"]
    scene.paint(colours.shade, 0.36 * on * blob(beside - 0.165, v + 0.035, 0.10, 0.055))
    rosy = (0.10 + 0.62 * values["blush"]) * blob(beside - 0.235, v - 0.165, 0.085, 0.062)
    scene.paint(colours.rosy, on * rosy)
    scene.paint(colours.rosy, (0.10 + 0.25 * values["blush"]) * on * blob(u, v - 0.14, 0.06, 0.05))
    sunny = ramp(u.sign() * lx, -0.5, 0.5) * (0.30 + 0.25 * smile)
    scene.paint(colours.shine, on * sunny * blob(beside - 0.225, v - 0.105, 0.06, 0.034))
    scene.paint(colours.shine, 0.40 * on * blob(u - 0.12 * lx, v + 0.31, 0.17, 0.085))
    scene.paint(colours.shine, 0.30 * on * blob(u - 0.02 * lx, v - 0.44, 0.06, 0.035))


def freckles(scene: Scene) -> None:
    """Sprinkle cheeks and nose: one dot in each cell of a grid, moved and sized at random."""
    u, v = (0.9 * scene.u + 0.44 * scene.v) / CELL, (0.9 * scene.v - 0.44 * scene.u) / CELL
    column, row = u.floor(), v.floor()
    dice = torch.sin(column * 12.99 + row * 78.23) * 437.58
    dice = dice - dice.floor()
    du, dv = u - column - 0.26 - 0.48 * dice, v - row - 0.26 - 0.48 * (dice * 7.3 % 1)
    dot = (du.square() + dv.square()).sqrt_() * CELL - 0.006 - 0.009 * (dice * 3.7 % 1)
    where = ramp(blob(scene.u.abs() - 0.20, scene.v - 0.125, 0.10, 0.055), 0.25, 0.6)
    where = torch.maximum(where, ramp(blob(scene.u, scene.v - 0.085, 0.07, 0.045), 0.3, 0.6))
    many = ramp(scene.values["freckles"], 0.60, 0.85)
    brown = scene.colours.line * 0.55 + scene.colours.skin * scene.constant(0.42, 0.30, 0.24)
    scene.paint(brown, 0.85 * many * where * scene.edge(dot, 1.3) * scene.face)


def lines(scene: Scene) -> None:
    """Draw what age and smiling leave: forehead, crow's feet, eye bags, folds by the mouth."""
    values, colour = scene.values, scene.colours.line
    u, v = scene.u.abs(), scene.v
    aged = ramp(values["age"], 0.55, 0.95)
    on = scene.face
    fold = segment(u, v, (0.095, 0.165), (0.20 + 0.03 * values["smile"], 0.275))
    scene.paint(colour, (0.55 * aged + 0.20 * values["smile"]) * on * scene.edge(fold - 0.006, 2.5))
    bag = (v - 0.105 + 1.6 * (u - 0.175).square()).abs() - 0.005
    scene.paint(
        colour, 0.45 * aged * on * scene.edge(bag, 2.5) * ramp((u - 0.175).abs(), 0.09, 0.05)
    )
    for end in (-0.045, 0.005, 0.05):
        foot = segment(u, v, (0.292, 0.004 + 0.3 * end), (0.345, end + 0.004))
        scene.paint(colour, 0.50 * aged * on * scene.edge(foot - 0.004, 2))
    for i, height in enumerate((-0.245, -0.295, -0.345)):
        crease = (v - height - 0.25 * u.square()).abs() - 0.005
        ends = ramp(u, 0.19 - 0.025 * i, 0.10 - 0.025 * i)
        scene.paint(colour, 0.50 * aged * on * ends * scene.edge(crease, 2.2))
