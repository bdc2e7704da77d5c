"""Checkpoint files as memory to look at: bounded, read-only, and not read before it is needed.

Long byte strings are not copied: what stands for them is a view of the file, so a tensor that
nobody looks at costs no memory.
"""

import io
import mmap
from typing import BinaryIO, cast

from nonesuch.errors import CheckpointError

MAX_STEPS = 500_000  # to read one pickle; published checkpoints take less than 100,000
_SPARE_BYTES = 64 * 2**20
_SHORT = 1024  # bytes; what is longer is handed out as a view
_LONGEST_LINE = 2048  # bytes; lines hold names

Source = BinaryIO | memoryview | bytes


class Bounded:
    """What a pickle is read from: promises no more bytes than there are, bounds what reading costs.

    A forged length would otherwise make a reader allocate it before finding the end. A file is
    mapped into memory from where it stands, and must not be cut short as long as it is in use.
    """

    def __init__(self, source: Source, steps: int = MAX_STEPS) -> None:
        self._view = source if isinstance(source, memoryview) else view(source)
        self._place, self._end = 0, len(self._view)
        self._steps = steps
        self._bytes = 2 * self._end + _SPARE_BYTES

    def spend(self, steps: int, copied: int = 0) -> None:
        """Take steps and copied bytes off what is allowed; raises CheckpointError at its end."""
        self._steps -= steps
        self._bytes -= copied
        if self._steps < 0 or self._bytes < 0:
            raise CheckpointError("the pickle takes more steps to read than any checkpoint")

    def read(self, size: int) -> bytes:
        """The next bytes: a copy of a few, a read-only view of many."""
        part = self.take(size)
        # Of a view, pickletools uses only what bytes have too.
        return bytes(part) if size <= _SHORT else cast(bytes, part)

    def take(self, size: int) -> memoryview:
        """A view of the next bytes, which are passed over."""
        start, stop = self._place, self._place + size
        if not start <= stop <= self._end:
            raise ValueError(f"{size} bytes announced, {self._end - start} left")
        self._place = stop
        return self._view[start:stop]

    def readline(self) -> bytes:
        line = bytes(self._view[self._place : self._place + _LONGEST_LINE])
        return self.read(line.find(b"\n") + 1 or len(line))

    def tell(self) -> int:
        return self._place


class Text:
    """A long text of a pickle, decoded once and only if it is asked for.

    No name or value is that long: it is source code, which nobody reads, or bytes, which
    protocol 2 and Python 2 write as a text of one character a byte.
    """

    __slots__ = ("_bytes", "_raw")

    def __init__(self, raw: memoryview, encoding: str) -> None:
        self._raw = raw
        self._bytes = raw if encoding == "latin-1" else None

    def __len__(self) -> int:
        return len(self._raw)

    def encoded(self) -> memoryview:
        """The bytes that the characters stand for; raises ValueError where they are none."""
        if self._bytes is None:
            text = str(self._raw, "utf-8", "surrogatepass")
            self._bytes = memoryview(text.encode("latin-1"))
        return self._bytes


def text(source: Bounded, size: int, encoding: str) -> str | Text:
    """The next `size` bytes as a text."""
    raw = source.take(size)
    return str(raw, encoding, "surrogatepass") if size <= _SHORT else Text(raw, encoding)


def view(source: BinaryIO | bytes) -> memoryview:
    """All that follows in a file, or bytes, read-only; raises CheckpointError for an empty file."""
    if isinstance(source, bytes):
        return memoryview(source)
    try:
        number = source.fileno()
    except (AttributeError, io.UnsupportedOperation):  # a stream in memory
        return memoryview(source.read())
    try:
        mapped = mmap.mmap(number, 0, access=mmap.ACCESS_READ)
    except ValueError as exc:
        raise CheckpointError("the file is empty") from exc
    return memoryview(mapped)[source.tell() :]
