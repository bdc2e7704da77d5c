"""What a set holds, picture by picture: one row each, as JSON lines or as Parquet."""

import importlib.util
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from nonesuch.errors import OutputError

Kind = Literal["jsonl", "parquet"]

KINDS: tuple[Kind, ...] = ("jsonl", "parquet")


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One seed of a set: where its picture is, or why there is none."""

    seed: int
    path: str | None = None  # of the shard or of the picture's own file, in the set's folder
    name: str | None = None  # of the picture's file; in a shard, its member
    sha256: str | None = None  # of the picture's file
    size_bytes: int | None = None
    seam: float | None = None  # the seam score, where the model tiles
    dhash: str | None = None  # 64 bits in hexadecimal: alike pictures differ in few (`likeness`)
    recipe: Mapping[str, Any] | None = None
    duplicate_of: int | None = None  # the seed of the picture for whose sake this was left out
    error: str | None = None  # why there is no picture

    @property
    def missing(self) -> bool:
        """Whether the picture ought to be there and is not."""
        return self.error is not None

    def to_json(self) -> str:
        """The row as one line, without what it has not."""
        # Not `asdict`, which copies the recipe, value by value.
        known = {name: value for name in _NAMES if (value := getattr(self, name)) is not None}
        return json.dumps(known, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "Row":
        """Read what `to_json` wrote."""
        return cls(**json.loads(text))


_NAMES = [field.name for field in fields(Row)]


def lines(rows: Iterable[Row]) -> bytes:
    """Rows as JSON lines."""
    return "".join(f"{row.to_json()}\n" for row in rows).encode()


def read(path: Path) -> Iterator[Row]:
    """The rows of a file of JSON lines."""
    with path.open(encoding="utf-8") as file:
        yield from map(Row.from_json, file)


def check(kind: Kind) -> None:
    """Raise OutputError where a manifest of that kind cannot be written on this machine."""
    if kind == "parquet" and importlib.util.find_spec("pyarrow") is None:
        raise OutputError(
            "a Parquet manifest needs pyarrow: pip install 'nonesuch[bulk]', or choose jsonl"
        )


def join(kind: Kind, parts: Sequence[Path], place: Path) -> None:
    """Write the manifest of a whole set from those of its shards; holds one shard in memory."""
    if kind == "parquet":
        _join_parquet(parts, place)
        return
    with place.open("wb") as file:
        for part in parts:
            file.write(part.read_bytes())


def _join_parquet(parts: Sequence[Path], place: Path) -> None:
    import pyarrow as pa  # an extra, and slow to load
    import pyarrow.parquet as pq

    kinds = {"seed": pa.int64(), "size_bytes": pa.int64(), "duplicate_of": pa.int64()}
    kinds["seam"] = pa.float64()
    schema = pa.schema([(name, kinds.get(name, pa.string())) for name in _NAMES])
    with pq.ParquetWriter(place, schema) as writer:
        for part in parts:
            rows = [_flat(row) for row in read(part)]
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))


def _flat(row: Row) -> dict[str, Any]:
    recipe = None if row.recipe is None else json.dumps(row.recipe, ensure_ascii=False)
    return asdict(row) | {"recipe": recipe}
