"""Persistent modules: the form in which the authors' PyTorch programs pickle a network.

A module is pickled with its attributes, tensors and children, and with the Python source that
made it. Here it becomes an inert `Module`; the source is passed over as text.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from nonesuch.errors import CheckpointError
from nonesuch_export.checkpoint.tensors import NUMPY_NAMES, TORCH_NAMES, Array, NumpyArray
from nonesuch_export.checkpoint.unpickle import CONTAINERS, Make, shown

_MAX_MODULES = 5_000  # a 1024² generator with its discriminator has some two hundred
_MAX_DEPTH = 20


class Module:
    """Stand-in for one pickled module: its attributes, tensors and children, all inert."""

    def __init__(self, meta: Any, *_: Any) -> None:
        match meta:
            case {"type": "class", "version": 6, "class_name": str(name), "state": dict(state)}:
                self.class_name = name
                self._state = state
            case _:
                raise CheckpointError("a module's description is not of version 6")

    @property
    def children(self) -> dict[str, "Module"]:
        """The parts that are there; raises CheckpointError for one that is no module."""
        parts = {name: part for name, part in self._table("_modules").items() if part is not None}
        for name, part in parts.items():
            if not isinstance(part, Module):
                raise CheckpointError(f"part {shown(name)} of {self.class_name} is no module")
        return parts

    @property
    def tensors(self) -> dict[str, Array]:
        """Parameters and buffers that are there; raises CheckpointError for what is no array."""
        stored = {**self._table("_parameters"), **self._table("_buffers")}
        arrays = {name: _array(value) for name, value in stored.items() if value is not None}
        for name, array in arrays.items():
            if array is None or not array.size:
                raise CheckpointError(f"{shown(name)} of {self.class_name} is no tensor of values")
        return {name: array for name, array in arrays.items() if array is not None}

    def _table(self, name: str) -> dict[str, Any]:
        table = self._state.get(name)
        if not isinstance(table, dict):
            raise CheckpointError(f"module {self.class_name} has no table {name}")
        return table

    def get(self, name: str, default: Any = None) -> Any:
        """A plain attribute of the pickled object."""
        return self._state.get(name, default)

    def child(self, name: str) -> "Module":
        if name not in (children := self.children):
            raise CheckpointError(f"module {self.class_name} has no part {name!r}")
        return children[name]

    def shape(self, name: str, axes: int) -> tuple[int, ...]:
        """The shape of a tensor that must be there, with as many axes."""
        if name not in (tensors := self.tensors):
            raise CheckpointError(f"tensor {name!r} of a {self.class_name} is missing")
        if tensors[name].ndim != axes:
            raise CheckpointError(f"{name!r} of a {self.class_name} has {tensors[name].ndim} axes")
        return tensors[name].shape

    def integer(self, name: str) -> int:
        if type(value := self.get(name)) is not int or not 0 <= value < 2**20:
            raise CheckpointError(f"{self.class_name}.{name} is {shown(value)}, no size")
        return value

    def walk(self) -> Iterator[tuple[str, "Module"]]:
        """This module and all below it with dotted names, parents first.

        Parts may be shared, and may even hold each other: raises CheckpointError where there
        are more than any network has.
        """
        waiting: list[tuple[tuple[str, ...], Module]] = [((), self)]
        for _ in range(_MAX_MODULES):
            if not waiting:
                return
            path, module = waiting.pop()
            yield ".".join(path), module
            if len(path) == _MAX_DEPTH:
                break
            below = [((*path, str(name)), part) for name, part in module.children.items()]
            waiting += reversed(below)
        raise CheckpointError(f"over {_MAX_MODULES} modules or {_MAX_DEPTH} levels of them")


def _array(value: Any) -> Array | None:
    if isinstance(value, NumpyArray):
        value = value.value
    return value if isinstance(value, np.ndarray) else None


NAMES: dict[str, Make] = {
    **NUMPY_NAMES,
    **TORCH_NAMES,
    **CONTAINERS,
    "dnnlib.util.EasyDict": CONTAINERS["builtins.dict"],
    "torch_utils.persistence._reconstruct_persistent_obj": Module,
}
