"""What a portrait is made of: named attributes, each uniform in [0, 1] and independent.

An attribute's group is that of the StyleGAN layers that are to carry it: coarse (pose, shape of
head and hair, beard), middle (features and expression), fine (colour and light). What a person
has or has not (glasses, beard, freckles, …) grows over a short ramp in the middle of its range,
never at a hard step, so a network can learn it by regression. A picture's labels are its row.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Group = Literal["coarse", "middle", "fine"]


@dataclass(frozen=True, slots=True)
class Attribute:
    """One number of a portrait, and what its two ends look like."""

    name: str
    group: Group
    low: str  # what 0 means
    high: str  # what 1 means


ATTRIBUTES: tuple[Attribute, ...] = (
    Attribute("yaw", "coarse", "turned to the picture's left", "to its right"),
    Attribute("pitch", "coarse", "looking up", "looking down"),
    Attribute("roll", "coarse", "head leans to the picture's left", "to its right"),
    Attribute("zoom", "coarse", "further away", "nearer"),
    Attribute("head_width", "coarse", "narrow", "wide"),
    Attribute("jaw", "coarse", "pointed chin", "square jaw"),
    Attribute("hair_volume", "coarse", "bald (below 0.06), cropped", "full"),
    Attribute("hair_length", "coarse", "above the ears", "over the shoulders"),
    Attribute("fringe", "coarse", "forehead free", "down to the brows"),
    Attribute("parting", "coarse", "on the picture's left", "on its right"),
    Attribute("curl", "coarse", "straight (below 0.35)", "big curls"),
    Attribute("bun", "coarse", "none (below 0.68)", "a bun on top (above 0.84)"),
    Attribute("beard", "coarse", "none (below 0.6)", "full"),
    Attribute("moustache", "coarse", "none (below 0.7)", "full"),
    Attribute("shoulders", "coarse", "narrow", "broad"),
    Attribute("smile", "middle", "serious", "beaming"),
    Attribute("mouth_open", "middle", "closed (below 0.4)", "wide open"),
    Attribute("lips", "middle", "thin", "full"),
    Attribute("eye_size", "middle", "small", "large"),
    Attribute("eye_tilt", "middle", "outer corners low", "outer corners high"),
    Attribute("gaze", "middle", "to the picture's left", "to its right"),
    Attribute("lashes", "middle", "plain", "long and dark"),
    Attribute("brow_weight", "middle", "thin", "bushy"),
    Attribute("brow_height", "middle", "low", "raised"),
    Attribute("nose", "middle", "small", "large"),
    Attribute("glasses", "middle", "none (below 0.56)", "glasses (above 0.7)"),
    Attribute("glasses_shape", "middle", "rectangular", "round"),
    Attribute("age", "middle", "young", "lines (from 0.55), grey hair (from 0.7)"),
    Attribute("freckles", "middle", "none (below 0.6)", "many"),
    Attribute("earrings", "middle", "none (below 0.64)", "gold rings (above 0.72)"),
    Attribute("collar", "middle", "high round neck", "deep V"),
    Attribute("skin", "fine", "very light", "very dark"),
    Attribute("hair_colour", "fine", "black, through brown and red", "platinum blond"),
    Attribute("eye_colour", "fine", "dark brown, through green", "light blue"),
    Attribute("lip_colour", "fine", "natural", "lipstick"),
    Attribute("blush", "fine", "pale", "rosy cheeks"),
    Attribute("clothes_hue", "fine", "navy, through green and yellow", "violet"),
    Attribute("clothes_lightness", "fine", "dark", "pale"),
    Attribute("background_hue", "fine", "sky blue, through green and rose", "lavender"),
    Attribute("background_lightness", "fine", "deep", "pale"),
    Attribute("light", "fine", "from the picture's left", "from its right"),
    Attribute("glasses_colour", "fine", "black, brown, red", "blue, gold"),
)

INDEX: dict[str, int] = {attribute.name: i for i, attribute in enumerate(ATTRIBUTES)}


def columns(group: Group) -> list[int]:
    """Where the attributes of a group stand in a row."""
    return [i for i, attribute in enumerate(ATTRIBUTES) if attribute.group == group]


def random(n: int, generator: torch.Generator | None = None) -> Tensor:
    """Draw n rows of attributes, [n, A], uniform and independent; on the generator's device."""
    device = None if generator is None else generator.device
    return torch.rand(n, len(ATTRIBUTES), generator=generator, device=device)


class Values:
    """The attributes of N portraits by name, each [N, 1, 1], to be mixed with planes [N, H, W]."""

    def __init__(self, attributes: Tensor) -> None:
        self._columns = attributes.float().t()[:, :, None, None]

    def __getitem__(self, name: str) -> Tensor:
        return self._columns[INDEX[name]]

    def signed(self, name: str) -> Tensor:
        """The same, stretched to [-1, 1]."""
        return self[name] * 2 - 1

    def row(self, name: str) -> Tensor:
        """The same as [N], for choosing colours."""
        return self[name][:, 0, 0]
