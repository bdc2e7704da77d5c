"""What is behind and below the face: background, neck, shoulders, clothes, ears."""

import torch
from demo.scene import Scene
from demo.shapes import blob, ellipse, ramp, segment, union
from torch import Tensor

RISE = 0.06  # how far the shoulders are drawn up
EAR = 0.035  # height of the ears' middle in the head's frame


def background(scene: Scene, grain: Tensor) -> None:
    """Fill the canvas: a soft gradient, lighter on the light's side; `grain` makes it mottled."""
    lx = scene.light[0]
    colour = scene.colours.background
    away = ramp(scene.cy * 0.55 - scene.cx * lx * 0.9, -1.3, 1.3)
    glow = blob(scene.cx - 0.35 * lx, scene.cy + 0.25, 0.75, 0.75)
    shade = 1.04 - 0.16 * away + 0.014 * grain
    scene.canvas.copy_(colour * shade[:, None])
    scene.paint(scene.constant(1, 1, 1), 0.20 * glow)


def neck(scene: Scene) -> None:
    """Draw neck and chest, dark under the chin."""
    colours = scene.colours
    part = scene.crop(-0.75, 0.1, 0.75, 1)
    y = part.by + RISE
    x = part.bx - 0.015 * part.values.signed("yaw")
    half = 0.150 + 0.02 * part.values.signed("shoulders")
    column = torch.maximum(x.abs() - half - 0.9 * (y - 0.60).clamp(min=0), 0.1 - y)
    light = (0.60 + 0.45 * part.lit(x / 0.22, 0.0, 0.35)).clamp(0, 1)
    light = light * (0.15 + 0.85 * ramp(y + 0.35 * x.square(), 0.50, 0.70))
    tone = colours.shade.lerp(colours.skin, light[:, None])
    part.paint(tone, part.edge(column))
    for side in (-1, 1):
        bone = segment(part.bx, y, (side * 0.045, 0.80), (side * 0.22, 0.745))
        part.paint(colours.shade, 0.55 * part.edge(bone - 0.008, 5))


def clothes(scene: Scene) -> None:
    """Draw the shoulders in a jersey whose neckline runs from high and round to a deep V."""
    part = scene.crop(-1, 0.35, 1, 1)
    values, colour = part.values, part.colours.clothes
    y = part.by + RISE
    width = 0.66 + 0.16 * values.signed("shoulders")
    body = ellipse(part.bx, y - 1.16, width, 0.50)
    body = union(body, ellipse(part.bx, y - 1.0, width * 0.62, 0.40), 0.12)
    opening = _neckline(part)
    light = 0.86 + 0.26 * part.lit(part.bx / 0.8, (y - 1.0) / 0.6, 0.3)
    fold = blob(part.bx.abs() - 0.36, y - 1.02 - 0.4 * (part.bx.abs() - 0.36), 0.03, 0.14)
    cloth = part.edge(torch.maximum(body, -opening))
    part.paint((colour * (light - 0.10 * fold)[:, None]).clamp(0, 1), cloth)
    seam = part.edge((opening - 0.022).abs() - 0.022)
    part.paint(colour * (0.86 * light)[:, None], 0.9 * seam * part.edge(body))
    part.paint(colour * 0.55, 0.8 * part.edge((opening - 0.046).abs() - 0.003, 1.4) * cloth)
    under = part.edge(opening + 0.01, 6) * (1 - cloth) * part.edge(body)
    part.paint(part.colours.shade, 0.45 * under * ramp(opening, -0.08, 0.0))


def _neckline(part: Scene) -> Tensor:
    """Distance to the opening of the collar, negative where skin shows."""
    deep = part.values["collar"]
    sharp = 0.16 - 0.15 * ramp(deep, 0.25, 0.7)  # radius of the V's tip
    across = (part.bx.square() + sharp * sharp).sqrt() - sharp
    depth = 0.66 + 0.24 * deep
    steep = 0.75 + 0.45 * deep
    return (part.by + RISE - depth + steep * across) / (1 + steep * steep).sqrt()


def ears(scene: Scene, cover: Tensor) -> None:
    """Draw both ears before the head; `cover`, [N, 1, 1], is how much hair hides them."""
    colours, light = scene.colours, scene.light[0]
    part = scene.crop(-0.72, -0.35, 0.72, 0.35)
    for side in (-1, 1):
        x, y = ear(part, side)
        shape = union(
            ellipse(x, y + 0.02, 0.068, 0.092),
            ellipse(x + side * 0.014, y - 0.07, 0.044, 0.055),
            0.05,
        )
        shape = shape + 0.09 * cover
        tone = colours.shade.lerp(colours.skin, (0.62 + 0.38 * side * light)[:, None].clamp(0, 1))
        part.paint(tone, part.edge(shape))
        inner = ellipse(x + side * 0.012, y + 0.01, 0.036, 0.058) + 0.09 * cover
        part.paint(colours.shade * 0.92, 0.75 * part.edge(inner, 3))
        rim = segment(x, y, (side * 0.02, -0.03), (side * 0.005, 0.045)) - 0.010
        part.paint(tone, 0.7 * part.edge(rim + 0.09 * cover, 2))


def ear(part: Scene, side: int) -> tuple[Tensor, Tensor]:
    """Coordinates about the middle of an ear (side is -1 or 1), which sits far back."""
    cos = (1 - part.turn.square()).sqrt()
    middle = side * (part.half_width + 0.012) * cos - 0.10 * part.turn
    return part.x - middle, part.y - EAR


def earrings(scene: Scene) -> None:
    """Hang a gold ring from each ear that the head's turn leaves in sight."""
    worn = ramp(scene.values["earrings"], 0.64, 0.72)
    part = scene.crop(-0.75, 0.0, 0.75, 0.6)
    gold, glint = part.constant(0.93, 0.72, 0.26), part.constant(1.0, 0.95, 0.75)
    for side in (-1, 1):
        x, y = ear(part, side)
        size = 0.2 + 0.8 * worn * ramp(-side * part.turn, -0.36, -0.22)
        seen = ramp(size, 0.2, 0.4)
        x, y = (x - side * 0.012) / size, (y - 0.12) / size
        ring = (ellipse(x, y - 0.06, 0.042, 0.050)).abs() - 0.013
        part.paint(
            part.constant(0.45, 0.30, 0.10), 0.5 * seen * part.edge((ring - 0.006) * size, 2)
        )
        part.paint(gold, seen * part.edge(ring * size))
        part.paint(glint, seen * part.edge(ellipse(x + 0.024, y - 0.03, 0.013, 0.016) * size, 1.5))
