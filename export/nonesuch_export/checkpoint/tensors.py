"""Tensors as torch and numpy pickle them, read into numpy arrays without torch.

A torch storage nested in a pickle is a container of its own: five pickles, then the elements
(the layout that `torch.save` had before version 1.6).
"""

import io
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nonesuch.errors import CheckpointError
from nonesuch_export.checkpoint.unpickle import Bounded, Make, Name, load

Array = NDArray[Any]

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_STEPS = 1000  # a container takes some sixty
_SCALARS = frozenset({"b1", "f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"})
_ELEMENTS: dict[str, np.dtype[Any]] = {
    "torch.FloatStorage": np.dtype("<f4"),
    "torch.DoubleStorage": np.dtype("<f8"),
    "torch.HalfStorage": np.dtype("<f2"),
    "torch.LongStorage": np.dtype("<i8"),
    "torch.IntStorage": np.dtype("<i4"),
    "torch.ByteStorage": np.dtype("<u1"),
    "torch.BoolStorage": np.dtype("<b1"),
}


class Storage:
    """The elements that tensors are views of; made by `storage` only."""

    __slots__ = ("values",)

    def __init__(self, values: Array) -> None:
        self.values = values  # [count], read-only


def storage(blob: bytes) -> Storage:
    """The elements of one nested torch storage.

    Raises CheckpointError where the container is damaged, UnsafeCheckpoint where one of its
    pickles names more than a storage type.
    """
    if not isinstance(blob, bytes):
        raise CheckpointError("a torch storage is no byte string")
    raw = io.BytesIO(blob)
    stream = Bounded(raw, _STEPS)
    if (load(stream, {}), load(stream, {})) != (_MAGIC, _PROTOCOL):
        raise CheckpointError("a torch storage does not begin with torch's magic number")
    system = load(stream, {})
    if not isinstance(system, dict) or not system.get("little_endian", True):
        raise CheckpointError("a torch storage is big-endian; save the file again on x86 or ARM")
    described = load(stream, _STORAGE_TYPES, persistent=_Description)
    if not isinstance(described, _Description):
        raise CheckpointError("a torch storage has no description")
    dtype, count = described.dtype, described.count
    load(stream, {})  # the list of keys, of which there is one
    stored = int.from_bytes(raw.read(8), "little")
    if stored != count or len(blob) - raw.tell() != count * dtype.itemsize:
        raise CheckpointError(f"a torch storage of {count} elements holds another number")
    return Storage(np.frombuffer(blob, dtype, offset=raw.tell()))


def _no_storage(*_: Any) -> None:
    raise CheckpointError("a storage type is called")


_STORAGE_TYPES: dict[str, Make] = dict.fromkeys(_ELEMENTS, _no_storage)


class _Description:
    """Element type and count from ('storage', type, key, location, count, view)."""

    def __init__(self, persistent_id: Any) -> None:
        word, kind, _, _, count, _ = persistent_id
        if word != "storage" or not isinstance(kind, Name) or type(count) is not int or count < 0:
            raise CheckpointError("a torch storage has an unknown description")
        self.dtype = _ELEMENTS[kind.path]
        self.count = count


def tensor(
    elements: Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any
) -> Array:
    """A view of `size` into a storage, as `torch._utils._rebuild_tensor_v2` makes it.

    Raises CheckpointError where the view leaves the storage, or repeats its elements.
    """
    if not isinstance(elements, Storage):  # a view of a view could reach beyond both
        raise CheckpointError("a tensor is no view of a storage")
    values = elements.values
    numbers = (offset, *size, *stride)
    if len(size) != len(stride) or not all(type(n) is int and n >= 0 for n in numbers):
        raise CheckpointError(f"a tensor has size {size} and stride {stride}")
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    count = math.prod(size)
    if count and (last >= len(values) or count > len(values)):
        raise CheckpointError(f"a tensor of size {size} leaves its storage of {len(values)}")
    steps = tuple(step * values.itemsize for step in stride)
    return np.lib.stride_tricks.as_strided(values[offset:], size, steps, writeable=False)


def parameter(values: Array, *_: Any) -> Array:
    """The tensor inside a `torch.nn.Parameter`."""
    if not isinstance(values, np.ndarray):
        raise CheckpointError("a parameter holds no tensor")
    return values


class DType:
    """Stand-in for a numpy dtype: plain numbers only, never Python objects."""

    def __init__(self, code: str, *_: Any) -> None:
        if code not in _SCALARS:
            raise CheckpointError(f"an array has elements of type {str(code)[:20]!r}")
        self.value = np.dtype(code)

    def build(self, state: Any) -> None:
        """Take the byte order from numpy's state tuple (version, order, …)."""
        if state[1] in ("<", ">"):
            self.value = self.value.newbyteorder(state[1])


def scalar(dtype: DType, raw: bytes) -> Any:
    """A Python number from numpy's pickled scalar."""
    return np.frombuffer(raw, dtype.value, count=1)[0].item()


class NumpyArray:
    """Stand-in for a numpy array; `value` is the array once its state has come."""

    value: Array = np.zeros(0)

    def __init__(self, *_: Any) -> None:
        """Take what `_reconstruct` gets: the class, a shape and a type, all to be replaced."""

    def build(self, state: Any) -> None:
        """Take numpy's state tuple (version, shape, dtype, is_fortran, bytes)."""
        _, shape, dtype, fortran, raw = state
        flat = np.frombuffer(raw, dtype.value)
        self.value = flat.reshape(shape, order="F" if fortran else "C")


def _numpy_names() -> dict[str, Make]:
    names: dict[str, Make] = {"numpy.dtype": DType, "numpy.ndarray": NumpyArray}
    for package in ("numpy.core", "numpy._core"):  # the second since numpy 2
        names[f"{package}.multiarray.scalar"] = scalar
        names[f"{package}.multiarray._reconstruct"] = NumpyArray
    return names


NUMPY_NAMES = _numpy_names()
TORCH_NAMES: dict[str, Callable[..., Any]] = {
    "torch.storage._load_from_bytes": storage,
    "torch._utils._rebuild_tensor_v2": tensor,
    "torch._utils._rebuild_parameter": parameter,
}
