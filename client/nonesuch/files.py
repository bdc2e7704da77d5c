"""Files that are whole or not there, whatever ends the writing of them."""

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nonesuch.errors import OutputError


@contextmanager
def aside(path: Path) -> Iterator[Path]:
    """Yield a name beside `path` for a new file or folder, which is renamed to `path` at the end.

    So that it is there whole or not at all. Folders are made as needed. Raises OutputError, with
    nothing left behind, where the system refuses (disk full, no permission, …).
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise OutputError(f"cannot write {path}: it is no ordinary file")  # /dev/null, a pipe, …
    place = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield place
            place.replace(path)
        finally:
            if place.is_dir():
                shutil.rmtree(place)
            place.unlink(missing_ok=True)
    except OSError as exc:
        raise OutputError(f"cannot write {path}: {exc.strerror or exc}") from exc


def save(path: Path, content: bytes) -> None:
    """Write a file as `aside` does."""
    with aside(path) as place, place.open("xb") as file:
        file.write(content)
