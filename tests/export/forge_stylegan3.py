"""StyleGAN3 generators as their repository pickles them, made of the options that a trainer passes.

Geometry, attributes and tensors follow from the options by the paper's rules; none of the
exporter's code has a part in it.
"""

import math
import pickle
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tests.export.forge import EasyDict, _authors_modules, _Persistent

Arrays = dict[str, NDArray[np.float32]]


@dataclass(frozen=True, kw_only=True)
class Options:
    """The constructors' arguments, with the authors' defaults where they matter to no test."""

    img_resolution: int = 16
    img_channels: int = 3
    z_dim: int = 12
    c_dim: int = 0
    w_dim: int = 10
    mapping_layers: int = 2
    channel_base: int = 64
    channel_max: int = 6
    num_layers: int = 4
    num_critical: int = 2
    first_cutoff: float = 2
    first_stopband: float = 2**2.1
    last_stopband_rel: float = 2**0.3
    margin_size: int = 3
    output_scale: float = 0.25
    conv_kernel: int = 3
    filter_size: int = 6
    lrelu_upsampling: int = 2
    use_radial_filters: bool = False
    conv_clamp: float | None = 256

    @property
    def num_ws(self) -> int:
        return self.num_layers + 2


@dataclass(frozen=True, kw_only=True)
class Plane:
    """The sampling of a layer's output."""

    cutoff: float
    rate: int
    size: int
    channels: int
    half_width: float


@dataclass(frozen=True, kw_only=True)
class Shape:
    """One layer's attributes, by the authors' names."""

    name: str
    attributes: dict[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        return self.attributes[name]


def planes(options: Options) -> list[Plane]:
    """One for each layer, ToRGB included; a layer takes the plane before its own."""
    o, made = options, []
    for i in range(o.num_layers + 1):
        e = min(i / (o.num_layers - o.num_critical), 1)
        top = o.img_resolution / 2
        cutoff = o.first_cutoff * (top / o.first_cutoff) ** e
        stopband = o.first_stopband * (top * o.last_stopband_rel / o.first_stopband) ** e
        rate = 2 ** math.ceil(math.log2(min(2 * stopband, o.img_resolution)))
        at_end = i >= o.num_layers - 1
        plane = Plane(
            cutoff=cutoff,
            rate=rate,
            size=o.img_resolution if at_end else rate + 2 * o.margin_size,
            channels=round(min(o.channel_base / 2 / cutoff, o.channel_max)),
            half_width=max(stopband, rate / 2) - cutoff,
        )
        made.append(plane)
    return made


def layers(options: Options) -> list[Shape]:
    found = planes(options)
    return [_layer(options, i, found[max(i - 1, 0)], plane) for i, plane in enumerate(found)]


def _layer(options: Options, index: int, before: Plane, plane: Plane) -> Shape:
    o, is_torgb = options, index == options.num_layers
    kernel = 1 if is_torgb else o.conv_kernel
    between = max(before.rate, plane.rate) * (1 if is_torgb else o.lrelu_upsampling)
    up, down = between // before.rate, between // plane.rate
    taps = [o.filter_size * f if f > 1 and not is_torgb else 1 for f in (up, down)]
    total = (plane.size - 1) * down + 1 - (before.size + kernel - 1) * up + sum(taps) - 2
    start = (total + up) // 2
    width = o.img_channels if is_torgb else plane.channels
    critical = index >= o.num_layers - o.num_critical
    return Shape(
        name=f"L{index}_{plane.size}_{width}",
        attributes={
            "is_torgb": is_torgb,
            "is_critically_sampled": critical,
            "use_fp16": True,
            "in_channels": before.channels,
            "out_channels": width,
            "in_size": np.array([before.size] * 2),
            "out_size": np.array([plane.size] * 2),
            "in_sampling_rate": before.rate,
            "out_sampling_rate": plane.rate,
            "tmp_sampling_rate": between,
            "in_cutoff": np.float64(before.cutoff),
            "out_cutoff": np.float64(plane.cutoff),
            "in_half_width": np.float64(before.half_width),
            "out_half_width": np.float64(plane.half_width),
            "conv_kernel": kernel,
            "conv_clamp": o.conv_clamp,
            "up_factor": up,
            "down_factor": down,
            "up_taps": taps[0],
            "down_taps": taps[1],
            "down_radial": o.use_radial_filters and not critical,
            "padding": [start, total - start] * 2,
        },
    )


def tensors(options: Options, seed: int = 0) -> Arrays:
    """Random values for every parameter and buffer, with filters that have no symmetry."""
    random = np.random.default_rng(seed)
    return {name: np.asarray(value, np.float32) for name, value in _tensors(options, random)}


def _tensors(options: Options, random: np.random.Generator) -> Iterator[tuple[str, Any]]:
    o, first = options, planes(options)[0].channels
    inputs = o.z_dim + (o.w_dim if o.c_dim else 0)
    if o.c_dim:
        yield from _linear(random, "mapping.embed", o.c_dim, o.w_dim)
    for i in range(o.mapping_layers):
        yield from _linear(random, f"mapping.fc{i}", inputs if i == 0 else o.w_dim, o.w_dim, 0.01)
    yield "mapping.w_avg", random.standard_normal(o.w_dim)
    yield from _linear(random, "synthesis.input.affine", o.w_dim, 4)
    yield "synthesis.input.weight", random.standard_normal((first, first))
    yield "synthesis.input.freqs", random.standard_normal((first, 2)) * o.first_cutoff
    yield "synthesis.input.phases", random.random(first) - 0.5
    yield "synthesis.input.transform", [[0.9, 0.3, 0.1], [-0.3, 0.9, -0.2], [0, 0, 1]]
    for layer in layers(o):
        yield from _layer_tensors(random, o, layer)


def _layer_tensors(
    random: np.random.Generator, options: Options, layer: Shape
) -> Iterator[tuple[str, Any]]:
    prefix, kernel = f"synthesis.{layer.name}", layer["conv_kernel"]
    shape = (layer["out_channels"], layer["in_channels"], kernel, kernel)
    yield from _linear(random, f"{prefix}.affine", options.w_dim, layer["in_channels"])
    yield f"{prefix}.weight", random.standard_normal(shape)
    yield f"{prefix}.bias", random.standard_normal(shape[0])
    yield f"{prefix}.magnitude_ema", random.uniform(0.3, 1.5)
    if layer["up_taps"] > 1:
        yield f"{prefix}.up_filter", _filter(random, layer["up_taps"])
    if layer["down_taps"] > 1:
        axes = 2 if layer["down_radial"] else 1
        yield f"{prefix}.down_filter", _filter(random, *[layer["down_taps"]] * axes)


def _linear(
    random: np.random.Generator, name: str, inputs: int, outputs: int, lr: float = 1.0
) -> Iterator[tuple[str, Any]]:
    yield f"{name}.weight", random.standard_normal((outputs, inputs)) / lr
    yield f"{name}.bias", random.standard_normal(outputs) / lr


def _filter(random: np.random.Generator, *taps: int) -> NDArray[np.float64]:
    values: NDArray[np.float64] = random.uniform(-0.5, 1.0, taps) ** 3 + 0.1
    values /= values.sum()
    return values


def pickled(
    options: Options, arrays: Arrays, changes: Mapping[str, Mapping[str, Any]] | None = None
) -> bytes:
    """The pickle of a generator; `changes` replace attributes of its modules by dotted name."""
    made = _generator(options, arrays)
    for path, attributes in (changes or {}).items():
        part = made
        for name in filter(None, path.split(".")):
            part = part.meta["state"]["_modules"][name]
        part.meta["state"].update(attributes)
    root = {"G": None, "D": None, "G_ema": made, "training_set_kwargs": None, "augment_pipe": None}
    with _authors_modules():
        return pickle.dumps(root, protocol=4)


def _generator(options: Options, arrays: Arrays) -> _Persistent:
    o = options
    names = ("z_dim", "c_dim", "w_dim", "img_resolution", "img_channels")
    own = {name: getattr(o, name) for name in names}
    given = EasyDict(**own, mapping_kwargs=EasyDict(num_layers=o.mapping_layers))
    children = {"synthesis": _synthesis(o, arrays), "mapping": _mapping(o, arrays)}
    return _module("Generator", {}, children, **own, num_ws=o.num_ws, _init_kwargs=given)


def _mapping(options: Options, arrays: Arrays) -> _Persistent:
    children = {
        name.split(".")[1]: _fully_connected(arrays, name.removesuffix(".weight"))
        for name in arrays
        if name.startswith("mapping.") and name.endswith(".weight")
    }
    own = {"w_avg": arrays["mapping.w_avg"]}
    return _module("MappingNetwork", own, children, num_layers=options.mapping_layers)


def _synthesis(options: Options, arrays: Arrays) -> _Persistent:
    shapes = layers(options)
    made = {"input": _input(options, arrays)}
    for layer in shapes:
        made[layer.name] = _part(
            "SynthesisLayer", arrays, f"synthesis.{layer.name}", **layer.attributes
        )
    return _module(
        "SynthesisNetwork",
        {},
        made,
        layer_names=[layer.name for layer in shapes],
        num_layers=options.num_layers,
        num_ws=options.num_ws,
        output_scale=options.output_scale,
    )


def _input(options: Options, arrays: Arrays) -> _Persistent:
    plane = planes(options)[0]
    return _part(
        "SynthesisInput",
        arrays,
        "synthesis.input",
        channels=plane.channels,
        size=np.array([plane.size] * 2),
        sampling_rate=np.float64(plane.rate),
        bandwidth=np.float64(options.first_cutoff),
    )


def _part(class_name: str, arrays: Arrays, prefix: str, **attributes: Any) -> _Persistent:
    """A module with its own tensors and its affine layer."""
    own = {
        name.removeprefix(f"{prefix}."): value
        for name, value in arrays.items()
        if name.startswith(f"{prefix}.") and ".affine." not in name
    }
    children = {"affine": _fully_connected(arrays, f"{prefix}.affine")}
    return _module(class_name, own, children, **attributes)


def _fully_connected(arrays: Arrays, name: str) -> _Persistent:
    own = {part: arrays[f"{name}.{part}"] for part in ("weight", "bias")}
    hidden = name.startswith("mapping.fc")
    lr = 0.01 if hidden else 1
    return _module(
        "FullyConnectedLayer",
        own,
        {},
        activation="lrelu" if hidden else "linear",
        weight_gain=lr / math.sqrt(own["weight"].shape[1]),
        bias_gain=lr,
    )


def _module(
    class_name: str, own: Arrays, children: Mapping[str, Any], **attributes: Any
) -> _Persistent:
    state = {
        "training": False,
        "_parameters": {},
        "_buffers": {name: torch.tensor(value) for name, value in own.items()},
        "_modules": dict(children),
        "_init_kwargs": EasyDict(),
        **attributes,
    }
    return _Persistent(class_name, state)
