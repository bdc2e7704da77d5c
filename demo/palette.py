"""The colours of a portrait, from its attributes of the fine group (and grey hair from age)."""

from dataclasses import dataclass
from functools import cache

import torch
from demo.attributes import Values
from demo.shapes import ramp
from torch import Tensor

Stops = tuple[tuple[int, int, int], ...]  # sRGB, 0 … 255

# Ten skin tones in nearly even steps of luminance: a uniform attribute spreads them evenly.
SKIN: Stops = (
    (255, 226, 206), (247, 211, 184), (236, 192, 159), (221, 170, 133), (202, 146, 106),
    (178, 120, 82), (151, 96, 64), (123, 76, 52), (97, 59, 43), (75, 46, 36),
)  # fmt: skip
HAIR: Stops = (
    (30, 26, 29), (50, 35, 30), (76, 50, 37), (105, 69, 46), (134, 86, 54),
    (152, 78, 44), (192, 104, 52), (212, 152, 82), (230, 195, 130), (240, 222, 184),
)  # fmt: skip
IRIS: Stops = (
    (70, 44, 30), (110, 70, 38), (146, 110, 54), (104, 132, 66),
    (62, 136, 112), (64, 132, 182), (126, 172, 208),
)  # fmt: skip
CLOTHES: Stops = (
    (44, 62, 112), (56, 108, 178), (44, 146, 154), (84, 156, 104), (228, 182, 70),
    (230, 130, 72), (208, 78, 82), (170, 68, 124), (112, 82, 166),
)  # fmt: skip
BACKGROUND: Stops = (
    (160, 202, 232), (154, 214, 210), (180, 216, 172), (240, 224, 168),
    (246, 200, 162), (242, 178, 178), (216, 182, 224), (180, 182, 232),
)  # fmt: skip
FRAME: Stops = ((30, 28, 32), (98, 58, 38), (164, 42, 50), (36, 72, 140), (196, 156, 78))
LIPSTICK: Stops = ((196, 104, 98), (200, 84, 92), (196, 44, 62))


@dataclass(frozen=True, slots=True)
class Colours:
    """The colours of N portraits, each [N, 3, 1, 1] in [0, 1]."""

    skin: Tensor
    shade: Tensor  # skin away from the light
    shine: Tensor  # skin towards it
    line: Tensor  # thin lines on the skin: lids, wrinkles, nostrils
    rosy: Tensor  # cheeks and nose
    lip: Tensor
    hair: Tensor
    brow: Tensor
    iris: Tensor
    clothes: Tensor
    background: Tensor
    frame: Tensor  # of the glasses


def choose(values: Values) -> Colours:
    """Choose the colours of each portrait."""
    skin = _pick(SKIN, values.row("skin"))
    dark = 1 - _luminance(skin)
    hair = _greyed(_pick(HAIR, values.row("hair_colour")), values)
    return Colours(
        skin=skin,
        # Shadows are warm; on dark skin they are lifted and the lights too, or features drown.
        shade=skin * (_rgb(skin, 0.71, 0.55, 0.53) + 0.12 * dark),
        shine=(skin * 1.04 + 0.05 + 0.10 * dark).clamp(max=1),
        line=skin * (_rgb(skin, 0.52, 0.36, 0.34) - 0.10 * dark),
        rosy=skin * (_rgb(skin, 1.03, 0.66, 0.64) + _rgb(skin, 0.10, 0.0, 0.02) * dark),
        lip=_lip(skin, values),
        hair=hair,
        brow=hair * 0.55 + _rgb(skin, 0.075, 0.05, 0.045),
        iris=_pick(IRIS, values.row("eye_colour")),
        clothes=_lightened(_pick(CLOTHES, values.row("clothes_hue")), values["clothes_lightness"]),
        background=_backdrop(values),
        frame=_pick(FRAME, values.row("glasses_colour")),
    )


def _greyed(hair: Tensor, values: Values) -> Tensor:
    grey = _rgb(hair, 0.80, 0.80, 0.82)
    return hair.lerp(grey, 0.85 * ramp(values["age"], 0.70, 0.98)[:, None])


def _lip(skin: Tensor, values: Values) -> Tensor:
    luminance = _luminance(skin)
    natural = skin * _rgb(skin, 0.86, 0.58, 0.58) + _rgb(skin, 0.08, 0.01, 0.03)
    lipstick = _pick(LIPSTICK, values.row("lip_colour")) * (0.66 + 0.34 * luminance)
    return natural.lerp(lipstick, 0.15 + 0.65 * ramp(values["lip_colour"], 0.25, 0.9)[:, None])


def _lightened(colour: Tensor, lightness: Tensor) -> Tensor:
    t = lightness[:, None]
    return (colour * (0.55 + 0.6 * t)).lerp(_rgb(colour, 0.97, 0.95, 0.93), 0.55 * t * t)


def _backdrop(values: Values) -> Tensor:
    colour = _pick(BACKGROUND, values.row("background_hue"))
    t = values["background_lightness"][:, None]
    deep = colour * colour * 0.62 + 0.02
    return deep.lerp(colour, ramp(t, 0.0, 0.7)).lerp(_rgb(colour, 0.98, 0.97, 0.96), 0.5 * t * t)


def _pick(stops: Stops, t: Tensor) -> Tensor:
    """Look up t, [N] in [0, 1], on a line through evenly spaced stops."""
    table = _table(stops, t.device)
    place = t.clamp(0, 1) * (len(stops) - 1)
    below = place.floor().clamp_(max=len(stops) - 2).long()
    colour = torch.lerp(table[below], table[below + 1], (place - below)[:, None])
    return colour[:, :, None, None]


@cache
def _table(stops: Stops, device: torch.device) -> Tensor:
    return torch.tensor(stops, device=device, dtype=torch.float32) / 255


def _luminance(colour: Tensor) -> Tensor:
    return (colour * _rgb(colour, 0.2126, 0.7152, 0.0722)).sum(1, keepdim=True)


def _rgb(like: Tensor, *rgb: float) -> Tensor:
    return constant(rgb, like.device)


@cache
def constant(rgb: tuple[float, ...], device: torch.device) -> Tensor:
    """A colour that is the same in all portraits, [1, 3, 1, 1]."""
    return torch.tensor(rgb, device=device, dtype=torch.float32).reshape(1, 3, 1, 1)
