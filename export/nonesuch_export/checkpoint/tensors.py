"""Tensors as torch and numpy pickle them, read into numpy arrays without torch.

A torch storage nested in a pickle is a container of its own: five pickles, then the elements
(the layout that `torch.save` had before version 1.6).
"""

import math
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nonesuch.errors import CheckpointError
from nonesuch_export.checkpoint.source import Bounded, Text
from nonesuch_export.checkpoint.unpickle import Make, Name, load

Array = NDArray[Any]

MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_STEPS = 300  # a container takes some sixty
_MAX_AXES = 64  # numpy's own limit
_SCALARS = frozenset({"b1", "f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"})
_ELEMENTS: dict[str, np.dtype[Any]] = {
    "torch.FloatStorage": np.dtype("<f4"),
    "torch.DoubleStorage": np.dtype("<f8"),
    "torch.HalfStorage": np.dtype("<f2"),
    "torch.LongStorage": np.dtype("<i8"),
    "torch.IntStorage": np.dtype("<i4"),
    "torch.ShortStorage": np.dtype("<i2"),
    "torch.CharStorage": np.dtype("<i1"),
    "torch.ByteStorage": np.dtype("<u1"),
    "torch.BoolStorage": np.dtype("<b1"),
}


class Storage:
    """The elements that tensors are views of."""

    __slots__ = ("values",)

    def __init__(self, values: Array) -> None:
        self.values = values  # [count], read-only


class Described:
    """What a persistent id says of a storage: ('storage', type, key, location, count[, view])."""

    __slots__ = ("count", "dtype", "key", "part")

    def __init__(self, persistent_id: Any) -> None:
        match persistent_id:
            case ("storage", Name(path=path), str(key), _, int(count), *rest) if (
                path in _ELEMENTS and count >= 0 and len(rest) <= 1
            ):
                self.dtype = _ELEMENTS[path]
                self.key = key
                self.count = count
                self.part = rest[0] if rest else None  # (key, start, count), of old files
            case _:
                raise CheckpointError("a torch storage has an unknown description")

    def elements(self, blob: bytes | memoryview) -> Array:
        """`blob` as the elements described; raises CheckpointError if it holds another number."""
        if len(blob) != self.count * self.dtype.itemsize:
            raise CheckpointError(f"a torch storage of {self.count} elements holds another number")
        return np.frombuffer(blob, self.dtype)


def storage(blob: bytes | memoryview | Text) -> Storage:
    """The elements of one nested torch storage.

    Raises CheckpointError where the container is damaged, UnsafeCheckpoint where one of its
    pickles names more than a storage type.
    """
    blob = blob.encoded() if isinstance(blob, Text) else blob
    if not isinstance(blob, bytes | memoryview):
        raise CheckpointError("a torch storage is no byte string")
    stream = Bounded(blob, _STEPS)
    begin(stream)
    described = load(stream, STORAGE_TYPES, persistent=Described)
    if not isinstance(described, Described):
        raise CheckpointError("a torch storage has no description")
    load(stream, {})  # the list of keys, of which there is one
    start = stream.tell() + 8
    if int.from_bytes(blob[start - 8 : start], "little") != described.count:
        raise CheckpointError(f"a torch storage of {described.count} elements holds another number")
    return Storage(described.elements(blob[start:]))


def begin(stream: Bounded) -> None:
    """Read past the three pickles that a torch file of before version 1.6 begins with."""
    if (load(stream, {}), load(stream, {})) != (MAGIC, _PROTOCOL):
        raise CheckpointError("a torch storage does not begin with torch's magic number")
    system = load(stream, {})
    if not isinstance(system, dict) or not system.get("little_endian", True):
        raise CheckpointError("a torch storage is big-endian; save the file again on x86 or ARM")


def _no_storage(*_: Any) -> None:
    raise CheckpointError("a storage type is called")


STORAGE_TYPES: dict[str, Make] = dict.fromkeys(_ELEMENTS, _no_storage)


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
    sound = len(size) == len(stride) <= _MAX_AXES
    if not sound or not all(type(n) is int and 0 <= n < 2**63 for n in numbers):
        raise CheckpointError("a tensor has a size, an offset or strides that no tensor has")
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
        if not isinstance(code, str) or code not in _SCALARS:
            shown = code[:20] if isinstance(code, str) else type(code).__name__
            raise CheckpointError(f"an array has elements of type {shown!r}")
        self.value = np.dtype(code)

    def build(self, state: Any) -> None:
        """Take the byte order from numpy's state tuple (version, order, …)."""
        if state[1] in ("<", ">"):
            self.value = self.value.newbyteorder(state[1])


def _bytes(raw: Any) -> Any:
    """What a buffer of elements is; Python 2 wrote byte strings that arrive as text."""
    if isinstance(raw, Text):
        return raw.encoded()
    return raw.encode("latin-1") if isinstance(raw, str) else raw


def scalar(dtype: DType, raw: bytes) -> Any:
    """A Python number from numpy's pickled scalar."""
    return np.frombuffer(_bytes(raw), dtype.value, count=1)[0].item()


class NumpyArray:
    """Stand-in for a numpy array."""

    def __init__(self, *_: Any) -> None:
        """Take what `_reconstruct` gets: the class, a shape and a type, all to be replaced."""
        self._state: Any = (1, 0, DType("f4"), False, b"")

    def build(self, state: Any) -> None:
        """Take numpy's state tuple (version, shape, dtype, is_fortran, bytes)."""
        self._state = state

    @cached_property
    def value(self) -> Array:
        """The array, made on first use; raises as numpy does if the state is none of an array."""
        _, shape, dtype, fortran, raw = self._state
        flat = np.frombuffer(_bytes(raw), dtype.value)
        return flat.reshape(shape, order="F" if fortran else "C")


def from_buffer(
    raw: Any, dtype: DType, shape: Any, order: str, axes: tuple[int, ...] | None = None
) -> Array:
    """An array as protocol 5 writes it, `numpy._core.numeric._frombuffer`; read-only."""
    if not isinstance(dtype, DType):
        raise CheckpointError("an array has no element type")
    flat = np.frombuffer(raw, dtype.value)
    flat.flags.writeable = False
    if order == "K" and axes is not None:  # since numpy 2.3: contiguous, axes in another order
        return flat.reshape(shape).transpose(axes)
    return flat.reshape(shape, order="F" if order == "F" else "C")


def _numpy_names() -> dict[str, Make]:
    names: dict[str, Make] = {"numpy.dtype": DType, "numpy.ndarray": NumpyArray}
    for package in ("numpy.core", "numpy._core"):  # the second since numpy 2
        names[f"{package}.multiarray.scalar"] = scalar
        names[f"{package}.multiarray._reconstruct"] = NumpyArray
        names[f"{package}.numeric._frombuffer"] = from_buffer
    return names


NUMPY_NAMES = _numpy_names()
TORCH_NAMES: dict[str, Callable[..., Any]] = {
    "torch.storage._load_from_bytes": storage,
    "torch._utils._rebuild_tensor_v2": tensor,
    "torch._utils._rebuild_parameter": parameter,
}
