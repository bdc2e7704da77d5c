"""StyleGAN2 of the TensorFlow programs (`G_main`): stylegan2, configurations b to f, and ADA's.

Variables are renamed and turned for the modules of `network.stylegan2`. What differs from the
PyTorch programs is said in the configuration: weights that are scaled before demodulation,
a truncation by default, in the first program classes that join z before both are normalised, and
for the networks that grow (`G_synthesis_stylegan_revised`, configurations b to d) the stage that
they were saved in. stylegan2-ada has a synthesis function of its own (`G_synthesis`), with clamps
and without growth.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from nonesuch.errors import UnsupportedCheckpoint
from nonesuch_export.checkpoint.tensorflow.growing import (
    Named,
    drop_unused,
    remarks,
    resolutions,
    turned,
)
from nonesuch_export.checkpoint.tensorflow.record import Network, Taken, resolution
from nonesuch_export.checkpoint.tensorflow.stage import Stage, stage
from nonesuch_export.checkpoint.tensorflow.styled import centre, mapping_arrays, mapping_config
from nonesuch_export.checkpoint.tensors import Array
from nonesuch_export.checkpoint.unpickle import shown

_GROWING = "G_synthesis_stylegan_revised"
_ADA = "G_synthesis"

# Every argument of the build functions with its default. A generator hands its own on to its
# components, so all three know all of them.
_DEFAULTS: dict[str, Any] = {
    "truncation_psi": 0.5,
    "truncation_cutoff": None,
    "mapping_func": "G_mapping",
    "synthesis_func": "G_synthesis_stylegan2",
    "latent_size": 512,
    "label_size": 0,
    "dlatent_size": 512,
    "dlatent_broadcast": None,
    "mapping_layers": 8,
    "mapping_fmaps": 512,
    "mapping_lrmul": 0.01,
    "mapping_nonlinearity": "lrelu",
    "normalize_latents": True,
    "num_channels": 3,
    "resolution": 1024,
    "fmap_base": 16384,
    "fmap_decay": 1.0,
    "fmap_min": 1,
    "fmap_max": 512,
    "architecture": "skip",
    "nonlinearity": "lrelu",
    "resample_kernel": [1, 3, 3, 1],
    "structure": "auto",
    "dtype": "float32",
    # These change training, speed or what the program's own commands do, not the function.
    "truncation_psi_val": None,
    "truncation_cutoff_val": None,
    "dlatent_avg_beta": 0.995,
    "style_mixing_prob": 0.9,
    "randomize_noise": True,
    "fused_modconv": True,
}
# What only stylegan2-ada's functions know.
_ADA_DEFAULTS = {
    "use_noise": True,
    "conv_clamp": None,
    "label_fmaps": None,  # what the stored weights say, and so the next
    "fmap_const": None,
    "num_fp16_res": 0,  # float32 is computed
}

Parts = tuple[str, dict[str, Any], dict[str, Array], list[str]]


@dataclass(frozen=True, slots=True)
class _Built:
    """How the network was built, and how far it had grown."""

    given: Mapping[str, Any]  # the arguments in force
    grows: bool
    ada: bool
    drawn: Stage


def convert(network: Network) -> Parts:
    """Family, configuration, arrays and remarks of a generator built by `G_main`."""
    mapping = network.component("mapping", "G_mapping")
    synthesis = network.component("synthesis", "G_synthesis_stylegan2", _GROWING, _ADA)
    built = _built(network, mapping, synthesis)
    embedding = "LabelEmbed" if built.ada else "LabelConcat"
    arrays = {
        **dict(mapping_arrays(Taken(mapping), built.given, embedding)),
        **dict(_synthesis_arrays(Taken(synthesis), built)),
        **dict(centre(Taken(network))),
    }
    config = {
        **mapping_config(built.given, arrays),
        **_classes(built, arrays),
        **_synthesis_config(built, arrays),
        **_truncation(built, arrays),
    }
    return "stylegan2", config, arrays, list(remarks(built.given, built.drawn))


def _built(network: Network, mapping: Network, synthesis: Network) -> _Built:
    """A generator hands its own arguments to its components in every run, over theirs."""
    grows, ada = synthesis.build_func == _GROWING, synthesis.build_func == _ADA
    given = _DEFAULTS | (_ADA_DEFAULTS if ada else {})
    for part in (mapping, synthesis, network):
        given = part.arguments(given)
    full, lods = resolution(given), (network.variables.get("lod"), synthesis.variables.get("lod"))
    if not grows or given["structure"] == "fixed":  # these never read it
        lods = (None, None)
    if grows:
        given["architecture"] = "orig"
    return _Built(given, grows, ada, stage(full, *lods))


def _classes(built: _Built, arrays: Mapping[str, Array]) -> dict[str, Any]:
    """How classes enter: in the first program they join z before both are normalised as one."""
    embed = arrays.get("mapping.embed.weight")
    if embed is None:
        return {"embed_width": 0, "label_concat": False}
    return {"embed_width": len(embed), "label_concat": not built.ada}


def _synthesis_config(built: _Built, arrays: Mapping[str, Array]) -> dict[str, Any]:
    given, drawn = built.given, built.drawn
    return {
        "resolution": drawn.resolution,
        "channels": given["num_channels"],
        "architecture": given["architecture"],
        "activation": given["nonlinearity"],
        "conv_clamp": given.get("conv_clamp"),
        "use_noise": given.get("use_noise", True),
        "kernel_size": 3,
        "equalized": True,
        "widths": [len(arrays[f"synthesis.b{r}.conv1.bias"]) for r in resolutions(drawn)],
        "resample_filter": _filter(given["resample_kernel"]),
        "fade": drawn.fade,
    }


def _filter(kernel: Any) -> list[list[float]]:
    """The normalised filter, [taps, taps]; None stands for repetition of pixels."""
    taps = np.array([1, 1] if kernel is None else kernel, np.float64)
    if taps.ndim == 1:
        taps = np.outer(taps, taps)
    if taps.ndim != 2 or not 1 <= len(taps) <= 64 or not np.isfinite(taps).all() or not taps.sum():
        raise UnsupportedCheckpoint(f"resample_kernel is {shown(kernel)} of no filter's shape")
    normal: list[list[float]] = (taps / taps.sum()).tolist()
    return normal


def _truncation(built: _Built, arrays: Mapping[str, Array]) -> dict[str, Any]:
    """psi and cutoff of a plain run; None is no truncation for psi, and all rows for a cutoff."""
    psi, cutoff = built.given["truncation_psi"], built.given["truncation_cutoff"]
    has_w_avg = "mapping.w_avg" in arrays
    rows = 2 * len(resolutions(built.drawn))
    if psi is None or psi == 1 or not has_w_avg or (cutoff is not None and cutoff <= 0):
        psi, cutoff = 1.0, None
    elif cutoff is not None and cutoff >= rows:
        cutoff = None
    return {"psi": psi, "cutoff": cutoff, "has_w_avg": has_w_avg}


def _synthesis_arrays(taken: Taken, built: _Built) -> Named:
    constant = taken.take("4x4/Const/const")  # [1, C, 4, 4]
    yield "synthesis.b4.const", constant.reshape(constant.shape[1:])
    for index, (there, name) in enumerate(_layers(built.drawn)):
        yield from _convolution(taken, there, name)
        if built.given.get("use_noise", True):
            yield f"{name}.noise_strength", taken.take(f"{there}/noise_strength")
            stored = taken.take(f"noise{index}")  # [1, 1, r, r]
            yield f"{name}.noise_const", stored.reshape(stored.shape[2:])
    if built.given["architecture"] == "resnet":
        for r in resolutions(built.drawn)[1:]:
            yield f"synthesis.b{r}.skip.weight", turned(taken.take(f"{r}x{r}/Skip/weight"))
    yield from _colours(taken, built)
    if built.grows:
        drop_unused(taken, built.drawn, noises=1)
    taken.finish()


def _layers(drawn: Stage) -> Iterator[tuple[str, str]]:
    """Where each layer's variables lie and what it is called here, in the order of the noises."""
    yield "4x4/Conv", "synthesis.b4.conv1"
    for r in resolutions(drawn)[1:]:
        yield f"{r}x{r}/Conv0_up", f"synthesis.b{r}.conv0"
        yield f"{r}x{r}/Conv1", f"synthesis.b{r}.conv1"


def _convolution(taken: Taken, there: str, name: str) -> Named:
    weight = taken.take(f"{there}/weight")
    # TensorFlow's up-sampling turns the kernel round before it transposes the convolution.
    yield f"{name}.weight", turned(weight[::-1, ::-1] if there.endswith("_up") else weight)
    yield from _style(taken, there, name)


def _style(taken: Taken, there: str, name: str) -> Named:
    yield f"{name}.affine.weight", taken.take(f"{there}/mod_weight").T
    # The stored bias is around the neutral scale 1; the PyTorch programs store it with the 1.
    yield f"{name}.affine.bias", taken.take(f"{there}/mod_bias") + np.float32(1)
    yield f"{name}.bias", taken.take(f"{there}/bias")


def _colours(taken: Taken, built: _Built) -> Named:
    """The ToRGB layers that draw, called by resolution or, in networks that grow, by level."""
    drawn = built.drawn
    for r in resolutions(drawn):
        level = (drawn.full // r).bit_length() - 1
        there = f"ToRGB_lod{level}" if built.grows else f"{r}x{r}/ToRGB"
        fading = drawn.fade > 0 and 2 * r == drawn.resolution
        if r == drawn.resolution or fading or built.given["architecture"] == "skip":
            name = f"synthesis.b{r}.torgb"
            yield f"{name}.weight", turned(taken.take(f"{there}/weight"))
            yield from _style(taken, there, name)
