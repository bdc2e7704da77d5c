"""The tensors of each family's network, from the configuration alone: which, and of what shape.

It is what a checkpoint is checked against before there is a network, so that a file can be
described without torch. A test compares it with the networks themselves.
"""

from collections.abc import Callable
from typing import Any

from nonesuch.errors import CheckpointError, UnsupportedCheckpoint
from nonesuch_export.checkpoint import Checkpoint
from nonesuch_export.network.aliasfree import Config as StyleGAN3Config
from nonesuch_export.network.config import Config as StyleGAN2Config
from nonesuch_export.network.grown import GrowingConfig, ProGANConfig, StyleGAN1Config
from nonesuch_export.network.values import Configuration

Shapes = dict[str, tuple[int, ...]]  # by the names of `Checkpoint.arrays`


def check(checkpoint: Checkpoint) -> Configuration:
    """The configuration of a checkpoint whose tensors fit it.

    Raises UnsupportedCheckpoint for a family or configuration that no network here computes,
    CheckpointError where a tensor is missing, left over or of another shape, each by name.
    """
    try:
        if checkpoint.family not in CONFIGS:
            family = checkpoint.family[:60]
            raise UnsupportedCheckpoint(f"there is no network for the family {family!r}")
        config = CONFIGS[checkpoint.family].from_json(checkpoint.config)
        _compare(tensors(checkpoint.family, config), checkpoint)
    except CheckpointError as exc:
        raise type(exc)(f"{checkpoint.provenance.file}: {exc}") from exc
    return config


def tensors(family: str, config: Configuration) -> Shapes:
    """The shape of each tensor of a family's network, by name."""
    return _LAYOUTS[family](config)


def _compare(expected: Shapes, checkpoint: Checkpoint) -> None:
    arrays = checkpoint.arrays
    for name, shape in expected.items():
        if name not in arrays:
            raise CheckpointError(f"tensor {name} is missing")
        if arrays[name].shape != shape:
            raise CheckpointError(f"tensor {name} is {arrays[name].shape}, expected {shape}")
    for name in sorted(set(arrays) - set(expected)):
        raise UnsupportedCheckpoint(f"tensor {name[:80]!r} has no place in the network")


def _linear(name: str, inputs: int, outputs: int) -> Shapes:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def _mapping(config: StyleGAN1Config | StyleGAN2Config | StyleGAN3Config, joined: int) -> Shapes:
    """The mapping network; `joined` is what the classes add to z."""
    shapes, inputs = Shapes(), config.z_dim + joined
    for i, width in enumerate(config.mapping_widths):
        shapes |= _linear(f"mapping.fc{i}", inputs, width)
        inputs = width
    if config.has_w_avg:
        shapes["mapping.w_avg"] = (config.w_dim,)
    return shapes


def _modulated(name: str, w_dim: int, shape: tuple[int, int, int]) -> Shapes:
    """Weight [O, I, k, k] of a `shape` (O, I, k), bias, and the affine layer for its styles."""
    outputs, inputs, kernel = shape
    weight = {f"{name}.weight": (outputs, inputs, kernel, kernel), f"{name}.bias": (outputs,)}
    return weight | _linear(f"{name}.affine", w_dim, inputs)


def _stylegan2(config: StyleGAN2Config) -> Shapes:
    shapes = _mapping(config, config.embed_width)
    if config.c_dim:
        embed = _linear("mapping.embed", config.c_dim, config.embed_width)
        shapes |= {n: s for n, s in embed.items() if len(s) == 2 or not config.label_concat}
    shapes["synthesis.b4.const"] = (config.widths[0], 4, 4)
    inputs = None
    for resolution, width in zip(config.block_resolutions, config.widths, strict=True):
        name = f"synthesis.b{resolution}"
        if inputs is not None:
            shapes |= _convolution(config, f"{name}.conv0", (width, inputs), resolution)
            if config.architecture == "resnet":
                shapes[f"{name}.skip.weight"] = (width, inputs, 1, 1)
        shapes |= _convolution(config, f"{name}.conv1", (width, width), resolution)
        fading = config.fade > 0 and 2 * resolution >= config.resolution
        if config.architecture == "skip" or fading or resolution == config.resolution:
            shapes |= _modulated(f"{name}.torgb", config.w_dim, (config.channels, width, 1))
        inputs = width
    return shapes


def _convolution(
    config: StyleGAN2Config, name: str, widths: tuple[int, int], resolution: int
) -> Shapes:
    shapes = _modulated(name, config.w_dim, (*widths, config.kernel_size))
    if config.use_noise:
        shapes |= {f"{name}.noise_strength": (), f"{name}.noise_const": (resolution, resolution)}
    return shapes


def _stylegan3(config: StyleGAN3Config) -> Shapes:
    shapes = _mapping(config, config.embed_width)
    if config.c_dim:
        shapes |= _linear("mapping.embed", config.c_dim, config.embed_width)
    width, name = config.input_width, "synthesis.input"
    shapes |= {f"{name}.weight": (width, width), f"{name}.freqs": (width, 2)}
    shapes |= {f"{name}.phases": (width,), **_linear(f"{name}.affine", config.w_dim, 4)}
    for i, layer in enumerate(config.layers):
        name = f"synthesis.L{i}_{layer.size}_{layer.width}"
        shapes |= _modulated(name, config.w_dim, (layer.width, width, config.kernel_size))
        shapes[f"{name}.magnitude_ema"] = ()
        if layer.up_taps > 1:
            shapes[f"{name}.up_filter"] = (layer.up_taps,)
        if layer.down_taps > 1:
            shapes[f"{name}.down_filter"] = (layer.down_taps,) * (2 if layer.radial else 1)
        width = layer.width
    name = f"synthesis.L{len(config.layers)}_{config.resolution}_{config.channels}"
    shapes |= _modulated(name, config.w_dim, (config.channels, width, 1))
    return shapes | {f"{name}.magnitude_ema": ()}


def _stylegan1(config: StyleGAN1Config) -> Shapes:
    joined = config.z_dim if config.c_dim else 0
    shapes = _mapping(config, joined)
    if config.c_dim:
        shapes["mapping.embed.weight"] = (joined, config.c_dim)
    width = config.widths[0]
    if config.const_input:
        shapes["synthesis.layers.0.source.const"] = (width, 4, 4)
    else:
        shapes["synthesis.layers.0.source.weight"] = (width * 16, config.w_dim)
    shapes |= _growing("synthesis.", config)
    for i, resolution in enumerate(config.layer_resolutions):
        name, width = f"synthesis.layers.{i}", config.widths[i // 2]
        if config.use_noise:
            shapes[f"{name}.noise_strength"] = (width,)
            shapes[f"{name}.noise_const"] = (resolution, resolution)
        if config.use_styles:
            shapes |= _linear(f"{name}.affine", config.w_dim, 2 * width)
    return shapes


def _progan(config: ProGANConfig) -> Shapes:
    first = (config.widths[0] * 16, config.z_dim + config.c_dim)
    return {"layers.0.source.weight": first, **_growing("", config)}


def _growing(prefix: str, config: GrowingConfig) -> Shapes:
    """Biases of all layers, weights of all but the first, and ToRGB."""
    shapes = Shapes()
    for i, _ in enumerate(config.layer_resolutions):
        width, inputs = config.widths[i // 2], config.widths[max(i - 1, 0) // 2]
        if i:
            shapes[f"{prefix}layers.{i}.source.weight"] = (width, inputs, 3, 3)
        shapes[f"{prefix}layers.{i}.bias"] = (width,)
    for half, width in (("", config.widths[-1]), ("half_", config.widths[-2:][0])):
        if not half or config.fade:
            shapes[f"{prefix}torgb.{half}weight"] = (config.channels, width, 1, 1)
            shapes[f"{prefix}torgb.{half}bias"] = (config.channels,)
    return shapes


CONFIGS: dict[str, type[Configuration]] = {
    "progan": ProGANConfig,
    "stylegan1": StyleGAN1Config,
    "stylegan2": StyleGAN2Config,
    "stylegan3": StyleGAN3Config,
}
# Each takes its own family's configuration.
_LAYOUTS: dict[str, Callable[[Any], Shapes]] = {
    "progan": _progan,
    "stylegan1": _stylegan1,
    "stylegan2": _stylegan2,
    "stylegan3": _stylegan3,
}
