"""`nonesuch morph`: seeds, or codes of W, that melt into each other, as a moving picture."""

import time
from itertools import chain
from pathlib import Path
from typing import get_args

import click

from nonesuch.cli.options import Given, connected, mixed, pictured, sourced
from nonesuch.cli.output import say, watched
from nonesuch.client import Client
from nonesuch.morph import Morph, Through, recipe
from nonesuch.options import Settings
from nonesuch.video import Video, write

_AS = Morph()


@click.command()
@click.argument("name")
@sourced
@click.option("--frames", default=_AS.frames, metavar="N", help="From one keyframe to the next.")
@click.option(
    "--through",
    type=click.Choice(get_args(Through)),
    default=_AS.through,
    help="Arcs in z, straight lines in w, or one smooth curve in w.",
)
@click.option("--ease", is_flag=True, help="Leave and reach each keyframe slowly.")
@click.option("--loop", is_flag=True, help="Go back to the first keyframe at the end.")
@click.option(
    "--noise-loop",
    "noises",
    default=_AS.noises,
    metavar="N",
    help="So many noises in turn, from --noise-seed on and back to it at the end.",
)
@pictured
@mixed
@click.option("--fps", default=30.0, metavar="RATE", help="Frames per second.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default="morph.webp",
    metavar="FILE",
    help="The film: .mp4, .webm, .webp, .gif or .png; without such an end a folder of PNGs.",
)
@connected
def morph(  # noqa: PLR0913 (one parameter an option)
    client: Client,
    name: str,
    source: Given,
    frames: int,
    through: Through,
    ease: bool,
    loop: bool,
    noises: int,
    settings: Settings,
    fps: float,
    out: Path,
) -> None:
    """Film how pictures of model NAME become each other, from seed to seed or code to code.

    Each keyframe is hit exactly; with --loop the last frame equals the first.

    \b
    Examples:
      nonesuch morph portraits --seeds 1,5,9,2 --loop --out faces.mp4
      nonesuch morph portraits --codes faces.npz --through spline --frames 24 --out frames
    """
    start_s = time.monotonic()
    way = Morph(frames=frames, through=through, ease=ease, loop=loop, noises=noises)
    video, count, card = Video(path=out, fps=fps), way.length(len(source)), client.info(name)
    video.check((card.height, card.width, card.channels), count)
    pictures = watched(client.morph(name, source, way, **settings), count)
    first = next(pictures)
    arrays = (picture.array() for picture in chain([first], pictures))
    write(video, arrays, count, recipe(first.recipe, source, way))
    say(count, str(out), start_s)
