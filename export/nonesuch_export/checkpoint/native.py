"""Our own checkpoint format: one safetensors file whose metadata holds the configuration.

The metadata key `nonesuch` is a JSON object with format (1), family, config, licence and about;
tensor names are those of the family's network. It is the only format that nonesuch writes.

safetensors is a length in eight bytes, a JSON object as long, and the tensors' elements. It is
read here, not by its library, so that arrays are views of the file and cost no memory.
"""

import json
import math
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save

from nonesuch.errors import CheckpointError, ExportError, UnsupportedCheckpoint
from nonesuch_export.checkpoint.record import Checkpoint
from nonesuch_export.checkpoint.source import view
from nonesuch_export.checkpoint.tensors import Array

_KEY = "nonesuch"
_FORMAT = 1
_LONGEST_HEADER = 8 * 2**20  # bytes; a network with a thousand tensors needs a hundredth of it
_MAX_AXES = 64  # numpy's own limit
_DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2",
    "I8": "|i1", "U8": "|u1", "BOOL": "|b1",
}  # fmt: skip

Parts = tuple[str, dict[str, Any], dict[str, Array], dict[str, str | None]]


def read(path: Path) -> Parts:
    """Family, configuration, arrays, and licence and about by name, of a file that `write` made.

    Raises CheckpointError where the file is damaged or the metadata is not ours.
    """
    with path.open("rb") as stream:
        file = view(stream)
    try:
        start = 8 + int.from_bytes(file[:8], "little")
        if not 8 < start <= min(len(file), _LONGEST_HEADER):
            raise ValueError(f"a header of {start - 8} bytes")
        header = json.loads(bytes(file[8:start]))
        described = header.pop("__metadata__", {}).get(_KEY)
        if not isinstance(described, str):  # said first: others hold what our files never do
            raise UnsupportedCheckpoint("the safetensors file was not written by nonesuch-export")
        arrays = dict(_arrays(header, file[start:]))
    except (AttributeError, LookupError, TypeError, ValueError, RecursionError) as exc:
        raise CheckpointError(f"the safetensors file is damaged: {str(exc)[:120]}") from exc
    family, config, words = _description(described)
    return family, config, arrays, words


def _arrays(header: dict[str, Any], elements: memoryview) -> Iterator[tuple[str, Array]]:
    """Each tensor of a header, a view of the elements that follow it."""
    for name, tensor in header.items():
        dtype = np.dtype(_DTYPES[tensor["dtype"]])
        shape, (start, stop) = tensor["shape"], tensor["data_offsets"]
        if not all(type(n) is int and 0 <= n < 2**63 for n in (*shape[:_MAX_AXES], start, stop)):
            raise ValueError(f"tensor {name[:80]!r} has sizes that no tensor has")
        size = math.prod(shape[:_MAX_AXES]) * dtype.itemsize
        if not start <= stop <= len(elements) or stop - start != size or len(shape) > _MAX_AXES:
            raise ValueError(f"tensor {name[:80]!r} has other bytes than its shape needs")
        yield name, np.frombuffer(elements[start:stop], dtype).reshape(shape)


def _description(text: str) -> tuple[str, dict[str, Any], dict[str, str | None]]:
    try:
        described = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise CheckpointError(f"the file's metadata is no JSON: {str(exc)[:80]}") from exc
    match described:
        case {"format": 1, "family": str(family), "config": dict(config)}:
            said = {name: described.get(name) for name in ("licence", "about")}
            return family, config, {n: v if isinstance(v, str) else None for n, v in said.items()}
        case {"format": int(number)} if number > _FORMAT:
            raise UnsupportedCheckpoint("the file's format is newer; update nonesuch")
    raise CheckpointError("the file's metadata lacks format, family or config")


def write(checkpoint: Checkpoint, path: Path) -> None:
    """Write `checkpoint` to `path`, aside first; nothing is left behind if that fails.

    Raises ExportError where the folder is missing, full or not ours to write.
    """
    described = {
        "format": _FORMAT,
        "family": checkpoint.family,
        "config": dict(checkpoint.config),
        "licence": checkpoint.licence,
        "about": checkpoint.about,
    }
    arrays = {name: np.array(a, order="C") for name, a in checkpoint.arrays.items()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".nonesuch-") as folder:
            aside = Path(folder) / path.name
            # Not save_file, which lets nobody else read what it writes.
            aside.write_bytes(save(arrays, metadata={_KEY: json.dumps(described)}))
            aside.replace(path)
    except (OSError, SafetensorError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else None
        raise ExportError(f"{path} cannot be written: {reason or exc}") from exc
