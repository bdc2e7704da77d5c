"""Checkpoint files, read without running anything that they hold.

`read` finds the format by the file's first bytes; each format has a reader of its own. This
package knows numpy only: torch appears first in `nonesuch_export.network`.
"""

import hashlib
from pathlib import Path
from typing import BinaryIO, NoReturn

from nonesuch.errors import CheckpointError, UnsafeCheckpoint, UnsupportedCheckpoint
from nonesuch_export.checkpoint import native, nvlabs
from nonesuch_export.checkpoint.record import Checkpoint, Provenance

_LONGEST_HEADER = 100_000_000  # bytes, by the format's own rule

__all__ = ["Checkpoint", "Provenance", "read"]


def read(path: Path) -> Checkpoint:
    """Read a checkpoint file of any known format.

    Raises CheckpointError (also as UnsafeCheckpoint or UnsupportedCheckpoint); the message
    begins with the path.
    """
    try:
        return _read(path)
    except CheckpointError as exc:
        raise type(exc)(f"{path}: {exc}") from exc
    except OSError as exc:
        raise CheckpointError(f"{path} cannot be read: {exc.strerror or exc}") from exc


def _read(path: Path) -> Checkpoint:
    with path.open("rb") as stream:
        start = stream.read(9)
        stream.seek(0)
        form, words, remarks = "nvlabs", dict[str, str | None](), list[str]()
        if _is_safetensors(start):
            form = "native"
            family, config, arrays, words = native.read(path)
        elif start[:1] == b"\x80":
            family, config, arrays, remarks = nvlabs.read(stream)
        elif start[:2] == b"PK":
            raise UnsupportedCheckpoint("this is a torch zip file, which is not supported yet")
        else:
            _refuse(stream)
        stream.seek(0)
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    source = Provenance(file=path.name, sha256=digest, format=form, remarks=tuple(remarks))
    return Checkpoint(family=family, config=config, arrays=arrays, provenance=source, **words)


def _refuse(stream: BinaryIO) -> NoReturn:
    """Say what is wrong with a file of no known format.

    A pickle of the oldest protocols has no mark of its own; one that is unsafe is named as such.
    """
    try:
        nvlabs.read(stream)
    except UnsafeCheckpoint:
        raise
    except CheckpointError:
        pass
    raise CheckpointError("this is neither a pickle nor a safetensors file")


def _is_safetensors(start: bytes) -> bool:
    """Whether a file begins with the length of a JSON header, which a pickle's bytes never are."""
    return start[8:9] == b"{" and int.from_bytes(start[:8], "little") <= _LONGEST_HEADER
