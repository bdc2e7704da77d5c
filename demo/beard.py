"""Beard and moustache, drawn before the mouth."""

import torch
from demo.features import Mouth, mouth_place
from demo.scene import Scene
from demo.shapes import ellipse, ramp, segment, union
from torch import Tensor


def beard(scene: Scene) -> None:
    """Draw beard and moustache: short hair first, which then grows past the chin."""
    values = scene.values
    full = ramp(values["beard"], 0.66, 1.0)
    grown = ramp(values["beard"], 0.60, 0.70)
    place = mouth_place(scene)
    tone = _tone(scene, full)
    chin = ellipse(
        scene.x - 0.035 * scene.turn, scene.y - 0.29, scene.half_width * 0.86, 0.235 + 0.07 * full
    )
    below = scene.edge(chin + 0.02 * (1 - full), 2) * ramp(scene.y, 0.20, 0.34)
    where = torch.maximum(scene.face, below * ramp(full, 0.0, 0.3))
    cover = scene.edge(-_bare(scene, place, full), 4) * ramp(scene.y, -0.06, 0.08)
    scene.paint(tone, cover * where * grown * (0.80 + 0.18 * full))
    worn = torch.maximum(grown * (0.45 + 0.5 * full), ramp(values["moustache"], 0.70, 0.78))
    _moustache(scene, place, tone, worn)


def _tone(scene: Scene, full: Tensor) -> Tensor:
    light = 0.84 + 0.24 * scene.lit(scene.x / 0.5, (scene.y - 0.1) / 0.6, 0.3)
    locks = torch.sin(scene.u * 60 + 6 * scene.v) * torch.sin(scene.u * 23 - 19 * scene.v)
    light = light + 0.05 * locks + 0.058 * scene.strands
    # A short beard lets the skin through: without some brown a fair one would look like dust.
    colour = scene.colours.brow.lerp(scene.colours.hair * 0.88, full[:, None])
    return (colour * light[:, None]).clamp_(0, 1)


def _bare(scene: Scene, place: Mouth, full: Tensor) -> Tensor:
    """Distance to what a beard leaves free: cheeks and lips."""
    cheeks = union(
        ellipse(scene.u, scene.v + 0.01 + 0.02 * full, 0.330, 0.225),
        ellipse(scene.u, scene.v - 0.14, 0.105, 0.130),
        0.06,
    )
    drop = scene.v - place.top - 0.010 - 0.045 * place.opened
    lips = ellipse(scene.u, drop, place.half * 1.0, 0.040 + 0.050 * place.opened)
    return torch.minimum(cheeks, lips) - 0.004


def _moustache(scene: Scene, place: Mouth, tone: Tensor, worn: Tensor) -> None:
    u = scene.u.abs()
    wing = segment(u, scene.v, (0.022, 0.236), (place.half * 1.0, 0.268))
    thick = 0.032 - 0.16 * (u - 0.08).clamp(min=0)
    scene.paint(tone, 0.95 * worn * scene.face * scene.edge(wing - thick, 1.8))
