"""Layers by name, as requests write them: `coarse`, `middle`, `fine`, `4-7`, or several of these.

The groups are those of the StyleGAN paper (section 3.1), by the resolution of the layer. The words
mean the same for the rows of ws and for the layers that take noise, each counted from 0.
"""

import re
from collections.abc import Sequence

from nonesuch.contract import GROUPS
from nonesuch.errors import InvalidRequest

_SPAN = re.compile(r"(\d{1,4})(?:-(\d{1,4}))?", re.ASCII)


def groups(resolutions: Sequence[int]) -> dict[str, tuple[int, int]]:
    """The first and last layer of each group that layers of these resolutions (pixels) have.

    >>> groups([4, 8, 8, 16, 16, 32, 32, 32])
    {'coarse': (0, 2), 'middle': (3, 7)}
    """
    members = {name: _members(name, resolutions) for name in GROUPS}
    return {name: (found[0], found[-1]) for name, found in members.items() if found}


def check(text: str) -> None:
    """Raise InvalidRequest unless the text reads as layers, of whatever model."""
    for part in text.split(","):
        _parse(part.strip())


def select(text: str, resolutions: Sequence[int]) -> list[bool]:
    """Which of the layers of these resolutions the text names.

    Raises InvalidRequest for what cannot be read, and for layers that there are not.

    >>> select("coarse,4", [4, 8, 8, 16, 16, 32])
    [True, True, True, False, True, False]
    """
    chosen: set[int] = set()
    for part in text.split(","):
        chosen.update(_layers(part.strip(), resolutions))
    return [layer in chosen for layer in range(len(resolutions))]


def _parse(part: str) -> range | str:
    """A span of layers, or the name of some."""
    if part in {"all", "none", *GROUPS}:
        return part
    found = _SPAN.fullmatch(part)
    if found is None:
        names = ", ".join(GROUPS)
        raise InvalidRequest(
            f"cannot read {part[:40]!r} as layers, expected all, none, {names} or numbers as in 4-7"
        )
    first, last = int(found[1]), int(found[2] or found[1])
    if last < first:
        raise InvalidRequest(f"the layers {part} run backwards, write {last}-{first}")
    return range(first, last + 1)


def _layers(part: str, resolutions: Sequence[int]) -> Sequence[int]:
    span = _parse(part)
    count = len(resolutions)
    if span == "all":
        return range(count)
    if span == "none":
        return ()
    if isinstance(span, str):
        if found := _members(span, resolutions):
            return found
        raise InvalidRequest(f"there are no {span} layers, the largest is {max(resolutions)} px")
    if span[-1] >= count:
        raise InvalidRequest(f"there is no layer {span[-1]}: they are 0 to {count - 1}")
    return span


def _members(group: str, resolutions: Sequence[int]) -> list[int]:
    least, most = GROUPS[group]
    return [layer for layer, pixels in enumerate(resolutions) if least <= pixels <= most]
