"""StyleGAN3 as its repository pickles it, configurations T and R and whatever lies between.

Sizes, rates and channels are those of the layers in the file, and so are the filters. The rest
of a layer's attributes follows from them, and is refused where it does not.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from nonesuch.errors import CheckpointError, UnsupportedCheckpoint
from nonesuch_export.checkpoint.nvlabs.attributes import (
    arrays,
    check,
    check_gains,
    common,
    mapping,
    refuse_unknown,
    sizes,
)
from nonesuch_export.checkpoint.nvlabs.module import Module
from nonesuch_export.checkpoint.tensors import Array, NumpyArray
from nonesuch_export.checkpoint.unpickle import shown

_MAPPING_OPTIONS = frozenset({"num_layers", "lr_multiplier", "w_avg_beta"})
_GENERATOR_OPTIONS = frozenset({
    "z_dim", "c_dim", "w_dim", "img_resolution", "img_channels", "mapping_kwargs",
    "channel_base", "channel_max", "num_layers", "num_critical", "first_cutoff", "first_stopband",
    "last_stopband_rel", "margin_size", "output_scale", "num_fp16_res",
    "conv_kernel", "filter_size", "lrelu_upsampling", "use_radial_filters", "conv_clamp",
    "magnitude_ema_beta",
})  # fmt: skip
_MAX_LAYERS = 256

Converted = tuple[dict[str, Any], dict[str, Array], list[str]]


def convert(generator: Module) -> Converted:
    """Configuration, arrays and remarks of a StyleGAN3 generator."""
    options = dict(generator.get("_init_kwargs") or {})
    refuse_unknown("StyleGAN3", options.get("mapping_kwargs") or {}, _MAPPING_OPTIONS)
    refuse_unknown("StyleGAN3", options, _GENERATOR_OPTIONS)
    synthesis = generator.child("synthesis")
    names = _layer_names(synthesis)
    layers = [synthesis.child(name) for name in names]
    settings = mapping(generator)
    if (activation := settings.pop("mapping_activation")) != "lrelu":
        raise UnsupportedCheckpoint(f"the mapping has activation {shown(activation)}, not 'lrelu'")
    config = {
        **sizes(generator),
        **settings,
        **_input(synthesis.child("input"), layers[0]),
        "layers": [_layer(layer) for layer in layers[:-1]],
        "kernel_size": _kernel_size(layers[:-1]),
        "conv_clamp": common(layers, "conv_clamp"),
        "output_scale": float(synthesis.get("output_scale")),
    }
    _check_geometry(config, dict(zip(names, layers, strict=True)))
    check_gains(generator)
    return config, arrays(generator, left_out=frozenset({"transform"})), _remarks(synthesis)


def _layer_names(synthesis: Module) -> list[str]:
    """The layers in their order, ToRGB last."""
    names = synthesis.get("layer_names")
    if not isinstance(names, list) or not 2 <= len(names) <= _MAX_LAYERS:
        raise CheckpointError(f"the synthesis network has layer_names {shown(names)}, no list")
    check("synthesis", synthesis, {"num_layers": len(names) - 1, "num_ws": len(names) + 1})
    return [name if isinstance(name, str) else shown(name) for name in names]


def _input(module: Module, first: Module) -> dict[str, Any]:
    """The settings of the Fourier features, which have the rate that the first layer takes."""
    rate = first.integer("in_sampling_rate")
    check("synthesis.input", module, {"sampling_rate": rate})
    return {
        "input_width": module.shape("weight", 2)[0],
        "input_size": _side(module, "size"),
        "input_rate": rate,
        "input_cutoff": float(module.get("bandwidth")),
    }


def _layer(layer: Module) -> dict[str, Any]:
    up, down = (layer.tensors.get(name) for name in ("up_filter", "down_filter"))
    return {
        "width": layer.shape("weight", 4)[0],
        "size": _side(layer, "out_size"),
        "rate": layer.integer("out_sampling_rate"),
        "cutoff": float(layer.get("out_cutoff")),
        "up": layer.integer("up_factor"),
        "down": layer.integer("down_factor"),
        "up_taps": 1 if up is None else layer.shape("up_filter", 1)[0],
        "down_taps": 1 if down is None else down.shape[0],
        "radial": down is not None and down.ndim == 2,
    }


def _kernel_size(layers: list[Module]) -> int:
    sizes_found = {layer.shape("weight", 4)[2:] for layer in layers}
    if len(sizes_found) > 1:
        raise UnsupportedCheckpoint("the kernels differ in size between layers")
    return sizes_found.pop()[0]


def _side(module: Module, name: str) -> int:
    """The height and width of a square, stored as [width, height] or as one number."""
    value = module.get(name)
    sides = np.unique(value.value if isinstance(value, NumpyArray) else np.asarray(value))
    if sides.size != 1 or sides.dtype.kind != "i":
        raise UnsupportedCheckpoint(f"{module.class_name}.{name} is no square's size")
    return int(sides[0])


def _check_geometry(config: dict[str, Any], layers: dict[str, Module]) -> None:
    """Refuse layers that do not follow from each other as the authors' own do."""
    names = ("width", "size", "rate")
    before = {name: config[f"input_{name}"] for name in names}
    last = {"width": config["channels"], "size": config["resolution"]}
    last |= {"rate": config["layers"][-1]["rate"]}
    last |= dict.fromkeys(("up", "down", "up_taps", "down_taps"), 1)
    for (name, module), layer in zip(layers.items(), [*config["layers"], last], strict=True):
        kernel = 1 if layer is last else config["kernel_size"]
        _check_size(name, module, "in_size", before["size"])
        _check_size(name, module, "out_size", layer["size"])
        expected = dict(_expected(before, layer, kernel))
        check(f"synthesis.{name}", module, {**expected, "is_torgb": layer is last})
        before = layer


def _check_size(layer: str, module: Module, name: str, expected: int) -> None:
    if (stored := _side(module, name)) != expected:
        raise UnsupportedCheckpoint(f"synthesis.{layer} has {name} {stored}, expected {expected}")


def _expected(before: dict[str, Any], layer: dict[str, Any], kernel: int) -> Iterator[Any]:
    """Attributes of a layer that takes what the layer before it gives."""
    yield "in_channels", before["width"]
    yield "out_channels", layer["width"]
    yield "in_sampling_rate", before["rate"]
    yield "out_sampling_rate", layer["rate"]
    yield "tmp_sampling_rate", before["rate"] * layer["up"]
    yield "conv_kernel", kernel
    for name in ("up_taps", "down_taps"):
        yield name, layer[name]
    for name in ("up", "down"):
        yield f"{name}_factor", layer[name]
    up, inputs = layer["up"], before["size"] + kernel - 1
    taps = layer["up_taps"] + layer["down_taps"]
    total = (layer["size"] - 1) * layer["down"] + 1 - inputs * up + taps - 2
    start = (total + up) // 2
    yield "padding", [start, total - start] * 2


def _remarks(synthesis: Module) -> list[str]:
    stored = synthesis.child("input").tensors.get("transform")
    if stored is None or np.array_equal(stored, np.eye(3)):
        return []
    return ["the file's own input transform is left out: each request brings its own"]
