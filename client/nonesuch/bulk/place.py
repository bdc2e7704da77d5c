"""A set's folder: what is there is what is done.

    plan.json               what the set consists of; another plan is refused here
    shards/NAME-000000.tar  a shard, or
    files/a7/0000000042.jpg the pictures themselves
    rows/000000.jsonl       the rows of a shard: when this is there, the shard is
    manifest.jsonl          all rows, or manifest.parquet
    report.json             what it came to be
    contact/, sheets/       sheets of pictures, where they were asked for
    .aside/                 what is being written

Everything is written in `.aside`, synced, renamed, and its folder synced; a shard's rows come last.
So a crash at any moment leaves a set whose shards are whole, and a rest that is made again.
"""

import json
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nonesuch.bulk import disk, manifest
from nonesuch.bulk.plan import differences
from nonesuch.errors import InvalidRequest, OutputError

_PLAN = "plan.json"
_HOLES = ".holes"  # before .jsonl, of a shard where pictures are missing


class Place:
    """The folder of one set."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def held(self, record: dict[str, Any], *, resume: bool) -> Iterator[None]:
        """Hold the folder for a set of that record (`Plan.record`), which is stored here first.

        Raises InvalidRequest where it holds a set of another, or none and that is to be resumed,
        OutputError where another process writes to it or the system refuses.
        """
        if resume and not (self.folder / _PLAN).exists():
            raise InvalidRequest(
                f"{self.folder} holds no set to go on with, leave out resume to begin one"
            )
        with disk.writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        with disk.alone(self.folder):
            with disk.writing(self.folder):
                self.clear()
                self._agree(record)
            yield

    def clear(self) -> None:
        """Remove what was being written when a process ended."""
        aside = self.folder / ".aside"
        if aside.exists():
            shutil.rmtree(aside)

    def aside(self) -> Path:
        """A new name for something to be written."""
        folder = self.folder / ".aside"
        folder.mkdir(exist_ok=True)
        return folder / secrets.token_hex(8)

    def rows(self, shard: int, *, holes: bool = False) -> Path:
        """The file of a shard's rows."""
        return self.folder / "rows" / f"{shard:06d}{_HOLES if holes else ''}.jsonl"

    def done(self) -> frozenset[int]:
        """The shards that are whole."""
        names = [path.name for path in (self.folder / "rows").glob("*.jsonl")]
        return frozenset(int(name.split(".")[0]) for name in names if _HOLES not in name)

    def keep_rows(self, shard: int, rows: list[manifest.Row]) -> None:
        """Write the rows of a shard whose pictures are all in their places."""
        holes = any(row.missing for row in rows)
        disk.write(self.aside(), self.rows(shard, holes=holes), manifest.lines(rows))
        if not holes:
            self.rows(shard, holes=True).unlink(missing_ok=True)

    def parts(self, shards: int) -> list[Path]:
        """The files of rows of all shards, in order."""
        done = self.done()
        return [self.rows(shard, holes=shard not in done) for shard in range(shards)]

    def write(self, name: str, content: bytes) -> None:
        """Write a file of the set's folder."""
        disk.write(self.aside(), self.folder / name, content)

    def join(self, kind: manifest.Kind, shards: int) -> Path:
        """Write the manifest of all shards; returns its path."""
        place, path = self.aside(), self.folder / f"manifest.{kind}"
        manifest.join(kind, self.parts(shards), place)
        disk.sync(place)
        disk.move(place, path)
        return path

    def _agree(self, record: dict[str, Any]) -> None:
        path = self.folder / _PLAN
        if not path.exists():
            if any(self.folder.iterdir()):
                raise OutputError(f"{self.folder} holds other files, choose a new folder")
            text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
            disk.write(self.aside(), path, text.encode())
            return
        try:
            there = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as exc:
            raise InvalidRequest(f"{path} is no plan: {exc}") from exc
        if unlike := list(differences(there, record)):
            raise InvalidRequest(
                f"{self.folder} holds a set of another plan ({'; '.join(unlike[:3])}), choose "
                "another folder"
            )
