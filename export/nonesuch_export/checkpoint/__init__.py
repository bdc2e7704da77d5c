"""Checkpoint files, read without running anything that they hold.

`read` finds the format by the file's first bytes; each format has a reader of its own. This
package knows numpy only: torch appears first in `nonesuch_export.network`.
"""

import hashlib
import io
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from nonesuch.errors import CheckpointError, UnsafeCheckpoint
from nonesuch_export.checkpoint import native, nvlabs, rosinality, tensorflow, torchfile
from nonesuch_export.checkpoint.record import Checkpoint, Provenance
from nonesuch_export.checkpoint.source import Bounded, view
from nonesuch_export.checkpoint.unpickle import load

_LONGEST_HEADER = 100_000_000  # bytes, by the format's own rule
# Tensors may be views of one storage, and what reads them takes time for each.
_REPEATED = 3
_SPARE_BYTES = 256 * 2**20
# What wrote a pickle shows once it is loaded, so names of all programs are allowed at once.
_NAMES = nvlabs.NAMES | tensorflow.NAMES | torchfile.BESIDE

# What `Provenance.format` says → the files in words, and the families that are read from them.
FORMATS = {
    "nvlabs": ("pickles of the authors' PyTorch programs", ("stylegan2", "stylegan3")),
    "tensorflow": (
        "pickles of the authors' TensorFlow programs",
        ("progan", "stylegan1", "stylegan2"),
    ),
    "rosinality": ("rosinality's torch files", ("stylegan2",)),
    "native": (
        "safetensors of `nonesuch-export convert`",
        ("progan", "stylegan1", "stylegan2", "stylegan3"),
    ),
}

__all__ = ["FORMATS", "Checkpoint", "Provenance", "read"]


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
        words, remarks = dict[str, str | None](), list[str]()
        if _is_safetensors(start):
            form = "native"
            family, config, arrays, words = native.read(path)
        elif start[:1] == b"\x80":
            form, (family, config, arrays, remarks) = _unpickled(stream)
        elif start[:2] == b"PK":
            root = torchfile.read_zip(view(stream), nvlabs.NAMES)
            form, (family, config, arrays, remarks) = _of_torch(root)
        else:
            _refuse(stream)
        size = stream.seek(0, io.SEEK_END)
        if sum(a.nbytes for a in arrays.values()) > _REPEATED * size + _SPARE_BYTES:
            raise CheckpointError(f"the tensors repeat what the file holds over {_REPEATED} times")
        stream.seek(0)
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    source = Provenance(file=path.name, sha256=digest, format=form, remarks=tuple(remarks))
    return Checkpoint(family=family, config=config, arrays=arrays, provenance=source, **words)


def _unpickled(stream: BinaryIO) -> tuple[str, nvlabs.Parts]:
    """The format that a pickle's contents show, and what its reader makes of them."""
    whole = view(stream)
    root = load(Bounded(whole), _NAMES)
    if torchfile.is_legacy(root):
        return _of_torch(torchfile.read_legacy(whole, nvlabs.NAMES))
    if tensorflow.holds_networks(root):
        return "tensorflow", tensorflow.read(root)
    return "nvlabs", nvlabs.convert(root)


def _of_torch(root: Any) -> tuple[str, nvlabs.Parts]:
    """The same for what `torch.save` was given: tensors by name, or whole modules."""
    if nvlabs.holds_modules(root):
        return "nvlabs", nvlabs.convert(root)
    return "rosinality", rosinality.convert(root)


def _refuse(stream: BinaryIO) -> NoReturn:
    """Say what is wrong with a file of no known format.

    A pickle of the oldest protocols has no mark of its own; one that is unsafe is named as such.
    """
    try:
        _unpickled(stream)
    except UnsafeCheckpoint:
        raise
    except CheckpointError:
        pass
    raise CheckpointError("this is neither a pickle nor a safetensors file")


def _is_safetensors(start: bytes) -> bool:
    """Whether a file begins with the length of a JSON header, which a pickle's bytes never are."""
    return start[8:9] == b"{" and int.from_bytes(start[:8], "little") <= _LONGEST_HEADER
