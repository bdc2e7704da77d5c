"""Portraits of people who do not exist, drawn by code from named attributes."""

import io
import math
from dataclasses import dataclass
from pathlib import Path

import click
import torch
from demo.attributes import ATTRIBUTES, random
from demo.beard import beard
from demo.body import background, clothes, earrings, ears, neck
from demo.face import freckles, lines, planes, skin
from demo.features import brows, eyes, mouth, nose
from demo.glasses import glasses
from demo.hair import back, over, shape
from demo.scene import Scene, arrange
from PIL import Image
from torch import Tensor
from torch.nn import functional

from nonesuch.errors import InvalidRequest, NonesuchError
from nonesuch.files import save
from nonesuch.images import grid

# Canvas regions (left, top, right, bottom) that these never leave, however the head is turned.
HAIR = (-0.96, -1.0, 0.96, 1.0)
FACE = (-0.74, -0.78, 0.74, 0.82)
MIDDLE = (-0.72, -0.56, 0.72, 0.40)  # eyes, brows, glasses
LOWER = (-0.72, -0.24, 0.72, 0.88)  # mouth and beard


@dataclass(frozen=True, kw_only=True, slots=True)
class Texture:
    """Noise that draws what no attribute says, each [N or 1, 1, r, r], standard normal, any r.

    These are the shapes of a StyleGAN's noise inputs: give the network and the renderer the same
    tensors and the network learns what its noise is for.
    """

    strands: Tensor  # hair and beard; smeared downwards; best at r = the picture's resolution
    skin: Tensor  # best at about half of it
    background: Tensor  # mottling; best at r = 16


def textures(n: int, resolution: int, generator: torch.Generator | None = None) -> Texture:
    """Draw the texture of n portraits, at the resolutions that suit pictures of this one."""
    device = None if generator is None else generator.device

    def noise(size: int) -> Tensor:
        return torch.randn(n, 1, size, size, generator=generator, device=device)

    return Texture(
        strands=noise(resolution), skin=noise(max(resolution // 2, 1)), background=noise(16)
    )


@torch.no_grad()
def render(
    attributes: Tensor, resolution: int, *, texture: Texture | None = None, supersample: int = 1
) -> Tensor:
    """Draw portraits, float32 [N, 3, R, R] in [-1, 1], on the attributes' device.

    attributes is [N, A] in [0, 1], columns as in ATTRIBUTES. The same attributes and texture give
    the same picture, whatever else is in the batch; without texture hair and skin are smooth.
    Edges are antialiased; `supersample` draws that much larger and averages. Batches of about 8
    are fastest on a CPU.

    Raises InvalidRequest for another number of columns, or a size below 1.
    """
    if attributes.ndim != 2 or attributes.shape[1] != len(ATTRIBUTES):
        raise InvalidRequest(
            f"attributes have shape {list(attributes.shape)}, expected [N, {len(ATTRIBUTES)}]"
        )
    if resolution < 1 or supersample < 1:
        raise InvalidRequest(
            f"resolution {resolution} and supersample {supersample} must be 1 or more"
        )
    picture = _draw(attributes, resolution * supersample, texture)
    if supersample > 1:
        picture = functional.avg_pool2d(picture, supersample)
    return picture.mul_(2).sub_(1).clamp_(-1, 1)


def _draw(attributes: Tensor, size: int, texture: Texture | None) -> Tensor:
    none = torch.zeros(1, 1, 1, device=attributes.device)
    strands, grain, mottle = (none, none, none) if texture is None else _textures(texture, size)
    scene = arrange(attributes, size, strands)
    crown = scene.crop(*HAIR)
    hair = shape(crown)
    background(scene, mottle)
    back(crown, hair)
    neck(scene)
    clothes(scene)
    ears(scene, hair.long * hair.amount)
    skin(scene, grain)
    _features(scene)
    over(crown, hair)
    earrings(scene)
    return scene.canvas


def _features(scene: Scene) -> None:
    whole, middle, lower = scene.crop(*FACE), scene.crop(*MIDDLE), scene.crop(*LOWER)
    for draw in (planes, freckles, lines, nose):
        draw(whole)
    for draw in (beard, mouth):
        draw(lower)
    for draw in (eyes, brows, glasses):
        draw(middle)


def _textures(texture: Texture, size: int) -> tuple[Tensor, Tensor, Tensor]:
    strands = _resized(texture.strands, size)
    length = 2 * (size // 24) + 1
    strands = functional.avg_pool2d(
        strands, (length, 1), stride=1, padding=(length // 2, 0), count_include_pad=False
    )
    return (
        (strands * math.sqrt(length)).clamp_(-2.5, 2.5)[:, 0],
        _resized(texture.skin, size)[:, 0],
        _resized(texture.background, size)[:, 0],
    )


def _resized(noise: Tensor, size: int) -> Tensor:
    if noise.shape[-1] == size:
        return noise
    return functional.interpolate(noise, (size, size), mode="bilinear", align_corners=False)


def sheet(seed: int, columns: int, rows: int, resolution: int) -> Image.Image:
    """Draw a contact sheet of random portraits."""
    source = torch.Generator().manual_seed(seed)
    pictures = []
    for _ in range(columns * rows):
        people, texture = random(1, source), textures(1, resolution, source)
        image = render(people, resolution, texture=texture, supersample=2)[0]
        pictures.append(((image + 1) * 127.5).round().byte().permute(1, 2, 0).numpy())
    return Image.fromarray(grid(pictures, columns))


@click.command(context_settings={"show_default": True})
@click.option(
    "--sheet",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    metavar="FILE.png",
    help="Where to write the contact sheet.",
)
@click.option("--seed", default=0, help="Which people are on it.")
@click.option("--columns", default=8, type=click.IntRange(min=1), help="Portraits in a row.")
@click.option("--rows", default=4, type=click.IntRange(min=1), help="Rows of portraits.")
@click.option(
    "--resolution", default=176, type=click.IntRange(min=16), help="Pixels a side of each."
)
def main(path: Path, *, seed: int, columns: int, rows: int, resolution: int) -> None:
    """Draw random portraits, as many as a contact sheet holds.

    \b
    Examples:
      python -m demo.portraits --sheet demo/portraits.png
      python -m demo.portraits --sheet people.png --columns 4 --rows 4 --resolution 256
    """
    file = io.BytesIO()
    sheet(seed, columns, rows, resolution).save(file, "PNG", optimize=True)
    try:
        save(path, file.getvalue())
    except NonesuchError as exc:
        raise click.ClickException(str(exc)) from exc


if __name__ == "__main__":
    main()
