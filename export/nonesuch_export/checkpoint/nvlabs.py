"""Reader for the pickles of the authors' PyTorch repositories (stylegan2-ada-pytorch, stylegan3).

Such a pickle holds whole modules with their attributes. Per-layer attributes are the values in
force, so they are read in preference to constructor arguments, whose defaults differ between
the repositories. The Python source that each module carries along is passed over as text.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

import numpy as np

from nonesuch.errors import CheckpointError, UnsupportedCheckpoint
from nonesuch_export.checkpoint.tensors import NUMPY_NAMES, TORCH_NAMES, Array
from nonesuch_export.checkpoint.unpickle import Bounded, Make, load

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
        self.children: dict[str, Module] = {
            key: child for key, child in self._table("_modules").items() if child is not None
        }
        self.tensors: dict[str, Array] = {
            key: value
            for table in ("_parameters", "_buffers")
            for key, value in self._table(table).items()
            if value is not None
        }
        below = [child for child in self.children.values() if isinstance(child, Module)]
        self._count: int = 1 + sum(child._count for child in below)
        self._depth: int = 1 + max((child._depth for child in below), default=0)
        if self._count > _MAX_MODULES or self._depth > _MAX_DEPTH:  # parts may be shared
            raise CheckpointError(f"over {_MAX_MODULES} modules or {_MAX_DEPTH} levels of them")

    def _table(self, name: str) -> dict[str, Any]:
        table = self._state.get(name)
        if not isinstance(table, dict):
            raise CheckpointError(f"module {self.class_name} has no table {name}")
        return table

    def get(self, name: str, default: Any = None) -> Any:
        """A plain attribute of the pickled object."""
        return self._state.get(name, default)

    def child(self, name: str) -> "Module":
        if not isinstance(found := self.children.get(name), Module):
            raise CheckpointError(f"module {self.class_name} has no part {name!r}")
        return found

    def integer(self, name: str) -> int:
        if type(value := self.get(name)) is not int or not 0 <= value < 2**20:
            raise CheckpointError(f"{self.class_name}.{name} is {_shown(value)}, no size")
        return value

    def walk(self, prefix: str = "") -> Iterator[tuple[str, "Module"]]:
        """This module and all below it with dotted names, parents first."""
        yield prefix, self
        for name, child in self.children.items():
            if not isinstance(child, Module):
                raise CheckpointError(f"part {name!r} of {self.class_name} is no module")
            yield from child.walk(f"{prefix}.{name}" if prefix else name)


def _shown(value: Any) -> str:
    """A value of the file for a message; never the repr of something large."""
    simple = isinstance(value, str | int | float | bool | None)
    return repr(value)[:60] if simple else f"a {type(value).__name__}"


def _latin1(text: str, *_: Any) -> bytes:
    """How protocol 2 writes byte strings: as text, a character a byte."""
    return text.encode("latin-1")


_NAMES: dict[str, Make] = {
    **NUMPY_NAMES,
    **TORCH_NAMES,
    "collections.OrderedDict": lambda items=(): dict(items),
    "dnnlib.util.EasyDict": lambda items=(): dict(items),
    "builtins.set": lambda items=(): set(items),
    "__builtin__.set": lambda items=(): set(items),  # Python 2's name, as protocol 2 writes it
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
    except (TypeError, ValueError, AttributeError) as exc:
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
        "kernel_size": convolutions[0].tensors["weight"].shape[-1],
        "widths": [_rows(b.child("conv1").tensors, "weight") for b in blocks],
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
        "mapping_widths": [_rows(layer.tensors, "weight") for layer in layers],
        "mapping_activation": _common(layers, "activation", default="lrelu"),
        "lr_multiplier": float(_common(layers, "bias_gain", default=0.01)),
        "embed_width": _rows(embed.tensors, "weight") if embed else 0,
        "has_w_avg": "w_avg" in mapping.tensors,
    }


def _rows(tensors: Mapping[str, Array], name: str) -> int:
    if name not in tensors:
        raise CheckpointError(f"tensor {name!r} of a layer is missing")
    return int(tensors[name].shape[0])


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
    """Refuse learning-rate gains other than those that the networks here compute."""
    for name, module in generator.walk():
        weight = module.tensors.get("weight")
        stored = module.get("weight_gain")
        if weight is None or stored is None:
            continue
        multiplier = module.get("bias_gain", 1.0)
        expected = multiplier / math.sqrt(math.prod(weight.shape[1:]))
        if not math.isclose(stored, expected, rel_tol=1e-6):
            raise UnsupportedCheckpoint(f"{name} has weight_gain {stored}, expected {expected}")


def _arrays(generator: Module) -> dict[str, Array]:
    """All tensors by dotted name; filters are in the configuration."""
    return {
        f"{prefix}.{name}": values
        for prefix, module in generator.walk()
        for name, values in module.tensors.items()
        if name != "resample_filter"
    }
