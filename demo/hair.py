"""Hair: a silhouette around the head, an opening for the face, locks, shine and strands."""

from dataclasses import dataclass

import torch
from demo.scene import Scene
from demo.shapes import blob, box, ellipse, intersection, ramp, union
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Hair:
    """The hair of N portraits, ready to be drawn in layers."""

    amount: Tensor  # 0 bald … 1, [N, 1, 1]
    long: Tensor  # 0 above the ears … 1 hanging down
    outer: Tensor  # distance to the whole silhouette
    front: Tensor  # distance to what is drawn over the face
    light: Tensor  # brightness
    shine: Tensor  # of the highlight, 0 … 1


def shape(scene: Scene) -> Hair:
    """Work out the hair of each portrait."""
    values = scene.values
    volume = 0.02 + 0.12 * values["hair_volume"]
    curl = ramp(values["curl"], 0.35, 0.95)
    amount = ramp(values["hair_volume"], 0.06, 0.14)
    # Thin hair is cropped hair: it comes as a shadow on the scalp, not as a ghost around it.
    length = values["hair_length"] * ramp(values["hair_volume"], 0.10, 0.24)
    long = ramp(length, 0.20, 0.42)
    outer = _silhouette(scene, volume, length, curl) + 0.06 * (1 - amount)
    opening = _opening(scene, long, curl)
    light, shine = _shading(scene, volume, curl)
    return Hair(
        amount=amount,
        long=long,
        outer=outer,
        front=intersection(outer, -opening, 0.02),
        light=light * (1 - 0.22 * ramp(opening, 0.055, 0.0)),  # the ends lie in shadow
        shine=shine,
    )


def _silhouette(scene: Scene, volume: Tensor, length: Tensor, curl: Tensor) -> Tensor:
    x, y = scene.x + 0.03 * scene.turn, scene.y
    long = ramp(length, 0.20, 0.42)
    bottom = 0.02 + 0.42 * ramp(length, 0.16, 0.52) + 0.50 * ramp(length, 0.45, 1.0)
    width = scene.half_width + 0.015 + (0.45 + 0.3 * long) * volume
    # Short hair closes in on the head towards the ears; long hair falls straight.
    taper = 1 + (1 - long) * (0.06 + 0.5 * volume) * ramp(y, -0.35, 0.04)
    cap = ellipse(x * taper, y + 0.11, width, 0.425 + volume)
    side = width + (0.03 + 0.02 * curl) * long
    reach = bottom.clamp(min=0.0)
    hang = box(x, y - (reach - 0.25) / 2, side, (reach + 0.25) / 2, 0.16)
    whole = torch.lerp(cap, union(cap, hang, 0.15), long)
    tip = 5 * (x.abs() - 0.43).clamp(min=-0.12).square() * long + 0.012 * torch.sin(47 * x)
    whole = intersection(whole, y - bottom + tip, 0.05)
    # Big curls: scallops along the outline, by angle above the ears and by height below them.
    along = torch.where(y < 0, torch.atan2(x.abs(), -y), 1.5708 + 2.2 * y)
    return whole - curl * 0.045 * (torch.sin(along * 4.7).abs() - 0.45)


def _opening(scene: Scene, long: Tensor, curl: Tensor) -> Tensor:
    """Distance to the face's opening: under the hairline, between the sides."""
    values, u = scene.values, scene.u
    fringe = ramp(values["fringe"], 0.25, 0.95)
    part = values.signed("parting")
    top = -0.375 + 0.175 * fringe
    sweep = (1 - 0.75 * fringe) * 0.8 * (u - 0.26 * part).square() + 0.16 * fringe * part * u
    tips = 0.014 * fringe * torch.sin(u * 38) + 0.022 * curl * torch.sin(u * 21 + 1)
    around = u.abs() + 1.2 * (-scene.front).clamp(min=0)
    around = around + 0.010 * long * torch.sin(9 * scene.y + 1) - 0.04 * ramp(scene.y, 0.4, 1.0)
    sides = scene.half_width - 0.030 - 0.030 * long
    return intersection(top + sweep + tips - scene.v, around - sides, 0.15)


def _shading(scene: Scene, volume: Tensor, curl: Tensor) -> tuple[Tensor, Tensor]:
    x, y = scene.x, scene.y + 0.11
    # Constant along a strand: rays from a point above the parting, which curls make wavy.
    flow = (x - 0.20 * scene.values.signed("parting")) / (y + 0.94)
    flow = flow + curl * 0.05 * torch.sin(y * 17 + 2 * x)
    locks = torch.sin(flow * 34)
    light = 0.86 + 0.26 * scene.lit(x / 0.55, y / 0.75, 0.25)
    light = light + (1 - curl) * (0.035 * locks + 0.025 * torch.sin(flow * 79 + 1))
    light = light + curl * 0.12 * _curls(x, y) + 0.058 * scene.strands
    r = ((x / (0.42 + volume)).square() + (y / (0.425 + volume)).square() + 1e-9).sqrt_()
    ring = torch.exp(-((r - 0.76 + 0.02 * locks) / 0.085).square())
    return light, ring * ramp(scene.lit(x / 0.5, y / 0.5, 0.0), 0.0, 0.75) * (1 - 0.7 * curl)


def _curls(x: Tensor, y: Tensor) -> Tensor:
    """Rolling locks, about -1 … 1: bands that meander, as wide as the outline's scallops."""
    bend = x.abs() * 9 + 1.5 * torch.sin(y * 10)
    return torch.sin(bend * 1.3 + 7 * y) * 0.6 + torch.sin(bend - 15 * y) * 0.6


def _paint(scene: Scene, hair: Hair, cover: Tensor, shade: float) -> None:
    colour = scene.colours.hair
    tone = colour * (hair.light * shade)[:, None]
    glow = (colour * 0.50 + 0.08) * (hair.shine * shade * shade)[:, None]
    scene.paint(tone.add_(glow).clamp_(0, 1), cover * hair.amount)


def back(scene: Scene, hair: Hair) -> None:
    """Draw the bun and the hair behind neck and head."""
    _bun(scene, hair)
    _paint(scene, hair, scene.edge(hair.outer), 0.66)


def _bun(scene: Scene, hair: Hair) -> None:
    values, colour = scene.values, scene.colours.hair
    worn = ramp(values["bun"], 0.68, 0.84) * hair.amount
    size = 0.4 + 0.6 * worn  # it grows out of the hair
    x = (scene.x + 0.05 * scene.turn) / size
    y = (scene.y + 0.11 * values["hair_volume"] + 0.31 + 0.24 * worn) / size
    ball = scene.edge(ellipse(x, y, 0.175, 0.140) * size) * ramp(worn, 0.0, 0.5)
    light = 0.80 + 0.22 * scene.lit(x / 0.16, y / 0.13, 0.2) + 0.058 * scene.strands
    light = light + 0.05 * torch.sin(22 * y + 40 * x.square())
    scene.paint((colour * light[:, None]).clamp_(0, 1), ball)
    spot = blob(x - 0.10 * scene.light[0], y + 0.06, 0.06, 0.035)
    scene.paint((colour * 1.25 + 0.08).clamp(0, 1), 0.5 * spot * ball)


def over(scene: Scene, hair: Hair) -> None:
    """Draw the hair in front, with its shadow on the face."""
    cover = scene.edge(hair.front, 1.4)
    shadow = ramp(hair.front, 0.075, 0.0) * scene.head * (1 - cover)
    scene.paint(scene.colours.shade * 0.94, 0.62 * shadow * hair.amount)
    _paint(scene, hair, cover, 1.0)
    values = scene.values
    line = blob(scene.x - 0.20 * values.signed("parting"), scene.y + 0.43, 0.010, 0.07)
    parted = ramp(values["fringe"], 0.5, 0.2) * ramp(values["curl"], 0.7, 0.4)
    scene.paint(scene.colours.hair * 0.5, 0.6 * line * parted * hair.amount * cover)
