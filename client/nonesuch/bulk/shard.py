"""A shard's pictures on their way to disk: a WebDataset tar, or files in folders of their own.

The same contents give the same bytes: nothing of the time, the machine or the user is in them.
"""

import hashlib
import io
import os
import shutil
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Protocol

from nonesuch.bulk import disk
from nonesuch.bulk.place import Place
from nonesuch.bulk.plan import Plan

Contents = Mapping[str, bytes]  # of one sample's files, by suffix

_MODE = 0o644
_SPREAD = 250_000  # pictures in a set from which on files lie in folders two deep


def key(seed: int) -> str:
    """What the names of a seed's files begin with: it sorts as the seeds do."""
    return f"{seed:010d}"


class Shard(Protocol):
    """Where the samples of one shard go, in order."""

    def add(self, seed: int, contents: Contents) -> str:
        """Add a sample's files; returns the path where the first of them will be."""

    def finish(self) -> None:
        """Put everything in its place, to stay."""

    def drop(self) -> None:
        """Leave nothing behind of what was not finished."""


@contextmanager
def begun(place: Place, plan: Plan, number: int) -> Iterator[Shard]:
    """Yield an empty shard of the plan's layout; it is finished at the end, or dropped."""
    shard = Tar(place, plan, number) if plan.layout == "shards" else Files(place, plan)
    try:
        yield shard
        shard.finish()
    except BaseException:
        shard.drop()
        raise


class Tar:
    """A tar in the layout of WebDataset: the files of a sample follow each other."""

    def __init__(self, place: Place, plan: Plan, shard: int) -> None:
        self._path = place.folder / "shards" / f"{plan.model}-{shard:06d}.tar"
        self._shown = f"shards/{self._path.name}"
        self._aside = place.aside()
        self._file: BinaryIO = self._aside.open("xb")
        self._tar = tarfile.TarFile(fileobj=self._file, mode="w", format=tarfile.USTAR_FORMAT)

    def add(self, seed: int, contents: Contents) -> str:
        """Add a sample's files; returns the tar's path."""
        for suffix, content in contents.items():
            member = tarfile.TarInfo(key(seed) + suffix)
            member.size, member.mode, member.mtime = len(content), _MODE, 0
            self._tar.addfile(member, io.BytesIO(content))
        return self._shown

    def finish(self) -> None:
        """Put the tar in its place."""
        self._tar.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        disk.move(self._aside, self._path)

    def drop(self) -> None:
        """Remove what was written; the tar's end is not."""
        with suppress(OSError):  # of a full disk: what is still buffered finds no place either
            self._file.close()
        self._aside.unlink(missing_ok=True)


class Files:
    """Files under their own names, in folders by the hash of the seed's key."""

    def __init__(self, place: Place, plan: Plan) -> None:
        self._folder = place.folder
        self._aside = place.aside()
        self._aside.mkdir()
        self._depth = 2 if len(plan.seeds) > _SPREAD else 1
        self._paths: list[str] = []

    def add(self, seed: int, contents: Contents) -> str:
        """Add a sample's files; returns the path where the first of them will be."""
        digest = hashlib.sha256(key(seed).encode()).hexdigest()
        folder = "/".join(["files", *(digest[2 * i : 2 * i + 2] for i in range(self._depth))])
        first = ""
        for suffix, content in contents.items():
            name = key(seed) + suffix
            (self._aside / name).write_bytes(content)
            self._paths.append(f"{folder}/{name}")
            first = first or self._paths[-1]
        return first

    def finish(self) -> None:
        """Put the files in their places."""
        targets = [self._folder / path for path in self._paths]
        for target in targets:
            disk.sync(self._aside / target.name)
        folders = {target.parent for target in targets}
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
        for target in targets:
            (self._aside / target.name).replace(target)
        for folder in _upwards(folders, self._folder):
            disk.sync(folder)
        self._aside.rmdir()

    def drop(self) -> None:
        """Remove the files that are not in their places."""
        shutil.rmtree(self._aside, ignore_errors=True)


def _upwards(folders: set[Path], top: Path) -> list[Path]:
    """The folders and all above them up to the top, the deepest first."""
    found = {parent for f in folders for parent in (f, *f.parents) if parent.is_relative_to(top)}
    return sorted(found, key=lambda folder: len(folder.parts), reverse=True)
