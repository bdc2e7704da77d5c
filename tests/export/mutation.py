"""Damage done to checkpoint files, aimed at what a reader decides by, not at the weights."""

import io
import pickletools
import zipfile
from collections.abc import Iterable, Iterator
from typing import Any

from hypothesis import strategies as st

_LONG = 256  # bytes; longer arguments of opcodes are weights, or containers of weights
_HEAD = 400  # bytes at the start of such an argument that may be a container's pickles
_EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 2**15, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63, 2**64 - 1)
_SNIPPETS = (
    b"cos\nsystem\n",  # a name
    b"cbuiltins\neval\n(X\x01\x00\x00\x001tR",  # a call
    b"\x8c\x02os\x8c\x06system\x93",
    b"h\x00h\x00s",  # a container within itself
    b"h\x00h\x01b",  # a state that is none
    b"(" * 200 + b"t" * 199,
    b"]" * 400 + b"a" * 399,
    b"\x8a\xff" + b"\x7f" * 255,  # a number of 255 bytes
    b"G\x7f\xf8\x00\x00\x00\x00\x00\x00",  # nan
    b"G\x7f\xf0\x00\x00\x00\x00\x00\x00",  # infinity
    b"J\xff\xff\xff\xff",  # -1
    b"\x8a\x08" + b"\xff" * 7 + b"\x7f",
    b"N", b"0", b"2", b".", b"a", b"e", b"s", b"u", b"b", b"R", b"\x81", b"(", b"t", b"\x85", b"Q",
)  # fmt: skip

Span = tuple[int, int]  # of bytes, start and stop


def telling(blob: bytes) -> list[Span]:
    """Where a file says what it is: opcodes, headers, names, numbers; all but long data."""
    if blob[:2] == b"PK":
        return list(_of_zip(blob))
    if blob[8:9] == b"{":
        return [(0, 8 + int.from_bytes(blob[:8], "little"))]
    return list(_of_pickles(blob))


def _of_zip(blob: bytes) -> Iterator[Span]:
    """Everything but the storages."""
    with zipfile.ZipFile(io.BytesIO(blob)) as file:
        for entry in file.infolist():
            start = blob.index(entry.filename.encode(), entry.header_offset)
            end = start + len(entry.filename) + int.from_bytes(blob[start - 2 : start], "little")
            yield entry.header_offset, start + len(entry.filename)
            if "/data/" not in entry.filename:
                yield end, end + entry.file_size
        yield file.start_dir, len(blob)


def _of_pickles(blob: bytes) -> Iterator[Span]:
    """The opcodes of all pickles at the start of a file, with arguments that are not long."""
    stream, start = io.BytesIO(blob), 0
    while stream.tell() < len(blob):
        try:
            places = [place or 0 for _, _, place in pickletools.genops(stream)]
        except ValueError:  # here the pickles end and, in old torch files, the data begin
            yield start, min(start + 64, len(blob))
            return
        start = stream.tell()
        yield from _short(zip(places, [*places[1:], start], strict=True))


def _short(opcodes: Iterable[Span]) -> Iterator[Span]:
    for start, end in opcodes:
        yield start, end if end - start < _LONG else start + _HEAD


@st.composite
def damaged(draw: st.DrawFn, blob: bytes, spans: list[Span], others: list[bytes]) -> bytes:
    """`blob` with one to three changes within `spans`; `others` give parts for splices."""
    out = bytearray(blob)
    for _ in range(draw(st.integers(1, 3))):
        start, stop = draw(st.sampled_from(spans))
        place = min(draw(st.integers(start, max(start, stop - 1))), len(out))
        kind = draw(st.sampled_from(sorted(_KINDS)))
        if kind == "splice":
            out[place:place] = draw(_part_of(others))
        elif kind in ("repeat", "drop", "swap"):
            _move(kind, out, (start, stop), draw(st.sampled_from(spans)))
        else:
            _KINDS[kind](out, place, draw)
    return bytes(out)


def _flip(out: bytearray, place: int, draw: st.DrawFn) -> None:
    if place < len(out):
        out[place] ^= draw(st.integers(1, 255))


def _extreme(out: bytearray, place: int, draw: st.DrawFn) -> None:
    """An integer at the limits of its kind, where perhaps a length or an index stood."""
    width = draw(st.sampled_from([1, 2, 4, 8]))
    value = draw(st.sampled_from(_EXTREMES)) % 2 ** (8 * width)
    out[place : place + width] = value.to_bytes(width, "little")


def _insert(out: bytearray, place: int, draw: st.DrawFn) -> None:
    out[place:place] = draw(st.sampled_from(_SNIPPETS))


def _replace(out: bytearray, place: int, draw: st.DrawFn) -> None:
    snippet = draw(st.sampled_from(_SNIPPETS))
    out[place : place + len(snippet)] = snippet


def _digits(out: bytearray, place: int, draw: st.DrawFn) -> None:
    """Another number, of as many digits, where text has one."""
    here = next((i for i in range(place, min(place + 200, len(out))) if 48 <= out[i] < 58), None)
    if here is not None:
        out[here] = draw(st.integers(48, 57))


def _truncate(out: bytearray, place: int, _: st.DrawFn) -> None:
    del out[place:]


_KINDS: dict[str, Any] = {
    "flip": _flip,
    "extreme": _extreme,
    "insert": _insert,
    "replace": _replace,
    "digits": _digits,
    "truncate": _truncate,
    "splice": None,
    "repeat": None,
    "drop": None,
    "swap": None,
}


def _move(kind: str, out: bytearray, span: Span, other: Span) -> None:
    """Repeat, drop or swap whole opcodes, so that what is left is still a row of opcodes."""
    here, there = bytes(out[slice(*span)]), bytes(out[slice(*other)])
    if kind == "repeat":
        out[span[0] : span[0]] = there
    elif kind == "drop":
        del out[slice(*span)]
    else:
        for (start, stop), part in sorted([(span, there), (other, here)], reverse=True):
            out[start:stop] = part


@st.composite
def _part_of(draw: st.DrawFn, others: list[bytes]) -> bytes:
    blob = draw(st.sampled_from(others))
    start = draw(st.integers(0, len(blob) - 1))
    return blob[start : start + draw(st.integers(1, 2000))]
