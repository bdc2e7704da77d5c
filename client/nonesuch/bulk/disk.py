"""What has been written stays written: files and folders synced, in an order that a crash keeps."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nonesuch.errors import OutputError


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the system refuses (disk full, no permission, …) into OutputError."""
    try:
        yield
    except OSError as exc:
        named = Path(exc.filename).name if exc.filename else path
        raise OutputError(f"cannot write {named}: {exc.strerror or exc}") from exc


def sync(path: Path) -> None:
    """Wait until a file's content, or a folder's names, would survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def move(place: Path, path: Path) -> None:
    """Rename a synced file to its last name, and sync that name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    place.replace(path)
    sync(path.parent)
    sync(path.parent.parent)  # where the folder itself is new


def write(place: Path, path: Path, content: bytes) -> None:
    """Write a file at `place`, aside, and then move it to `path`: it is whole there, or absent."""
    try:
        place.write_bytes(content)
        sync(place)
        move(place, path)
    finally:
        place.unlink(missing_ok=True)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold a folder, so that nobody else writes into it; raises OutputError where somebody does.

    The hold ends with the process, however that ends.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise OutputError(
            f"another process is writing to {folder}, wait for its end or choose another folder"
        ) from None
    try:
        yield
    finally:
        os.close(handle)
