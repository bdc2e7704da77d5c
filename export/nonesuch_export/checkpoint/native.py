"""Our own checkpoint format: one safetensors file whose metadata holds the configuration.

The metadata key `nonesuch` is a JSON object with format (1), family, config, licence and about;
tensor names are those of the family's network. It is the only format that nonesuch writes.
"""

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from nonesuch.errors import CheckpointError, ExportError, UnsupportedCheckpoint
from nonesuch_export.checkpoint.record import Checkpoint
from nonesuch_export.checkpoint.tensors import Array

_KEY = "nonesuch"
_FORMAT = 1

Parts = tuple[str, dict[str, Any], dict[str, Array], dict[str, str | None]]


def read(path: Path) -> Parts:
    """Family, configuration, arrays, and licence and about by name, of a file that `write` made.

    Raises CheckpointError where the file is damaged or the metadata is not ours.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            described = (file.metadata() or {}).get(_KEY)
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no dict)
    except (SafetensorError, TypeError, ValueError) as exc:
        raise CheckpointError(f"the safetensors file is damaged: {str(exc)[:120]}") from exc
    if described is None:
        raise UnsupportedCheckpoint("the safetensors file was not written by nonesuch-export")
    family, config, words = _description(described)
    return family, config, arrays, words


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
