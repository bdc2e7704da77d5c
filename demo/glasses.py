"""Glasses: two rims, a bridge, temples, and lenses that catch the light."""

import torch
from demo.scene import Scene
from demo.shapes import box, ramp


def glasses(scene: Scene) -> None:
    """Draw the glasses; they stand off the face, so they move further when the head turns."""
    values = scene.values
    worn = ramp(values["glasses"], 0.56, 0.70)
    u, v = scene.u - 0.035 * scene.turn, scene.v - 0.012
    roundness = values["glasses_shape"]
    width, height = 0.143 - 0.012 * roundness, 0.098 + 0.030 * roundness
    lens = box(u.abs() - 0.186, v, width, height, 0.030 + 0.096 * roundness)
    glass = scene.edge(lens) * worn
    scene.paint(scene.constant(0.88, 0.95, 1.0), 0.08 * glass)
    x = u.abs() - 0.186
    streak = scene.edge((0.75 * x + 0.66 * v + 0.045).abs() - 0.016, 2)
    thin = scene.edge((0.75 * x + 0.66 * v - 0.005).abs() - 0.006, 2)
    scene.paint(scene.constant(1, 1, 1), glass * (0.24 * streak + 0.16 * thin))
    bridge = torch.maximum((v + 0.030 - 1.2 * u.square()).abs() - 0.012, u.abs() - 0.06)
    temple = torch.maximum((v + 0.035).abs() - 0.013, 0.315 - u.abs())
    frame = torch.minimum(torch.minimum(lens.abs() - 0.0165, bridge), temple)
    frame = frame + 0.012 * (1 - worn)  # they appear as a thin line first
    on = ramp(worn, 0.0, 0.8) * scene.head * ramp(scene.front, -0.05, 0.0)
    scene.paint(scene.colours.line, 0.35 * on * scene.edge(frame - 0.010, 4))
    scene.paint(scene.colours.frame, on * scene.edge(frame, 1.1))
    bright = (scene.colours.frame * 1.2 + 0.22).clamp(max=1)
    scene.paint(
        bright, 0.6 * on * scene.edge((lens - 0.003).abs() - 0.004, 1.5) * ramp(v, -0.02, -0.09)
    )
