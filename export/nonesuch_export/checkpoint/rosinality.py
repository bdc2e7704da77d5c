"""Reader for the checkpoints of stylegan2-pytorch by rosinality, and of programs built on it.

The generator is StyleGAN2's skip architecture without clamps, under other names; nothing but
tensors is stored, so everything that shapes it is inferred from their names and shapes. What
older or training files lack is made up for here, always alike: the stored noise and the centre
of truncation are then drawn from fixed seeds, and a remark says so.
"""

import math
from typing import Any

import numpy as np

from nonesuch.errors import CheckpointError, UnsupportedCheckpoint
from nonesuch_export.checkpoint.tensors import Array

_PLACES = ("g_ema", "g", "state_dict", "generator", "model")  # of a state dict in the file
_MARK = "input.input"  # the constant that such a generator begins with
_MAX_BLOCKS = 10  # beyond the first: 4096 pixels
_MAX_LAYERS = 64  # of the mapping network
_LR_MULTIPLIER = 0.01  # of the mapping network; fixed in the program
_SAMPLES = 4096  # of the mean w; as many as the program's own script takes
_AT_ONCE = 512  # of these
_MAX_MAPPING = 2**24  # values in the mapping network for which a mean w is worked out
_BINOMIAL = [[a * b / 64 for b in (1, 3, 3, 1)] for a in (1, 3, 3, 1)]

Parts = tuple[str, dict[str, Any], dict[str, Array], list[str]]


class _Tensors:
    """The tensors of one generator by rosinality's names; each is taken once."""

    def __init__(self, table: dict[Any, Any], prefix: str) -> None:
        self._left = {
            name.removeprefix(prefix): value
            for name, value in table.items()
            if isinstance(name, str) and name.startswith(prefix)
        }

    def __contains__(self, name: str) -> bool:
        return name in self._left

    def take(self, name: str, axes: str) -> Array:
        """The tensor `name`, as a view without those of its axes that are written as 1.

        Raises CheckpointError where it is missing or shaped otherwise: `axes` names the axes,
        as "1oikk" does those of a modulated convolution.
        """
        if (values := self._left.pop(name, None)) is None:
            raise CheckpointError(f"tensor {name!r} is missing")
        if not isinstance(values, np.ndarray) or not values.size:
            raise CheckpointError(f"{name!r} is no tensor of values")
        fixed = [size for axis, size in zip(axes, values.shape, strict=False) if axis == "1"]
        if values.ndim != len(axes) or set(fixed) - {1}:
            raise CheckpointError(
                f"tensor {name!r} is {values.shape}, expected ({', '.join(axes)})"
            )
        return values[tuple(0 if axis == "1" else slice(None) for axis in axes)]

    def pop(self, name: str, default: Any) -> Any:
        return self._left.pop(name, default)

    def refuse_rest(self) -> None:
        for name in self._left:
            raise UnsupportedCheckpoint(
                f"tensor {name[:80]!r} has no place in rosinality's generator; please report it "
                "with the repository that the file comes from"
            )


def convert(root: Any) -> Parts:
    """Family, configuration, arrays and remarks of the generator in what torch saved.

    The moving average `g_ema` is preferred. Raises CheckpointError or one of its kinds, always
    in one sentence.
    """
    if not isinstance(root, dict):
        raise UnsupportedCheckpoint("the torch file holds no dict of tensors; save a state_dict")
    table, prefix, remarks = _generator(root)
    tensors = _Tensors(table, prefix)
    mapping = _mapping(tensors)
    arrays, widths, kernels = _synthesis(tensors)
    remarks += _stored_noise(tensors, arrays, len(widths))
    stored = tensors.pop("latent_avg", root.get("latent_avg"))
    tensors.refuse_rest()
    w_avg = None if stored is None else _latent_avg(stored, len(mapping[-1][1]))
    if w_avg is None:
        w_avg = _mean_w(mapping)
        remarks.append(
            f"no latent_avg is stored: the mean w of {_SAMPLES} z of seed 0 takes its place"
        )
    arrays |= _named(mapping) | {"mapping.w_avg": w_avg}
    config = {
        "resolution": 4 * 2 ** (len(widths) - 1),
        "channels": len(arrays["synthesis.b4.torgb.bias"]),
        "z_dim": mapping[0][0].shape[1],
        "w_dim": len(w_avg),
        "c_dim": 0,
        "embed_width": 0,
        "architecture": "skip",
        "activation": "lrelu",
        "conv_clamp": None,
        "use_noise": True,
        "kernel_size": arrays["synthesis.b4.conv1.weight"].shape[-1],
        "widths": widths,
        "resample_filter": _filter(kernels),
        "mapping_widths": [len(bias) for _, bias in mapping],
        "mapping_activation": "lrelu",
        "lr_multiplier": _LR_MULTIPLIER,
        "has_w_avg": True,
        "equalized": True,
    }
    return "stylegan2", config, arrays, remarks


def _generator(root: dict[Any, Any]) -> tuple[dict[Any, Any], str, list[str]]:
    """The table that holds a generator, what its names begin with there, and remarks."""
    for place in (*_PLACES, None):
        table = root if place is None else root.get(place)
        if isinstance(table, dict) and (prefixes := _prefixes(table)):
            break
    else:
        keys = ", ".join(str(key)[:40] for key in list(root)[:6])
        raise UnsupportedCheckpoint(
            f"the torch file holds no generator of stylegan2-pytorch (rosinality); it has {keys}"
        )
    averaged = [prefix for prefix in prefixes if "ema" in prefix]
    if len(chosen := averaged or prefixes) > 1:
        raise UnsupportedCheckpoint(
            f"the torch file holds several generators, {', '.join(p[:40] for p in chosen[:6])}; "
            "save one of them alone"
        )
    remarks = []
    if place == "g":
        remarks.append("no moving average (g_ema): the training generator g is used")
    if chosen[0] not in ("", "module."):
        remarks.append(f"the generator's tensors are those under {chosen[0][:40]!r}")
    return table, chosen[0], remarks


def _prefixes(table: dict[Any, Any]) -> list[str]:
    """What stands before the names of each generator in a state dict, such as `module.`."""
    marks = [name for name in table if isinstance(name, str) and name.endswith(_MARK)]
    return sorted(name.removesuffix(_MARK) for name in marks)


def _mapping(tensors: _Tensors) -> list[tuple[Array, Array]]:
    """Weight [out, in] and bias [out] of each layer; the first has number 1 in the file."""
    layers: list[tuple[Array, Array]] = []
    while (name := f"style.{len(layers) + 1}") + ".weight" in tensors and len(layers) < _MAX_LAYERS:
        weight, bias = tensors.take(f"{name}.weight", "oi"), tensors.take(f"{name}.bias", "o")
        inputs = len(layers[-1][1]) if layers else weight.shape[1]
        if weight.shape != (len(bias), inputs):
            raise CheckpointError(
                f"tensor '{name}.weight' is {weight.shape}, expected {(len(bias), inputs)}"
            )
        layers.append((weight, bias))
    if not layers:
        raise CheckpointError("tensor 'style.1.weight' is missing")
    return layers


def _named(mapping: list[tuple[Array, Array]]) -> dict[str, Array]:
    weights = {f"mapping.fc{i}.weight": weight for i, (weight, _) in enumerate(mapping)}
    return weights | {f"mapping.fc{i}.bias": bias for i, (_, bias) in enumerate(mapping)}


def _synthesis(tensors: _Tensors) -> tuple[dict[str, Array], list[int], list[Array]]:
    """Arrays without the stored noise, channels of each block, and resampling kernels."""
    arrays: dict[str, Array] = {"synthesis.b4.const": tensors.take(_MARK, "1chw")}
    arrays |= _layer(tensors, "conv1", "synthesis.b4.conv1")
    arrays |= _colour(tensors, "to_rgb1", "synthesis.b4.torgb")
    widths = [len(arrays["synthesis.b4.conv1.bias"])]
    kernels = []
    while f"to_rgbs.{(i := len(widths) - 1)}.bias" in tensors:
        if i == _MAX_BLOCKS:
            raise UnsupportedCheckpoint(f"the generator draws over {4 * 2**_MAX_BLOCKS} pixels")
        block = f"synthesis.b{8 * 2**i}"
        arrays |= _layer(tensors, f"convs.{2 * i}", f"{block}.conv0")
        arrays |= _layer(tensors, f"convs.{2 * i + 1}", f"{block}.conv1")
        arrays |= _colour(tensors, f"to_rgbs.{i}", f"{block}.torgb")
        widths.append(len(arrays[f"{block}.conv1.bias"]))
        for name in (f"convs.{2 * i}.conv.blur.kernel", f"to_rgbs.{i}.upsample.kernel"):
            kernels += [tensors.take(name, "hw")] if name in tensors else []
    return arrays, widths, kernels


def _layer(tensors: _Tensors, name: str, ours: str) -> dict[str, Array]:
    return {
        **_modulated(tensors, name, ours),
        # A view of rank 0; indexing would make it a number.
        f"{ours}.noise_strength": tensors.take(f"{name}.noise.weight", "n").reshape(()),
        f"{ours}.bias": tensors.take(f"{name}.activate.bias", "o"),
    }


def _colour(tensors: _Tensors, name: str, ours: str) -> dict[str, Array]:
    bias = tensors.take(f"{name}.bias", "1o11")
    return {**_modulated(tensors, name, ours), f"{ours}.bias": bias}


def _modulated(tensors: _Tensors, name: str, ours: str) -> dict[str, Array]:
    return {
        f"{ours}.weight": tensors.take(f"{name}.conv.weight", "1oikk"),
        f"{ours}.affine.weight": tensors.take(f"{name}.conv.modulation.weight", "ow"),
        f"{ours}.affine.bias": tensors.take(f"{name}.conv.modulation.bias", "o"),
    }


def _stored_noise(tensors: _Tensors, arrays: dict[str, Array], blocks: int) -> list[str]:
    """Put each layer's noise into `arrays`; what to remark if none is stored.

    The program draws fresh noise for every picture, so zeros would look unlike all it drew.
    """
    layers = [("synthesis.b4.conv1", 4)]
    for r in (8 * 2**i for i in range(blocks - 1)):
        layers += [(f"synthesis.b{r}.conv0", r), (f"synthesis.b{r}.conv1", r)]
    if "noises.noise_0" in tensors:
        for k, (layer, _) in enumerate(layers):
            arrays[f"{layer}.noise_const"] = tensors.take(f"noises.noise_{k}", "11hw")
        return []
    random = np.random.RandomState(0)  # its stream is fixed for ever
    for layer, r in layers:
        arrays[f"{layer}.noise_const"] = random.randn(r, r).astype(np.float32)
    return ["no noises are stored, as in files of before 2020: noise of seed 0 takes their place"]


def _filter(kernels: list[Array]) -> list[list[float]]:
    """The resampling filter, normalised; stored kernels have a sum of 4, the gain."""
    if not kernels:
        return _BINOMIAL
    if any(not np.array_equal(kernels[0], kernel) for kernel in kernels):
        raise UnsupportedCheckpoint("the resampling kernel differs between layers")
    values: list[list[float]] = (kernels[0].astype(np.float64) / 4).tolist()
    total = math.fsum(map(math.fsum, values))
    if not math.isclose(total, 1, rel_tol=1e-5):
        raise UnsupportedCheckpoint(f"the resampling kernels have a sum of {4 * total:g}, not of 4")
    return values


def _latent_avg(values: Any, w_dim: int) -> Array:
    """The stored centre of truncation [w_dim], which some programs repeat for each layer."""
    if not isinstance(values, np.ndarray) or values.ndim not in (1, 2) or not values.size:
        raise CheckpointError("latent_avg is no tensor of one axis")
    rows = np.atleast_2d(values)
    if rows.shape[1] != w_dim or (len(rows) > 1 and (rows != rows[0]).any()):
        raise UnsupportedCheckpoint(f"latent_avg is {values.shape}, expected one w of ({w_dim},)")
    first: Array = rows[0]
    return first


def _mean_w(mapping: list[tuple[Array, Array]]) -> Array:
    """The mean of the w [w_dim] of a fixed set of z, as the program's script centres truncation.

    In float64, so that machines agree on it after rounding to float32.
    """
    if (size := sum(weight.size for weight, _ in mapping)) > _MAX_MAPPING:
        raise UnsupportedCheckpoint(
            f"no latent_avg is stored, and the mapping network has {size} values, more than the "
            f"{_MAX_MAPPING} for which one is worked out"
        )
    random = np.random.RandomState(0)  # its stream is fixed for ever
    total = np.zeros(len(mapping[-1][1]))
    with np.errstate(all="ignore"):  # weights that are not finite are remarked on elsewhere
        for _ in range(_SAMPLES // _AT_ONCE):
            total += _mapped(mapping, random.randn(_AT_ONCE, mapping[0][0].shape[1])).sum(axis=0)
        mean: Array = (total / _SAMPLES).astype(np.float32)
    return mean


def _mapped(mapping: list[tuple[Array, Array]], z: Array) -> Array:
    """z [N, z_dim] to w [N, w_dim], as the mapping network does it."""
    x: Array = z / np.sqrt(np.mean(z**2, axis=1, keepdims=True) + 1e-8)
    for weight, bias in mapping:
        gain = _LR_MULTIPLIER / math.sqrt(weight.shape[1])
        x = x @ (weight.astype(np.float64).T * gain) + bias * _LR_MULTIPLIER
        x = np.where(x < 0, 0.2 * x, x) * math.sqrt(2)
    return x
