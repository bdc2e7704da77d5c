"""The TensorFlow-era `Network` objects, as inert records.

The authors' TensorFlow code pickles networks as objects of one class: a description of how the
network was built (the function's name and the arguments that were passed) and its variables by
name. Sub-networks are networks of their own under `components`. The Python source that each
carries along is passed over as text.
"""

import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from nonesuch.errors import CheckpointError, UnsupportedCheckpoint
from nonesuch_export.checkpoint.tensors import NUMPY_NAMES, Array, NumpyArray
from nonesuch_export.checkpoint.unpickle import CONTAINERS, Make, shown

_VERSIONS = {"dnnlib": range(2, 6), "tfutil": range(2, 3)}  # of the state, by container
_MAX_VARIABLES = 2_000  # of one network; a generator for 1024² has some two hundred
_MAX_DEPTH = 3  # networks within networks; generators have two levels
_MAX_STATIC = 1_000  # values in the static arguments, nested ones too


class Pickled:
    """Stand-in for one pickled `Network`; `state` is what its class would have been given."""

    def __init__(self, container: str) -> None:
        self.container = container
        self.state: Mapping[str, Any] = {}

    def build(self, state: Any) -> None:
        if not isinstance(state, dict):
            raise CheckpointError(f"the state of a network is {shown(state)}, no dict")
        self.state = state

    def word(self, key: str) -> str:
        """A text of the state; raises CheckpointError where it is none."""
        if not isinstance(value := self.state.get(key), str):
            raise CheckpointError(f"a network has {key} {shown(value)}, expected a text")
        return value[:200]


@dataclass(frozen=True, kw_only=True, slots=True)
class Network:
    """One pickled network, checked and inert.

    `static` has only the arguments that were passed when the network was built: for the rest
    the build function's defaults hold. `variables` are the network's own, not those of its
    components; float arrays, read-only, some of rank 0.
    """

    name: str  # "Gs", "G_synthesis", …
    version: int  # of the state's layout
    build_func: str  # "G_style", "G_main", "G_paper", "G_synthesis", …
    container: str  # "dnnlib" or "tfutil", by the class that was pickled
    static: dict[str, Any]
    components: "dict[str, Network]"
    variables: dict[str, Array]

    def component(self, name: str, *build_funcs: str) -> "Network":
        """A sub-network that must be there and be built by one of `build_funcs`."""
        if (part := self.components.get(name)) is None:
            raise CheckpointError(f"the network {self.name!r} has no component {name!r}")
        if part.build_func not in build_funcs:
            raise UnsupportedCheckpoint(
                f"the component {name!r} is built by {part.build_func!r}, expected "
                f"{' or '.join(build_funcs)}; please report it with the program it comes from"
            )
        return part

    def arguments(self, defaults: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments in force: the static ones, for the rest the build function's defaults.

        `defaults` holds every argument that the function knows; others are refused by name.
        """
        for key in sorted(set(self.static) - set(defaults)):
            raise UnsupportedCheckpoint(
                f"{self.name} was built with {key[:60]}={shown(self.static[key])}, an argument "
                f"that {self.build_func} does not have; please report it with the program that "
                "it comes from"
            )
        return {**defaults, **self.static}


def size(arguments: Mapping[str, Any], key: str, least: int, most: int) -> int:
    """An argument that must be a whole number within bounds."""
    value = arguments[key]
    if type(value) is not int or not least <= value <= most:
        raise UnsupportedCheckpoint(f"{key} is {shown(value)}, expected {least} to {most}")
    return value


def resolution(arguments: Mapping[str, Any]) -> int:
    """The argument `resolution`, a power of two."""
    value = size(arguments, "resolution", 4, 4096)
    if value & (value - 1):
        raise UnsupportedCheckpoint(f"resolution is {value}, expected a power of two")
    return value


class Taken:
    """The variables of one network, taken out one by one; each has its place exactly once."""

    def __init__(self, network: Network) -> None:
        self._name = network.name
        self._left = dict(network.variables)

    def has(self, name: str) -> bool:
        return name in self._left

    def take(self, name: str) -> Array:
        """A variable that must be there."""
        if name not in self._left:
            raise CheckpointError(f"variable {name!r} of {self._name} is missing")
        return self._left.pop(name)

    def drop(self, pattern: str) -> None:
        """Forget the variables whose names match: what the network stores and never reads."""
        self._left = {n: v for n, v in self._left.items() if not re.fullmatch(pattern, n)}

    def finish(self) -> None:
        """Raise UnsupportedCheckpoint if there is a variable without a place."""
        for name in sorted(self._left):
            raise UnsupportedCheckpoint(f"variable {name!r} of {self._name} has no place")


def generator(root: Any) -> tuple[Network, bool]:
    """The moving-average generator of an unpickled file: Gs of (G, D, Gs), or a single network.

    With it, whether it is known to be the moving average: by its name, or as the last of several
    generators, which files that came from the Theano program do not name.

    Raises UnsupportedCheckpoint where there is none, CheckpointError where it is damaged.
    """
    found = [root] if isinstance(root, Pickled) else _listed(root)
    picked = next((p for p in found if p.state.get("name") == "Gs"), found[-1])
    if picked.container == "theano":
        raise UnsupportedCheckpoint(
            "the network was written by the Theano program for Progressive GAN (network.Network); "
            "import it with the authors' TensorFlow program first"
        )
    network = _network(picked, 1)
    if not network.build_func.startswith("G_"):
        raise UnsupportedCheckpoint(
            f"the network {network.name!r} is built by {network.build_func!r}, which is no "
            "generator; the file of a generator holds (G, D, Gs)"
        )
    return network, network.name == "Gs" or len(found) > 1


def _listed(root: Any) -> list[Pickled]:
    members = root.values() if isinstance(root, dict) else root
    if not isinstance(root, dict | tuple | list):
        raise UnsupportedCheckpoint(f"the pickle holds {shown(root)}, no networks")
    found = [member for member in members if isinstance(member, Pickled)]
    if not found:
        raise UnsupportedCheckpoint("the pickle holds no network of the authors' programs")
    generators = [p for p in found if not str(p.state.get("build_func_name")).startswith("D_")]
    return generators or found


def holds_networks(root: Any) -> bool:
    """Whether an unpickled file is of the TensorFlow era, by what it holds."""
    members = root.values() if isinstance(root, dict) else root
    if isinstance(root, dict | tuple | list):
        return any(isinstance(member, Pickled) for member in members)
    return isinstance(root, Pickled)


def _network(picked: Any, depth: int) -> Network:
    if not isinstance(picked, Pickled) or depth > _MAX_DEPTH:
        raise CheckpointError(f"a component is {shown(picked)} at depth {depth}, no sub-network")
    version = picked.state.get("version")
    known = _VERSIONS.get(picked.container, range(0))
    if type(version) is not int or version not in known:
        raise UnsupportedCheckpoint(
            f"a {picked.container} network is of version {shown(version)}, expected "
            f"{known.start} to {known.stop - 1}"
        )
    return Network(
        name=picked.word("name"),
        version=version,
        build_func=picked.word("build_func_name"),
        container=picked.container,
        static=_static(picked.state.get("static_kwargs")),
        components=_components(picked.state.get("components"), depth),
        variables=dict(_variables(picked.state.get("variables"))),
    )


def _components(parts: Any, depth: int) -> dict[str, Network]:
    parts = {} if parts is None else parts  # absent in version 2
    if not isinstance(parts, dict) or len(parts) > 8:
        raise CheckpointError(f"the components of a network are {shown(parts)}, no small dict")
    return {str(name)[:80]: _network(part, depth + 1) for name, part in parts.items()}


def _static(given: Any) -> dict[str, Any]:
    if not isinstance(given, dict) or not all(isinstance(key, str) for key in given):
        raise CheckpointError(f"the static arguments of a network are {shown(given)}, no dict")
    left = [_MAX_STATIC]
    return {key: _plain(value, left) for key, value in given.items()}


def _plain(value: Any, left: list[int], depth: int = 0) -> Any:
    """A copy of plain data; `left` counts down what all static arguments together may hold."""
    left[0] -= 1
    if depth > 4 or left[0] < 0:
        raise CheckpointError("the static arguments of a network are nested or long without end")
    if isinstance(value, NumpyArray | np.ndarray):
        values = array(value)
        if values.size > left[0]:
            raise CheckpointError(f"a static argument has {values.size} values")
        return values.tolist()
    if isinstance(value, dict):
        return {str(key): _plain(part, left, depth + 1) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part, left, depth + 1) for part in value]
    if isinstance(value, str | int | float | None):
        return value
    raise CheckpointError(f"a static argument of a network is {shown(value)}")


def _variables(pairs: Any) -> Iterator[tuple[str, Array]]:
    if not isinstance(pairs, list | tuple) or len(pairs) > _MAX_VARIABLES:
        raise CheckpointError(f"the variables of a network are {shown(pairs)}, no list of pairs")
    seen = set()
    for pair in pairs:
        match pair:
            case (str(name), value) if name not in seen:
                seen.add(name)
                yield name[:200], _floats(name[:200], value)
            case _:
                raise CheckpointError("a variable is no pair of a name of its own and a value")


def _floats(name: str, value: Any) -> Array:
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = np.array(value, np.float32)  # as which a variable of rank 0 was stored
    values = array(value)
    if values.dtype.kind != "f":
        raise CheckpointError(f"variable {name!r} is {shown(value)}, no array of floats")
    view = values.view()
    view.flags.writeable = False
    return view


def array(value: Any) -> Array:
    """The numpy array that was pickled; one without elements where `value` is none."""
    if isinstance(value, NumpyArray):
        value = value.value
    return value if isinstance(value, np.ndarray) else np.zeros(0, np.int8)


NAMES: dict[str, Make] = {
    **NUMPY_NAMES,
    **CONTAINERS,
    "dnnlib.tflib.network.Network": functools.partial(Pickled, "dnnlib"),
    "tfutil.Network": functools.partial(Pickled, "tfutil"),
    "network.Network": functools.partial(Pickled, "theano"),
    "dnnlib.util.EasyDict": CONTAINERS["builtins.dict"],
}
