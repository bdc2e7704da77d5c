"""Codes of W as values: what a mapping or an inversion found, kept with the model that it is of."""

import io
import math
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from nonesuch import files
from nonesuch.card import Card
from nonesuch.errors import InvalidRequest
from nonesuch.latents import check_latent
from nonesuch.options import Latent, Sample, Settings

LARGEST = 2**30  # bytes of one array in a file


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Codes:
    """N codes of one model's W, as float32: [N, w_dim], or [N, num_ws, w_dim] (W+)."""

    ws: Latent
    model: str  # its name, for people; what decides is the hash
    model_hash: str  # the card's

    def __post_init__(self) -> None:
        checked = check_latent(self.ws, "ws", "[N, w_dim]", "[N, num_ws, w_dim]")
        object.__setattr__(self, "ws", checked)

    def __len__(self) -> int:
        return len(self.ws)

    def check(self, card: Card) -> None:
        """Raise InvalidRequest unless the codes are of the card's model."""
        if self.model_hash != card.model_hash:
            raise InvalidRequest(
                f"these codes are of {self.model} ({self.model_hash[:12]}), not of {card.name} "
                f"({card.model_hash[:12]}): another model's W means something else"
            )

    def samples(self, **settings: Unpack[Settings]) -> Iterator[Sample]:
        """A sample of each code, in order, for `Client.generate_each`, with the same settings."""
        for code in self.ws:
            yield Sample(ws=code, **settings)

    def save(self, path: Path) -> None:
        """Write the codes as an .npz file; raises OutputError where the system refuses."""
        file = io.BytesIO()
        model, model_hash = np.array(self.model), np.array(self.model_hash)
        np.savez(file, ws=self.ws, model=model, model_hash=model_hash)
        files.save(path, file.getvalue())

    @classmethod
    def load(cls, path: Path) -> "Codes":
        """Read what `save` wrote; raises InvalidRequest for any other file.

        Nothing in the file is run, and no more than it holds is reserved.
        """
        try:
            with zipfile.ZipFile(path) as file:
                ws, model, model_hash = (_array(file, name, k) for name, k in _MEMBERS.items())
            return cls(ws=ws, model=str(model), model_hash=str(model_hash))
        except OSError as exc:
            raise InvalidRequest(f"cannot read {path}: {exc.strerror or exc}") from exc
        except _BROKEN as exc:
            reason = str(exc).strip("'\"")
            raise InvalidRequest(f"{path} holds no codes of W: {reason}") from exc


_MEMBERS = {"ws": "f", "model": "U", "model_hash": "U"}  # with the kind of dtype
# What zipfile and numpy raise for files that are none, cut short or tampered with.
_BROKEN = (zipfile.BadZipFile, zlib.error, KeyError, ValueError, RuntimeError, EOFError)


def _array(file: zipfile.ZipFile, name: str, kind: str) -> NDArray[Any]:
    """An array of the archive, of a kind of dtype, as long as its header says."""
    with file.open(_plain(file, f"{name}.npy")) as member:
        if (version := npy.read_magic(member)) != (1, 0):
            raise ValueError(f"{name} is of version {version} of numpy's format")
        shape, by_columns, dtype = npy.read_array_header_1_0(member)
        if dtype.kind != kind or by_columns:
            raise ValueError(f"{name} is of {dtype}{', by columns' if by_columns else ''}")
        size_bytes = math.prod(shape) * dtype.itemsize
        if not 0 <= size_bytes <= LARGEST:
            raise ValueError(f"{name} would take {size_bytes} bytes, at most {LARGEST} are read")
        content = member.read(size_bytes + 1)
    if len(content) != size_bytes:
        raise ValueError(f"{name} has not the {size_bytes} bytes that its header promises")
    return np.frombuffer(content, dtype).reshape(shape)


def _plain(file: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    found = file.getinfo(name)
    if found.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise ValueError(f"{name} is compressed in a way that numpy never does")
    return found
