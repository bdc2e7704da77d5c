"""What a report consists of, before it becomes a page or Markdown."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from nonesuch_loadtest.plot import Bars, Plot


@dataclass(frozen=True, kw_only=True, slots=True)
class Notice:
    """What must be known before the figures are read: bad, a warning, or a note."""

    kind: Literal["bad", "warn", "note"]
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Tile:
    """One headline figure, what it is, and what stands beneath it."""

    label: str
    value: str
    unit: str = ""
    under: str = ""
    bad: bool = False


@dataclass(frozen=True, slots=True)
class Cell:
    """A figure in a table, its interval, and whether it is good or bad."""

    text: str
    under: str = ""
    kind: Literal["", "good", "bad"] = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """Rows of a name and cells; `words` = the cells are text rather than figures."""

    head: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Cell]]]
    title: str = ""
    under: str = ""
    words: bool = False
    folded: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """A part of a report under a heading."""

    title: str
    figures: Sequence[Plot | Bars] = ()
    tables: Sequence[Table] = ()
    command: str = ""  # for a shell


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """All of it, in the order in which it is read."""

    title: str
    about: str
    notices: Sequence[Notice]
    tiles: Sequence[Tile]
    sections: Sequence[Section]
    footer: str
