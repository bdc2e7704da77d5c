"""Labelled samples: seeds, and for each a value of one or more attributes.

They come from a CSV file that a person or a classifier made of served pictures, or from a Python
function that is given the pictures.
"""

import csv
import importlib
import math
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nonesuch.errors import InvalidRequest
from nonesuch.latents import check_seed
from nonesuch_export.directions import check_names

Doubles = NDArray[np.float64]
# Pictures uint8 [n, H, W, C] to the n values of each attribute by its name.
Attributes = Callable[[NDArray[np.uint8]], Mapping[str, Sequence[float]]]

_FUNCTION = re.compile(r"([A-Za-z_][\w.]*):([A-Za-z_]\w*)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Labels:
    """The values [N, K] of K named attributes of N seeds, all finite."""

    seeds: tuple[int, ...]
    names: tuple[str, ...]
    values: Doubles


def read(path: Path) -> Labels:
    """Read a CSV file with the header `seed,NAME[,NAME…]` and a line for each seed.

    Raises InvalidRequest, with the number of the line, for what cannot be read.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.reader(file, strict=True)
            with _placed(path, lines):
                return _table(lines)
    except OSError as exc:
        raise InvalidRequest(f"{path} cannot be read: {exc.strerror or exc}") from exc


def _table(lines: Iterator[list[str]]) -> Labels:
    names = _header(next(lines, []))
    rows: dict[int, list[float]] = {}
    for fields in filter(None, lines):  # an empty line has no fields
        seed, values = _row(fields, names)
        if seed in rows:
            raise InvalidRequest(f"seed {seed} has a line already")
        rows[seed] = values
    table = np.array(list(rows.values()), np.float64).reshape(len(rows), len(names))
    return Labels(seeds=tuple(rows), names=names, values=table)


@contextmanager
def _placed(path: Path, lines: Any) -> Iterator[None]:
    """Say in which line of the file something was wrong."""
    try:
        yield
    except (InvalidRequest, csv.Error, UnicodeDecodeError) as exc:
        said = "it is no UTF-8 text" if isinstance(exc, UnicodeDecodeError) else exc
        raise InvalidRequest(f"{path}, line {max(lines.line_num, 1)}: {said}") from exc


def _header(fields: list[str]) -> tuple[str, ...]:
    first, *names = [field.strip() for field in fields] or [""]
    if first != "seed" or not names:
        raise InvalidRequest(f"the header is {','.join(fields)[:60]!r}, expected seed,NAME[,NAME…]")
    check_names(names)
    return tuple(names)


def _row(fields: list[str], names: Sequence[str]) -> tuple[int, list[float]]:
    if len(fields) != len(names) + 1:
        raise InvalidRequest(f"there are {len(fields)} values, expected {len(names) + 1}")
    seed, *texts = [field.strip() for field in fields]
    if not (seed.isascii() and seed.isdigit() and len(seed) < 20):
        raise InvalidRequest(f"the seed is {seed[:40]!r}, expected a whole number")
    return check_seed(int(seed)), [_value(*pair) for pair in zip(names, texts, strict=True)]


def _value(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InvalidRequest(f"{name} is {text[:40]!r}, expected a number")
    return value


def load(text: str) -> Attributes:
    """Import the function `MODULE:FUNCTION`, from the current folder too.

    Raises InvalidRequest where there is none. What goes wrong inside the module is its own.
    """
    found = _FUNCTION.fullmatch(text)
    if found is None:
        raise InvalidRequest(
            f"the labels are {text[:80]!r}, expected a CSV file that exists, or MODULE:FUNCTION"
        )
    module, name = found.groups()
    if "" not in sys.path:
        sys.path.insert(0, "")  # as `python -m` does
    try:
        function: Attributes = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as exc:
        raise InvalidRequest(f"there is no {text}: {exc}") from exc
    return function


def judged(
    function: Attributes, seeds: Sequence[int], batches: Iterable[NDArray[np.uint8]]
) -> Labels:
    """Give `function` the pictures of all seeds, uint8 [n, H, W, C] at a time.

    Raises InvalidRequest where it answers anything but n finite numbers for each attribute, the
    same attributes each time.
    """
    parts = [_answer(function(pictures), len(pictures)) for pictures in batches]
    names = tuple(parts[0])
    check_names(names)
    if any(tuple(part) != names for part in parts):
        raise InvalidRequest(f"the function names {', '.join(names)[:80]} at first, others later")
    columns = [np.concatenate([part[name] for part in parts]) for name in names]
    return Labels(seeds=tuple(seeds), names=names, values=np.stack(columns, axis=1))


def _answer(answer: Any, count: int) -> dict[str, Doubles]:
    """What the function made of `count` pictures, checked."""
    if not (isinstance(answer, Mapping) and answer):
        raise InvalidRequest(
            f"the function answers a {type(answer).__name__}, expected a dict of attributes by name"
        )
    found = {}
    for name, values in answer.items():
        try:
            column = np.asarray(values, np.float64)
        except (TypeError, ValueError):
            column = np.zeros(0)
        if column.shape != (count,) or not np.isfinite(column).all():
            raise InvalidRequest(
                f"the function's {str(name)[:40]} is no list of {count} numbers, one a picture"
            )
        found[str(name)] = column
    return found
