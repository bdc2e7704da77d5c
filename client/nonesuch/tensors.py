"""Tensors of the contract inside the messages of the KServe protocol, version 2."""

import math
import struct
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nonesuch.contract import DType, Tensor
from nonesuch.errors import RemoteError

# tritonclient ships no types for its messages.
Request = Any  # service_pb2.ModelInferRequest
Answer = Any  # service_pb2.ModelInferResponse
# A tensor of one sample.
Value = Sequence[float] | Sequence[str] | Sequence[Sequence[float]] | NDArray[np.float32]

_NUMPY: dict[DType, str] = {"FP32": "<f4", "INT32": "<i4", "INT64": "<i8", "UINT8": "|u1"}
_LENGTH = struct.Struct("<I")


def put(request: Request, tensor: Tensor, rows: Sequence[Value]) -> None:
    """Add an input to a request: one value for each sample, all of one shape."""
    if tensor.dtype == "BYTES":
        shape: tuple[int, ...] = (len(rows), len(rows[0]))
        raw = pack(str(word).encode() for row in rows for word in row)
    else:
        values = np.array(rows, _NUMPY[tensor.dtype])
        shape, raw = values.shape, values.tobytes()
    request.inputs.add(name=tensor.name, datatype=tensor.dtype, shape=shape)
    request.raw_input_contents.append(raw)


def array(answer: Answer, tensor: Tensor, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return an output of numbers, read-only; raises RemoteError if it has another shape."""
    raw, dtype = _raw(answer, tensor, shape), np.dtype(_NUMPY[tensor.dtype])
    if len(raw) != (expected := math.prod(shape) * dtype.itemsize):
        raise broken(answer, f"{len(raw)} bytes of {tensor.name}, expected {expected}")
    return np.frombuffer(raw, dtype).reshape(shape)


def texts(answer: Answer, tensor: Tensor, samples: int) -> list[bytes]:
    """Return an output of one byte string a sample; raises RemoteError if it is none."""
    try:
        found = unpack(_raw(answer, tensor, (samples, 1)))
    except ValueError as exc:
        raise broken(answer, f"{tensor.name} with {exc}") from exc
    if len(found) != samples:
        raise broken(answer, f"{len(found)} strings of {tensor.name}, expected {samples}")
    return found


def pack(items: Iterable[bytes]) -> bytes:
    """Write byte strings one after the other, each behind its length in 4 bytes.

    >>> pack([b"jpeg", b""])
    b'\\x04\\x00\\x00\\x00jpeg\\x00\\x00\\x00\\x00'
    """
    return b"".join(_LENGTH.pack(len(item)) + item for item in items)


def unpack(raw: bytes) -> list[bytes]:
    """Read what `pack` wrote; raises ValueError if it ends inside a string."""
    items, at = [], 0
    while at < len(raw):
        start = at + _LENGTH.size
        if start > len(raw):
            raise ValueError("its last length cut short")
        at = start + _LENGTH.unpack_from(raw, at)[0]
        if at > len(raw):
            raise ValueError("its last string cut short")
        items.append(raw[start:at])
    return items


def broken(answer: Answer, what: str) -> RemoteError:
    """Return the error for an answer that the contract does not allow."""
    return RemoteError(
        f"{answer.model_name or 'the server'} answered {what}; "
        "its model repository and this client do not fit together"
    )


def _raw(answer: Answer, tensor: Tensor, shape: tuple[int, ...]) -> bytes:
    outputs = {output.name: i for i, output in enumerate(answer.outputs)}
    at = outputs.get(tensor.name, len(answer.raw_output_contents))
    if at >= len(answer.raw_output_contents):
        raise broken(answer, f"without {tensor.name}")
    output = answer.outputs[at]
    if output.datatype != tensor.dtype or tuple(output.shape) != shape:
        raise broken(
            answer,
            f"{tensor.name} as {output.datatype} {list(output.shape)}, "
            f"expected {tensor.dtype} {list(shape)}",
        )
    raw: bytes = answer.raw_output_contents[at]
    return raw
