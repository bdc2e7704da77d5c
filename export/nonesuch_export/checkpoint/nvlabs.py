"""Reader for the pickles of the authors' PyTorch repositories (stylegan2-ada-pytorch, stylegan3).

Such a pickle holds whole modules with their attributes. Per-layer attributes are the values in
force, so they are read in preference to constructor arguments, whose defaults differ between
the repositories. The Python source that each module carries along is passed over as text.
"""

import math
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

from nonesuch.errors import CheckpointError, UnsupportedCheckpoint
from nonesuch_export.checkpoint.tensors import NUMPY_NAMES, TORCH_NAMES, Array, NumpyArray
from nonesuch_export.checkpoint.unpickle import Bounded, Make, load, plain

_MAPPING_OPTIONS = frozenset({
    "num_layers", "embed_features", "layer_features", "activation", "lr_multiplier", "w_avg_beta"
})  # fmt: skip
_SYNTHESIS_OPTIONS = frozenset({
    "channel_base", "channel_max", "num_fp16_res", "architecture", "resample_filter", "conv_clamp",
    "use_fp16", "fp16_channels_last", "fused_modconv_default", "kernel_size", "use_noise",
    "activation",
})  # fmt: skip
_GENERATOR_OPTIONS = _SYNTHESIS_OPTIONS | {
    "z_dim", "c_dim", "w_dim", "img_resolution", "img_channels", "mapping_kwargs",
    "synthesis_kwargs",
}  # fmt: skip

# Of the authors' activations; those that halve a signal's power make up for it.
_ACTIVATION_GAINS = {
    **dict.fromkeys(("linear", "tanh", "sigmoid", "elu", "selu", "softplus"), 1.0),
    **dict.fromkeys(("relu", "lrelu", "swish"), math.sqrt(2.0)),
}
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
                raise CheckpointError(f"part {_shown(name)} of {self.class_name} is no module")
        return parts

    @property
    def tensors(self) -> dict[str, Array]:
        """Parameters and buffers that are there; raises CheckpointError for what is no array."""
        stored = {**self._table("_parameters"), **self._table("_buffers")}
        arrays = {name: _array(value) for name, value in stored.items() if value is not None}
        for name, array in arrays.items():
            if array is None or not array.size:
                raise CheckpointError(f"{_shown(name)} of {self.class_name} is no tensor of values")
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
            raise CheckpointError(f"{self.class_name}.{name} is {_shown(value)}, no size")
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


def _shown(value: Any) -> str:
    """A value of the file for a message; never the repr of something large."""
    simple = isinstance(value, str | int | float | bool | None)
    return repr(value)[:60] if simple else f"a {type(value).__name__}"


def _dict(items: Any = ()) -> dict[Any, Any]:
    made = dict(items)
    plain(made)
    return made


def _latin1(text: str, *_: Any) -> bytes:
    """How protocol 2 writes byte strings: as text, a character a byte."""
    return text.encode("latin-1")


_NAMES: dict[str, Make] = {
    **NUMPY_NAMES,
    **TORCH_NAMES,
    "collections.OrderedDict": _dict,
    "dnnlib.util.EasyDict": _dict,
    "builtins.set": lambda items=(): set(plain(items)),
    "__builtin__.set": lambda items=(): set(plain(items)),  # what protocol 2 calls it
    "_codecs.encode": _latin1,
    "torch_utils.persistence._reconstruct_persistent_obj": Module,
}

Parts = tuple[str, dict[str, Any], dict[str, Array], list[str]]


def read(stream: BinaryIO) -> Parts:
    """Family, configuration, arrays and remarks of the moving-average generator in a pickle.

    Raises CheckpointError or one of its kinds, always in one sentence.
    """
    root = load(Bounded(stream), _NAMES)
    remarks = []
    if not isinstance(root, dict):
        raise UnsupportedCheckpoint("the pickle holds no dict of networks")
    generator = root.get("G_ema")
    if generator is None:
        generator = root.get("G")
        remarks.append("no moving average (G_ema): the training generator G is used")
    if not isinstance(generator, Module):
        raise UnsupportedCheckpoint("the pickle holds no generator (neither G_ema nor G)")
    if "input" in generator.child("synthesis").children:
        raise UnsupportedCheckpoint("this is a StyleGAN3 generator, which is not supported yet")
    if "b4" not in generator.child("synthesis").children:
        raise UnsupportedCheckpoint("the generator is neither a StyleGAN2 nor a StyleGAN3")
    try:
        config, arrays = _stylegan2(generator)
    except (TypeError, ValueError, AttributeError, LookupError, ArithmeticError) as exc:
        raise CheckpointError(f"the generator's attributes do not fit together: {exc}") from exc
    return "stylegan2", config, arrays, remarks


def _stylegan2(generator: Module) -> tuple[dict[str, Any], dict[str, Array]]:
    _refuse_unknown_options(generator)
    mapping, synthesis = generator.child("mapping"), generator.child("synthesis")
    parts = dict(synthesis.walk())
    convolutions = [m for name, m in parts.items() if name.endswith(("conv0", "conv1"))]
    colours = [m for name, m in parts.items() if name.endswith("torgb")]
    blocks = [synthesis.child(f"b{r}") for r in _resolutions(generator)]
    config = {
        "resolution": generator.integer("img_resolution"),
        "channels": generator.integer("img_channels"),
        "z_dim": generator.integer("z_dim"),
        "w_dim": generator.integer("w_dim"),
        "c_dim": generator.integer("c_dim"),
        "architecture": _common(blocks, "architecture"),
        "activation": _common(convolutions, "activation"),
        "conv_clamp": _common(convolutions + colours, "conv_clamp"),
        "use_noise": _common(convolutions, "use_noise"),
        "kernel_size": blocks[0].child("conv1").shape("weight", 4)[-1],
        "widths": [block.child("conv1").shape("weight", 4)[0] for block in blocks],
        "resample_filter": _filter([*blocks, *(b.child("conv0") for b in blocks[1:])]),
        **_mapping(mapping),
    }
    _check_gains(generator)
    return config, _arrays(generator)


def _resolutions(generator: Module) -> list[int]:
    top = generator.integer("img_resolution")
    if top < 4 or top & (top - 1):
        raise UnsupportedCheckpoint(f"the resolution is {top}, which is no power of two from 4 up")
    return [2**i for i in range(2, top.bit_length())]


def _mapping(mapping: Module) -> dict[str, Any]:
    count = mapping.integer("num_layers")
    layers = [mapping.child(f"fc{i}") for i in range(count)]
    embed = mapping.children.get("embed")
    return {
        "mapping_widths": [layer.shape("weight", 2)[0] for layer in layers],
        "mapping_activation": _common(layers, "activation", default="lrelu"),
        "lr_multiplier": float(_common(layers, "bias_gain", default=0.01)),
        "embed_width": embed.shape("weight", 2)[0] if embed else 0,
        "has_w_avg": "w_avg" in mapping.tensors,
    }


def _common(modules: list[Module], name: str, default: Any = None) -> Any:
    """The one value that attribute `name` has in all modules."""
    values = {module.get(name) for module in modules}
    if len(values) > 1:
        given = ", ".join(sorted(_shown(v) for v in values))
        raise UnsupportedCheckpoint(f"{name} differs between layers: {given}")
    return values.pop() if values else default


def _filter(modules: list[Module]) -> list[Any]:
    """The resampling filter in force, normalised, as nested lists."""
    filters = [m.tensors["resample_filter"] for m in modules if "resample_filter" in m.tensors]
    if not filters:
        raise CheckpointError("tensor 'resample_filter' is missing in all layers")
    if any(not np.array_equal(filters[0], f) for f in filters):
        raise UnsupportedCheckpoint("resample_filter differs between layers")
    values: list[Any] = filters[0].astype(np.float64).tolist()
    return values


def _refuse_unknown_options(generator: Module) -> None:
    given = dict(generator.get("_init_kwargs") or {})
    nested: tuple[tuple[dict[str, Any], frozenset[str]], ...] = (
        (given.get("mapping_kwargs") or {}, _MAPPING_OPTIONS),
        (given.get("synthesis_kwargs") or {}, _SYNTHESIS_OPTIONS),
        (given, _GENERATOR_OPTIONS),
    )
    for options, known in nested:
        for key in sorted(set(options) - known):
            raise UnsupportedCheckpoint(
                f"the generator was made with {str(key)[:60]}={_shown(options[key])}, an option "
                "that StyleGAN2 does not have; please report it with the repository it comes from"
            )


def _check_gains(generator: Module) -> None:
    """Refuse attributes in force other than those that the networks here compute with."""
    for name, module in generator.walk():
        weight = module.tensors.get("weight")
        if weight is None:
            continue
        is_mapping = name.startswith("mapping.fc")
        multiplier = module.get("bias_gain", 1.0) if is_mapping else 1.0
        expected: dict[str, Any] = {"bias_gain": multiplier}
        expected["weight_gain"] = multiplier / math.sqrt(math.prod(weight.shape[1:]))
        if name.endswith((".affine", ".embed")):
            expected["activation"] = "linear"
        if module.get("activation") in _ACTIVATION_GAINS:
            expected["act_gain"] = _ACTIVATION_GAINS[module.get("activation")]
        for attribute, value in expected.items():
            stored = module.get(attribute, value)
            if stored != value and not _close(stored, value):
                raise UnsupportedCheckpoint(
                    f"{name} has {attribute} {_shown(stored)}, expected {_shown(value)}"
                )


def _close(stored: Any, value: Any) -> bool:
    numbers = isinstance(stored, int | float) and isinstance(value, int | float)
    return numbers and math.isclose(stored, value, rel_tol=1e-6)


def _arrays(generator: Module) -> dict[str, Array]:
    """All tensors by dotted name; filters are in the configuration."""
    return {
        f"{prefix}.{name}": values
        for prefix, module in generator.walk()
        for name, values in module.tensors.items()
        if name != "resample_filter"
    }
