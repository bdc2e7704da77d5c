"""StyleGAN2 as the stylegan2-ada-pytorch and stylegan3 repositories pickle it."""

from typing import Any

import numpy as np

from nonesuch.errors import CheckpointError, UnsupportedCheckpoint
from nonesuch_export.checkpoint.nvlabs.attributes import (
    arrays,
    check_gains,
    common,
    mapping,
    refuse_unknown,
    sizes,
)
from nonesuch_export.checkpoint.nvlabs.module import Module
from nonesuch_export.checkpoint.tensors import Array

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


def convert(generator: Module) -> tuple[dict[str, Any], dict[str, Array]]:
    """Configuration and arrays of a StyleGAN2 generator."""
    _refuse_unknown_options(generator)
    synthesis = generator.child("synthesis")
    parts = dict(synthesis.walk())
    convolutions = [m for name, m in parts.items() if name.endswith(("conv0", "conv1"))]
    colours = [m for name, m in parts.items() if name.endswith("torgb")]
    blocks = [synthesis.child(f"b{r}") for r in _resolutions(generator)]
    config = {
        **sizes(generator),
        "architecture": common(blocks, "architecture"),
        "activation": common(convolutions, "activation"),
        "conv_clamp": common(convolutions + colours, "conv_clamp"),
        "use_noise": common(convolutions, "use_noise"),
        "kernel_size": blocks[0].child("conv1").shape("weight", 4)[-1],
        "widths": [block.child("conv1").shape("weight", 4)[0] for block in blocks],
        "resample_filter": _filter([*blocks, *(b.child("conv0") for b in blocks[1:])]),
        **mapping(generator),
    }
    check_gains(generator)
    # Filters are in the configuration.
    return config, arrays(generator, left_out=frozenset({"resample_filter"}))


def _resolutions(generator: Module) -> list[int]:
    top = generator.integer("img_resolution")
    if top < 4 or top & (top - 1):
        raise UnsupportedCheckpoint(f"the resolution is {top}, which is no power of two from 4 up")
    return [2**i for i in range(2, top.bit_length())]


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
    refuse_unknown("StyleGAN2", given.get("mapping_kwargs") or {}, _MAPPING_OPTIONS)
    refuse_unknown("StyleGAN2", given.get("synthesis_kwargs") or {}, _SYNTHESIS_OPTIONS)
    refuse_unknown("StyleGAN2", given, _GENERATOR_OPTIONS)
