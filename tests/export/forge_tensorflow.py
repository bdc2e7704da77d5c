"""Pickles as the TensorFlow programs write them, and variables for any StyleGAN2 of theirs.

The authors' classes are stand-ins that exist only while a file is written.
"""

import io
import pickle
import struct
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

Variables = dict[str, NDArray[Any] | np.float32]

ADA = "G_synthesis"  # what stylegan2-ada calls its synthesis function
_SOURCE = "raise SystemExit('the source of a checkpoint was run')"


class _Network:
    """Pickles as an object without arguments whose state is a dict."""

    def __init__(self, state: Mapping[str, Any]) -> None:
        self.state = dict(state)

    def __getstate__(self) -> dict[str, Any]:
        return self.state


def _program(module: str) -> type[_Network]:
    return type("Network", (_Network,), {"__module__": module})


class EasyDict(dict[str, Any]):
    """Named in the pickles."""


EasyDict.__module__ = "dnnlib.util"
_PROGRAMS = {
    "dnnlib": _program("dnnlib.tflib.network"),
    "tfutil": _program("tfutil"),
    "theano": _program("network"),
}


def network(
    name: str,
    build_func: str,
    static: Mapping[str, Any],
    variables: Mapping[str, Any],
    *,
    container: str = "dnnlib",
    **state: Any,
) -> _Network:
    """An object of the program's `Network` class; `state` adds to its state, or replaces."""
    described = {
        "version": 2 if container == "tfutil" else 4,
        "name": name,
        "static_kwargs": dict(static),
        "components": {},
        "build_module_src": _SOURCE,
        "build_func_name": build_func,
        "variables": list(variables.items()),
    }
    return _PROGRAMS[container]({**described, **state})


def pickled(root: Any, *, protocol: int = 4, python2: bool = False) -> bytes:
    """The pickle of networks in containers; `python2` writes its strings as Python 2 does."""
    with _authors_modules():
        if not python2:
            return pickle.dumps(root, protocol)
        file = io.BytesIO()
        _Python2(file, 2).dump(root)
        return file.getvalue()


class _Python2(pickle._Pickler):
    """Writes text and byte strings alike as the byte strings of Python 2."""

    dispatch: ClassVar[dict[type, Callable[..., None]]] = {**pickle._Pickler.dispatch}

    def _save_string(self, value: str | bytes) -> None:
        raw = value.encode("latin-1") if isinstance(value, str) else value
        head = b"U" + bytes([len(raw)]) if len(raw) < 256 else b"T" + struct.pack("<i", len(raw))
        self.write(head + raw)  # type: ignore[attr-defined]
        self.memoize(value)  # type: ignore[attr-defined]

    dispatch[str] = _save_string
    dispatch[bytes] = _save_string


@contextmanager
def _authors_modules() -> Iterator[None]:
    """Let pickle find our stand-ins under the names of the authors' modules."""
    made: dict[str, types.ModuleType] = {}
    classes: tuple[type[Any], ...] = (*_PROGRAMS.values(), EasyDict)
    for made_class in classes:
        parts = made_class.__module__.split(".")
        for depth in range(1, len(parts) + 1):
            made.setdefault(".".join(parts[:depth]), types.ModuleType(parts[depth - 1]))
        setattr(made[made_class.__module__], made_class.__name__, made_class)
    assert not set(made) & set(sys.modules)
    sys.modules.update(made)
    try:
        yield
    finally:
        for name in made:
            del sys.modules[name]


def stylegan2(
    name: str = "Gs",
    *,
    synthesis_func: str = "G_synthesis_stylegan2",
    lod: float = 0.0,
    seed: int = 0,
    **static: Any,
) -> _Network:
    """A StyleGAN2 built with these static arguments, in which every variable matters."""
    random = np.random.default_rng(seed)
    given = {"synthesis_func": synthesis_func, **static}
    own: Variables = {
        "lod": np.float32(lod),
        "dlatent_avg": _normal(random, static.get("dlatent_size", 512)),
    }
    if synthesis_func == ADA:
        own.pop("lod")
    layers = variables_of_synthesis(given, random)
    if synthesis_func.endswith("revised"):
        layers = {"lod": np.array(0.25, np.float32), **layers}  # a copy that is not in force
    handed = {k: v for k, v in static.items() if not k.startswith("truncation")}
    mapping = network("G_mapping", "G_mapping", handed, variables_of_mapping(given, random))
    synthesis = network("G_synthesis", synthesis_func, handed, layers)
    state: dict[str, Any] = {"components": {"synthesis": synthesis, "mapping": mapping}}
    if synthesis_func == ADA:
        state |= {"version": 5, "input_shapes": [[None, 12], [None, 0]]}
    return network(name, "G_main", given, own, **state)


def variables_of_mapping(given: Mapping[str, Any], random: np.random.Generator) -> Variables:
    """Of `G_mapping`: LabelConcat or LabelEmbed where there are labels, then dense layers."""
    latents, labels = given.get("latent_size", 512), given.get("label_size", 0)
    found: Variables = {}
    joined = given.get("label_fmaps") or latents if labels else 0
    if labels and given.get("synthesis_func") == ADA:
        found["LabelEmbed/weight"] = _normal(random, labels, joined)
        found["LabelEmbed/bias"] = _normal(random, joined)
    elif labels:
        found["LabelConcat/weight"] = _normal(random, labels, joined)
    width, layers = latents + joined, given.get("mapping_layers", 8)
    lr = given.get("mapping_lrmul", 0.01)
    for i in range(layers):
        last = i == layers - 1
        outputs = given.get("dlatent_size", 512) if last else given.get("mapping_fmaps", 512)
        found[f"Dense{i}/weight"] = _normal(random, width, outputs) / np.float32(lr)
        found[f"Dense{i}/bias"] = _normal(random, outputs) / np.float32(lr)
        width = outputs
    return found


def variables_of_synthesis(given: Mapping[str, Any], random: np.random.Generator) -> Variables:
    """Of either synthesis function, in no particular order."""
    top = int(np.log2(given.get("resolution", 1024)))
    grows = str(given.get("synthesis_func")).endswith("revised")
    architecture = "grows" if grows else given.get("architecture", "skip")
    found: Variables = {"4x4/Const/const": _normal(random, 1, _width(given, 1), 4, 4)}
    for r in range(2, top + 1):
        here, width = f"{2**r}x{2**r}", _width(given, r - 1)
        before = _width(given, max(r - 2, 1))
        layers = [("Conv", width)] if r == 2 else [("Conv0_up", before), ("Conv1", width)]
        for i, (name, inputs) in enumerate(layers):
            number = 0 if r == 2 else 2 * r - 5 + i
            found |= _modulated(given, f"{here}/{name}", (3, inputs, width), random)
            if given.get("use_noise", True):
                found[f"{here}/{name}/noise_strength"] = np.float32(random.normal())
                found[f"noise{number}"] = _normal(random, 1, 1, 2**r, 2**r)
        if architecture == "resnet" and r > 2:
            found[f"{here}/Skip/weight"] = _normal(random, 1, 1, before, width)
        if architecture in {"grows", "skip"} or r == top:
            colour = f"ToRGB_lod{top - r}" if grows else f"{here}/ToRGB"
            found |= _modulated(given, colour, (1, width, given.get("num_channels", 3)), random)
    return found


def _width(given: Mapping[str, Any], stage: int) -> int:
    decay = given.get("fmap_decay", 1.0)
    width = int(given.get("fmap_base", 16384) / 2.0 ** (stage * decay))
    return int(np.clip(width, given.get("fmap_min", 1), given.get("fmap_max", 512)))


def _modulated(
    given: Mapping[str, Any], name: str, shape: tuple[int, int, int], random: np.random.Generator
) -> Variables:
    kernel, inputs, outputs = shape
    return {
        f"{name}/weight": _normal(random, kernel, kernel, inputs, outputs),
        f"{name}/mod_weight": _normal(random, given.get("dlatent_size", 512), inputs),
        f"{name}/mod_bias": _normal(random, inputs) * np.float32(0.3),
        f"{name}/bias": _normal(random, outputs) * np.float32(0.3),
    }


def _normal(random: np.random.Generator, *shape: int) -> NDArray[np.float32]:
    return random.normal(size=shape).astype(np.float32)
