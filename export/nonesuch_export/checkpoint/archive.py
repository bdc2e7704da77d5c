"""The directory of a zip file whose entries are stored as they are, as torch writes them.

Entries are views of the file: nothing is unpacked, so nothing can grow, and their names are no
paths of any disk. (APPNOTE.TXT, the format's specification, sections 4.3 to 4.5.)
"""

import struct
from collections.abc import Iterator

from nonesuch.errors import CheckpointError, UnsupportedCheckpoint

_END = struct.Struct("<4s4H2IH")  # end of central directory
_LOCATOR = struct.Struct("<4sIQI")  # where the 64-bit end is
_END_64 = struct.Struct("<4sQ2H2I4Q")
_ENTRY = struct.Struct("<4s6H3I5H2I")  # of the central directory
_LOCAL = struct.Struct("<4s5H3I2H")  # before an entry's bytes
_FIELD = struct.Struct("<2H")  # kind and size of an extra field
_LONGEST_COMMENT = 2**16
_MAX_ENTRIES = 100_000  # a training checkpoint has some two thousand
_FULL = 0xFFFFFFFF  # the value is in the 64-bit extra field
_STORED = 0


def entries(file: memoryview) -> dict[str, memoryview]:
    """The bytes of each entry by its full name.

    Raises CheckpointError where the directory is damaged or names an entry twice,
    UnsupportedCheckpoint for compressed or encrypted entries.
    """
    found: dict[str, memoryview] = {}
    try:
        for name, part in _entries(file):
            if name in found:
                raise CheckpointError(f"the zip file holds {name[:80]!r} twice")
            found[name] = part
    except (struct.error, ValueError) as exc:
        raise CheckpointError(f"the zip file is damaged or cut short: {str(exc)[:120]}") from exc
    return found


def _entries(file: memoryview) -> Iterator[tuple[str, memoryview]]:
    count, place = _directory(file)
    if count > _MAX_ENTRIES:
        raise CheckpointError(f"the zip file announces {count} entries, at most {_MAX_ENTRIES}")
    for _ in range(count):
        (mark, _, _, flags, method, _, _, _, packed, size, *lengths, _, _, _, offset) = (
            _ENTRY.unpack_from(file, place)
        )
        if mark != b"PK\1\2":
            raise ValueError(f"no entry at byte {place}")
        ends = [place := place + step for step in (_ENTRY.size, *lengths)]
        name = str(_slice(file, ends[0], lengths[0]), "utf-8")
        extra = _slice(file, ends[1], lengths[1])
        size, packed, offset = _sizes(extra, [size, packed, offset])
        if method != _STORED or flags & 1 or size != packed:
            raise UnsupportedCheckpoint(
                f"the zip file's entry {name[:80]!r} is compressed or encrypted, which torch's "
                "files never are; unpack it first"
            )
        yield name, _stored(file, offset, size)


def _directory(file: memoryview) -> tuple[int, int]:
    """Number of entries and place of the first in the central directory."""
    start = max(0, len(file) - _END.size - _LONGEST_COMMENT)
    end = start + bytes(file[start:]).rfind(b"PK\5\6")
    if end < start:
        raise ValueError("it has no directory")
    *_, count, _, place, _ = _END.unpack_from(file, end)
    if end >= _LOCATOR.size:
        mark, _, far, _ = _LOCATOR.unpack_from(file, end - _LOCATOR.size)
        if mark == b"PK\6\7":
            mark, *_, count, _, place = _END_64.unpack_from(_slice(file, far, _END_64.size))
            if mark != b"PK\6\6":
                raise ValueError(f"no 64-bit directory at byte {far}")
    return count, place


def _sizes(extra: memoryview, values: list[int]) -> list[int]:
    """`values` with those that do not fit 32 bits taken from the 64-bit extra field, in order."""
    place = 0
    while place + _FIELD.size <= len(extra) and _FULL in values:
        kind, length = _FIELD.unpack_from(extra, place)
        if kind == 1:
            wide = iter(struct.unpack_from(f"<{values.count(_FULL)}Q", extra, place + _FIELD.size))
            return [next(wide) if value == _FULL else value for value in values]
        place += _FIELD.size + length
    return values


def _stored(file: memoryview, offset: int, size: int) -> memoryview:
    mark, *_, name, extra = _LOCAL.unpack_from(_slice(file, offset, _LOCAL.size))
    if mark != b"PK\3\4":
        raise ValueError(f"no entry's bytes at byte {offset}")
    return _slice(file, offset + _LOCAL.size + name + extra, size)


def _slice(file: memoryview, start: int, size: int) -> memoryview:
    if start + size > len(file):
        raise ValueError(f"bytes {start} to {start + size} announced, {len(file)} there")
    return file[start : start + size]
