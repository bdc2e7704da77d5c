"""What commands show and keep: progress, sheets, and the line that says what was done."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import click

from nonesuch.cli.options import Decorator
from nonesuch.command import Parsed
from nonesuch.files import save
from nonesuch.images import Picture, encode, format_of
from nonesuch.sheet import Sheet

T = TypeVar("T")


def picture_path(text: str) -> Path:
    """Read the name of a picture's file, so that an unknown format is refused before the work."""
    format_of(Path(text))
    return Path(text)


def sheet_option(default: str) -> Decorator:
    """The option that names a sheet's file."""
    return click.option(
        "--out",
        type=Parsed(picture_path),
        default=default,
        metavar="FILE",
        help="For the sheet: .png, .jpg or .webp.",
    )


def watched(
    items: Iterable[T],
    count: int,
    *,
    there: int = 0,
    shown: Callable[[T | None], str | None] | None = None,
) -> Iterator[T]:
    """Hand items on, `count` in all; draw the progress on a terminal.

    `there` of them are done already and do not come; `shown` says more, at the end of the line.
    """
    if not sys.stderr.isatty():
        yield from items
        return
    with click.progressbar(
        items, length=count, file=sys.stderr, show_pos=True, item_show_func=shown
    ) as bar:
        bar.update(there)
        yield from bar


def keep_sheet(sheet: Sheet, pictures: Iterable[Picture], out: Path) -> None:
    """Write a sheet, marked with the recipes of all its pictures."""
    recipes = [picture.recipe for picture in pictures]
    save(out, encode(sheet.draw(), format_of(out), recipes))


def say(count: int, where: str, start_s: float) -> None:
    """Say what was done since `start_s` of the monotonic clock."""
    what = "1 picture" if count == 1 else f"{count} pictures"
    rate_hz = count / (time.monotonic() - start_s)
    click.echo(f"{what} in {where}, {rate_hz:.1f} images per second", err=True)
