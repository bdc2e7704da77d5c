"""Sheets of a shard's pictures, written as they fill: contact sheets, and grids of whole ones."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from nonesuch.bulk import contact, disk
from nonesuch.bulk.place import Place
from nonesuch.bulk.plan import Plan
from nonesuch.images import Picture, Pixels, encode, grid

GRID = 4  # pictures along each side of a grid of whole ones


@dataclass(slots=True)
class Sheets:
    """The sheets of one kind of one shard."""

    place: Place
    shard: int
    folder: str  # in the set's
    suffix: str
    full: int  # pictures
    tile: Callable[[Picture], Pixels]
    drawn: Callable[[Sequence[Pixels]], bytes]
    _tiles: list[Pixels] = field(default_factory=list)
    _count: int = 0

    def add(self, picture: Picture) -> None:
        """Add a picture; writes the sheet that it fills."""
        self._tiles.append(self.tile(picture))
        if len(self._tiles) == self.full:
            self.finish()

    def finish(self) -> None:
        """Write what is left."""
        if not self._tiles:
            return
        name = f"{self.shard:06d}-{self._count:03d}{self.suffix}"
        path = self.place.folder / self.folder / name
        disk.write(self.place.aside(), path, self.drawn(self._tiles))
        self._tiles, self._count = [], self._count + 1


def wanted(place: Place, plan: Plan, shard: int) -> list[Sheets]:
    """The kinds of sheets that a plan asks for, empty."""
    found = []
    if plan.contact:
        full = contact.COLUMNS * contact.ROWS
        found.append(Sheets(place, shard, "contact", ".jpg", full, contact.small, contact.sheet))
    if plan.preset == "character":
        found.append(Sheets(place, shard, "sheets", ".png", GRID * GRID, Picture.array, _grid))
    return found


def _grid(tiles: Sequence[Pixels]) -> bytes:
    return encode(grid(tiles, GRID), "png", [])
