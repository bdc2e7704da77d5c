"""Files that `torch.save` wrote, read without torch.

Since torch 1.6 such a file is a zip: one pickle, `data.pkl`, and one entry for the elements of
each storage. Before, it was a row of pickles followed by the elements of all storages. In both,
the pickle refers to storages by persistent ids; where a storage once lay (`cuda:0`) is ignored.
"""

from collections.abc import Callable, Mapping
from typing import Any

from nonesuch.errors import CheckpointError, UnsupportedCheckpoint
from nonesuch_export.checkpoint import archive
from nonesuch_export.checkpoint.source import Bounded
from nonesuch_export.checkpoint.tensors import (
    MAGIC,
    NUMPY_NAMES,
    STORAGE_TYPES,
    TORCH_NAMES,
    Described,
    Storage,
    begin,
)
from nonesuch_export.checkpoint.unpickle import CONTAINERS, Make, load


class Inert:
    """Stand-in for an object beside the weights, such as a program's arguments; keeps nothing."""

    def __init__(self, *_: Any) -> None: ...

    def build(self, state: Any) -> None:
        """Let the object's attributes go."""


# What stands beside the weights in files of all kinds.
BESIDE: dict[str, Make] = dict.fromkeys(
    (
        "argparse.Namespace",
        "torch.Size",
        "torch.device",
        *(
            f"torch.{name}"
            for name in ("float16", "bfloat16", "float32", "float64", "int32", "int64")
        ),
        "pathlib.PosixPath",
        "pathlib.PurePosixPath",
        "pathlib.WindowsPath",
        "pathlib.PureWindowsPath",
    ),
    Inert,
)
_NAMES: dict[str, Make] = {
    **CONTAINERS,
    **NUMPY_NAMES,
    **STORAGE_TYPES,
    **TORCH_NAMES,
    **BESIDE,
    "easydict.EasyDict": CONTAINERS["collections.OrderedDict"],
}
# What a pickle is made of before the places of its storages are known.
_OUTLINE = _NAMES | dict.fromkeys(TORCH_NAMES, Inert)


def is_legacy(root: Any) -> bool:
    """Whether the first pickle of a file says that torch wrote it, before version 1.6."""
    return type(root) is int and root == MAGIC


def read_zip(file: memoryview, names: Mapping[str, Make]) -> Any:
    """What `torch.save` was given, its tensors as read-only arrays that are views of the file.

    `names` maps what it may hold beside tensors and plain data to what is made of it.
    Raises CheckpointError or one of its kinds, always in one sentence.
    """
    files = archive.entries(file)
    found = [name for name in files if name.endswith("/data.pkl") and name.count("/") == 1]
    if len(found) != 1:
        raise UnsupportedCheckpoint(f"the zip file has {len(found)} data.pkl, a torch file has one")
    folder = found[0].removesuffix("data.pkl")
    if f"{folder}constants.pkl" in files:
        raise UnsupportedCheckpoint(
            "this is a TorchScript program; save the generator's state_dict instead"
        )
    order = bytes(files.get(f"{folder}byteorder", b"little")[:8])
    if order != b"little":
        raise UnsupportedCheckpoint(
            f"the tensors are stored in byte order {order!r}; save the file again on x86 or ARM"
        )

    def stored(persistent_id: Any) -> Storage:
        described = Described(persistent_id)
        if (blob := files.get(f"{folder}data/{described.key}")) is None:
            raise CheckpointError(f"the storage {described.key[:40]!r} is missing in the zip file")
        return Storage(described.elements(blob))

    return load(Bounded(files[found[0]]), {**names, **_NAMES}, stored)


def read_legacy(file: memoryview, names: Mapping[str, Make]) -> Any:
    """What `read_zip` gives, from a file of the older layout."""
    stream = Bounded(file)
    begin(stream)
    start = stream.tell()
    described: dict[str, Described] = {}

    def noted(persistent_id: Any) -> None:
        storage = Described(persistent_id)
        described[storage.key] = storage

    load(stream, {**names, **_OUTLINE}, noted)
    storages = _storages(stream, file, described)
    # Once more, now that the storages' places are known.
    return load(Bounded(file[start:]), {**names, **_NAMES}, _among(storages))


def _storages(
    stream: Bounded, file: memoryview, described: dict[str, Described]
) -> dict[str, Storage]:
    """The elements that follow a pickle, in the order of a list of keys."""
    keys = load(stream, {})
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise CheckpointError("the torch file has no list of storages")
    if sorted(keys) != sorted(described):
        raise CheckpointError("the torch file holds other storages than its tensors are made of")
    storages, place = {}, stream.tell()
    for key in keys:
        storage = described[key]
        start = place + 8
        if int.from_bytes(file[place:start], "little") != storage.count:
            raise CheckpointError(f"the storage {key[:40]!r} has another number of elements")
        place = start + storage.count * storage.dtype.itemsize
        storages[key] = Storage(storage.elements(file[start:place]))
    return storages


def _among(storages: dict[str, Storage]) -> Callable[[Any], Storage]:
    """What makes the value of a persistent id."""

    def stored(persistent_id: Any) -> Storage:
        described = Described(persistent_id)
        values = storages[described.key].values
        if described.part is not None:  # a storage that begins within another
            _, start, count = described.part
            if not 0 <= start <= start + count <= len(values):
                raise CheckpointError("a part of a torch storage lies outside it")
            values = values[start : start + count]
        return Storage(values)

    return stored
