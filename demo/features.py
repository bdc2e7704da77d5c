"""Eyes, brows, nose and mouth, drawn in the face's frame (see `scene`)."""

from dataclasses import dataclass

import torch
from demo.scene import Scene
from demo.shapes import blob, ellipse, ramp
from torch import Tensor

EYE = 0.182  # distance of an eye's middle from the face's


@dataclass(frozen=True, slots=True)
class _Lids:
    """Coordinates about the middle of either eye, and where its lids are."""

    t: Tensor  # across: -1 inner, 1 outer corner
    x: Tensor  # towards the outer corner
    y: Tensor  # from the line between the corners
    upper: Tensor  # height of the upper lid above that line
    lower: Tensor  # and of the lower one below it
    inside: Tensor  # coverage of the opening


def eyes(scene: Scene) -> None:
    """Draw both eyes at once, mirrored in u but for gaze and highlights."""
    on = scene.face
    lids = _lids(scene, on)
    _eyeball(scene, lids)
    _rims(scene, lids, on)


def _lids(scene: Scene, on: Tensor) -> _Lids:
    values = scene.values
    size = values.signed("eye_size")
    half, height = 0.102 + 0.012 * size, 0.067 + 0.018 * size
    x = scene.u.abs() - EYE
    y = scene.v + 0.22 * values.signed("eye_tilt") * x
    t = x / half
    bow = (1 - t.square()).clamp_(min=0)
    bow = 0.5 * bow + 0.5 * bow.sqrt()
    upper = height * bow
    lower = (0.80 - 0.30 * ramp(values["smile"], 0.4, 1.0)) * height * bow
    inside = scene.edge(torch.maximum(-(y + upper), y - lower)) * ramp(t.abs(), 1.02, 0.92) * on
    return _Lids(t, x, y, upper, lower, inside)


def _eyeball(scene: Scene, lids: _Lids) -> None:
    colours, values, inside = scene.colours, scene.values, lids.inside
    side = scene.u.sign()
    white = 0.74 + 0.26 * ramp(lids.y + lids.upper, 0.0, 0.040)
    scene.paint(scene.constant(0.985, 0.975, 0.965) * white[:, None], inside)
    radius = 0.056 + 0.006 * values.signed("eye_size")
    x, y = side * lids.x - 0.030 * values.signed("gaze"), lids.y + 0.002
    r = (x.square() + y.square() + 1e-9).sqrt_()
    iris = inside * scene.edge(r - radius)
    glow = 0.72 + 0.70 * ramp(y, -0.035, 0.045)
    scene.paint((colours.iris * glow[:, None]).clamp(max=1), iris)
    scene.paint(
        colours.iris * 0.32, 0.75 * inside * scene.edge((r - radius + 0.004).abs() - 0.006, 1.5)
    )
    scene.paint(scene.constant(0.035, 0.03, 0.035), inside * scene.edge(r - radius * 0.50))
    lx = 0.022 * scene.light[0] / 0.6
    glint = ((x - lx).square() + (y + 0.022).square() + 1e-9).sqrt_() - 0.0165
    spark = ((x + lx).square() + (y - 0.024).square() + 1e-9).sqrt_() - 0.008
    scene.paint(scene.constant(1, 1, 1), inside * scene.edge(glint, 1.2))
    scene.paint(scene.constant(1, 1, 1), 0.55 * inside * scene.edge(spark, 1.5))


def _rims(scene: Scene, lids: _Lids, on: Tensor) -> None:
    """Draw the lash line, which grows a wing, the lid's crease and the lower lid."""
    colours, long = scene.colours, scene.values["lashes"]
    t, y = lids.t, lids.y
    crease = (y + lids.upper + 0.030).abs() - 0.004
    scene.paint(colours.line, 0.50 * on * scene.edge(crease, 2.4) * ramp(t.abs(), 1.05, 0.6))
    scene.paint(
        colours.line,
        0.55 * on * scene.edge((y - lids.lower).abs() - 0.004, 2) * ramp(t.abs(), 1.05, 0.7),
    )
    thick = (0.010 + 0.009 * long) * (0.85 + 0.35 * t.clamp(-1, 1))
    wing = 0.05 * (t - 0.85).clamp(min=0) * (0.3 + long)
    lash = torch.maximum(
        (y + lids.upper + 0.4 * thick + wing).abs() - thick, t.abs() * 0.1 - 0.108 - 0.012 * long
    )
    scene.paint(scene.constant(0.11, 0.08, 0.085), 0.95 * on * scene.edge(lash, 1.2))


def brows(scene: Scene) -> None:
    """Draw both brows: level inside, falling outwards, so that nobody looks angry."""
    values = scene.values
    x = scene.u.abs() - 0.190
    t = x / 0.120
    middle = -0.150 - 0.030 * values["brow_height"] + 0.013 * t + 0.021 * t * t
    thick = (0.010 + 0.018 * values["brow_weight"]) * (1.0 - 0.55 * ramp(t, 0.0, 1.1))
    shape = torch.maximum((scene.v - middle).abs() - thick, (t.abs() - 1) * 0.12)
    scene.paint(scene.colours.brow, 0.93 * scene.face * scene.edge(shape, 1.6))


def nose(scene: Scene) -> None:
    """Draw the nose, which stands out: it moves further than the face when the head turns."""
    colours, size = scene.colours, scene.values.signed("nose")
    lx, on = scene.light[0], scene.face
    u, v = scene.u - 0.075 * scene.turn, scene.v
    tip, wide = 0.150 + 0.024 * size, 0.063 + 0.018 * size
    bridge = ramp(v, -0.10, 0.05) * ramp(v - tip, 0.02, -0.02)
    scene.paint(colours.shade, 0.50 * on * bridge * blob(u + 0.055 * lx / 0.6, v * 0, 0.022, 1.0))
    scene.paint(
        colours.shade, 0.75 * on * scene.edge(ellipse(u, v - tip - 0.020, wide * 1.05, 0.030), 5)
    )
    tone = colours.skin.lerp(colours.rosy, 0.22)
    scene.paint(tone, 0.85 * on * scene.edge(ellipse(u, v - tip + 0.008, wide * 0.92, 0.036), 3.5))
    scene.paint(colours.shine, 0.85 * on * blob(u - 0.02 * lx, v - tip + 0.022, 0.020, 0.018))
    scene.paint(colours.shine, 0.40 * on * blob(u - 0.012 * lx, v - 0.03, 0.014, 0.065))
    nostril = ellipse(u.abs() - wide * 0.50, v - tip - 0.022, 0.017, 0.009)
    scene.paint(colours.line, 0.85 * on * scene.edge(nostril, 1.6))


@dataclass(frozen=True, slots=True)
class Mouth:
    """Where the mouth is; all but `half` are planes or [N, 1, 1]."""

    half: Tensor  # half its width
    t: Tensor  # across: -1 … 1 from corner to corner
    top: Tensor  # v of the upper edge of the opening
    gap: Tensor  # height of the opening
    opened: Tensor  # 0 closed … 1


def mouth_place(scene: Scene) -> Mouth:
    """Find the mouth; the beard leaves room for it."""
    values = scene.values
    smile = 1.1 * values["smile"] - 0.1
    opened = ramp(values["mouth_open"], 0.40, 0.95)
    half = 0.146 + 0.060 * smile.clamp(min=0) - 0.025 * opened * (1 - values["smile"])
    t = scene.u / half
    top = 0.292 + 0.096 * smile * (0.50 - t.square().clamp(max=1.3)) - 0.012 * opened
    gap = opened * (0.060 + 0.058 * values["smile"]) * (1 - t.square()).clamp(min=0)
    return Mouth(half, t, top, gap, opened)


def mouth(scene: Scene) -> None:
    """Draw lips, and behind them teeth and tongue where the mouth is open."""
    place, colours, values = mouth_place(scene), scene.colours, scene.values
    on = scene.face
    t, y, full = place.t, scene.v - place.top, values["lips"]
    bow = (1 - t.square()).clamp(min=0)
    within = ramp(t.abs(), 1.04, 0.94) * on
    above = (0.016 + 0.024 * full) * bow.sqrt() * (1 - 0.30 * blob(t, t * 0, 0.16, 1.0))
    below = (0.024 + 0.030 * full) * bow + place.gap
    scene.paint(colours.shade, 0.5 * on * blob(scene.u, y - 0.075 - place.gap, 0.075, 0.018))
    scene.paint(colours.lip * 0.90, within * scene.edge(torch.maximum(-above - y, y), 1.2))
    scene.paint(colours.lip, within * scene.edge(torch.maximum(-y, y - below), 1.2))
    gloss = blob(scene.u - 0.03 * scene.light[0], y - 0.5 * (place.gap + below), 0.055, 0.010)
    scene.paint(colours.lip.lerp(scene.constant(1, 0.95, 0.93), 0.45), 0.6 * within * gloss)
    _inside(scene, place, y, within)
    line = y.abs() - 0.0075 - 0.003 * bow
    scene.paint(colours.lip * 0.36, within * (1 - 0.5 * place.opened) * scene.edge(line, 1.4))
    corner = ((scene.u.abs() - place.half).square() + (y + 0 * t).square() + 1e-9).sqrt_() - 0.011
    scene.paint(colours.line, 0.55 * on * scene.edge(corner, 2.5))


def _inside(scene: Scene, place: Mouth, y: Tensor, within: Tensor) -> None:
    gap = place.gap
    show = within * ramp(place.opened, 0.02, 0.15)
    inner = torch.maximum(-y, y - gap)
    scene.paint(scene.constant(0.33, 0.08, 0.10), show * scene.edge(inner))
    tongue = ellipse(scene.u, y - gap - 0.015, place.half * 0.55, 0.045)
    scene.paint(
        scene.constant(0.82, 0.40, 0.42), 0.9 * show * scene.edge(torch.maximum(tongue, inner), 1.5)
    )
    teeth = torch.maximum(-y, y - torch.minimum(gap - 0.008, 0.045 * (1 - 0.5 * place.t.square())))
    scene.paint(scene.constant(0.98, 0.97, 0.94), show * scene.edge(teeth, 1.1))
