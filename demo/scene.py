"""Where things are: a canvas that is painted in place, and the coordinates of body, head and face.

Three frames of reference, all with y downwards and the eyes' line at v = 0:

    canvas   the picture, -1 … 1
    body     bx, by: the canvas, zoomed; neck, shoulders, clothes
    head     x, y: the body's, leaning by roll about the neck; silhouettes of head and hair
    face     u, v: each pixel is lifted to an ellipsoid and turned back by yaw and pitch, so what
             is drawn at fixed (u, v) moves and narrows as on a real head that turns
"""

import dataclasses
from dataclasses import dataclass

import torch
from demo.attributes import Values
from demo.palette import Colours, choose, constant
from demo.shapes import ellipse, intersection, ramp, union
from torch import Tensor

NECK = 0.48  # the head turns about this height of the body's frame
RAISE = 0.07  # how far the eyes are above the middle of the canvas


@dataclass(frozen=True, slots=True)
class Scene:
    """N portraits in the making; planes are [N, h, w], or 1 where they do not vary."""

    values: Values
    colours: Colours
    canvas: Tensor  # [N, 3, h, w] in [0, 1]
    pixel: float  # the side of a pixel
    cx: Tensor
    cy: Tensor
    bx: Tensor
    by: Tensor
    x: Tensor
    y: Tensor
    u: Tensor
    v: Tensor
    front: Tensor  # depth in front of the head's middle; negative on its back
    normal: tuple[Tensor, Tensor, Tensor]  # of the ellipsoid, towards right, bottom, viewer
    strands: Tensor  # texture of hair and beard, about standard normal; 0 = none
    turn: Tensor  # sine of yaw, [N, 1, 1]
    half_width: Tensor  # of the head, [N, 1, 1]
    head: Tensor  # coverage of the head
    face: Tensor  # the same without the head's back: where features may be drawn
    light: tuple[Tensor, Tensor, float]  # towards the light, of about unit length

    def crop(self, left: float, top: float, right: float, bottom: float) -> "Scene":
        """The part of the scene between these canvas coordinates; painting goes to the whole."""
        height, width = self.canvas.shape[-2:]
        rows, cols = _span(top, bottom, height), _span(left, right, width)

        def cut(plane: Tensor) -> Tensor:
            plane = plane[..., rows, :] if plane.shape[-2] > 1 else plane
            return plane[..., cols] if plane.shape[-1] > 1 else plane

        nx, ny, nz = self.normal
        return dataclasses.replace(
            self,
            canvas=cut(self.canvas),
            cx=cut(self.cx),
            cy=cut(self.cy),
            bx=cut(self.bx),
            by=cut(self.by),
            x=cut(self.x),
            y=cut(self.y),
            u=cut(self.u),
            v=cut(self.v),
            front=cut(self.front),
            normal=(cut(nx), cut(ny), cut(nz)),
            strands=cut(self.strands),
            head=cut(self.head),
            face=cut(self.face),
        )

    def edge(self, distance: Tensor, soft: float = 1.0) -> Tensor:
        """Coverage of a shape, 1 inside, over an edge `soft` pixels wide."""
        return (0.5 - distance * (1 / (self.pixel * soft))).clamp_(0, 1)

    def paint(self, colour: Tensor, cover: Tensor) -> None:
        """Lay a colour, [N or 1, 3, h or 1, w or 1], over the canvas by `cover`, 0 … 1."""
        self.canvas.lerp_(colour, cover[:, None])

    def constant(self, red: float, green: float, blue: float) -> Tensor:
        """A colour that is the same in all portraits."""
        return constant((red, green, blue), self.canvas.device)

    def lit(self, x: Tensor | float, y: Tensor | float, z: Tensor | float) -> Tensor:
        """How much a surface with this normal faces the light, -1 … 1."""
        lx, ly, lz = self.light
        return lx * x + ly * y + z * lz


def _span(start: float, stop: float, size: int) -> slice:
    first, last = int((start + 1) / 2 * size), int((stop + 1) / 2 * size) + 1
    return slice(max(first, 0), min(last, size))


def arrange(attributes: Tensor, size: int, strands: Tensor) -> Scene:
    """Lay out N empty portraits of size by size pixels; `strands` is [N or 1, h or 1, w or 1]."""
    values = Values(attributes)
    line = (torch.arange(size, device=attributes.device) + 0.5) / size * 2 - 1
    cx, cy = line[None, None, :], line[None, :, None]
    zoom = 1.16 + 0.13 * values["zoom"]
    bx, by = cx / zoom, (cy - 0.045) / zoom
    x, y = _lean(values, bx, by)
    half_width = 0.395 + 0.04 * values.signed("head_width")
    normal, u, v, front = _turn(values, half_width, x, y)
    turn = torch.sin(0.45 * values.signed("yaw"))
    head = (0.5 - _head(values, half_width, turn, x, y) * (size / 2)).clamp_(0, 1)
    return Scene(
        values=values,
        colours=choose(values),
        canvas=torch.empty(len(attributes), 3, size, size, device=attributes.device),
        pixel=2 / size,
        cx=cx, cy=cy, bx=bx, by=by, x=x, y=y, u=u, v=v,
        front=front,
        normal=normal,
        strands=strands,
        turn=turn,
        half_width=half_width,
        head=head,
        face=head * ramp(front, -0.02, 0.06),
        light=_light(values),
    )  # fmt: skip


def _lean(values: Values, bx: Tensor, by: Tensor) -> tuple[Tensor, Tensor]:
    roll = 0.09 * values.signed("roll")
    cos, sin = torch.cos(roll), torch.sin(roll)
    x = cos * bx + sin * (by - NECK) - 0.03 * values.signed("yaw")
    y = cos * (by - NECK) - sin * bx + NECK + RAISE
    return x, y


def _turn(
    values: Values, half_width: Tensor, x: Tensor, y: Tensor
) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor, Tensor, Tensor]:
    """Lift the head's pixels to an ellipsoid and turn them: its normal, u, v and depth."""
    yaw, pitch = 0.45 * values.signed("yaw"), 0.15 * values.signed("pitch")
    nx, ny = x / (half_width * 1.06), (y + 0.02) / 0.58
    nz = (1 - nx * nx - ny * ny).clamp_(min=0).sqrt_()
    z = nz * half_width * 1.1
    u = x * torch.cos(yaw) - z * torch.sin(yaw)
    depth = x * torch.sin(yaw) + z * torch.cos(yaw)
    v = y * torch.cos(pitch) - depth * torch.sin(pitch)
    front = y * torch.sin(pitch) + depth * torch.cos(pitch)
    return (nx, ny, nz * 0.85 + 0.12), u, v, front


def _light(values: Values) -> tuple[Tensor, Tensor, float]:
    side = 0.85 * values.signed("light")
    norm = (side * side + 0.45**2 + 0.75**2).rsqrt()
    return side * norm, -0.45 * norm, 0.62


def _head(values: Values, width: Tensor, turn: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Distance to the head's silhouette: a skull and a jaw, joined softly."""
    skull = ellipse(x, y + 0.10, width, 0.42)
    jaw_width = width * (0.80 + 0.10 * values.signed("jaw"))
    jaw = ellipse(x - 0.03 * turn, y - 0.155, jaw_width, 0.335)
    square = intersection(jaw, x.abs() - jaw_width * 0.93, 0.1)
    return union(skull, torch.lerp(jaw, square, values["jaw"]), 0.18)
