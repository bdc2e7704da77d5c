"""StyleGAN (`G_style`), of its own program or of StyleGAN2's (configuration a)."""

import math
from collections.abc import Mapping
from typing import Any

from nonesuch.errors import UnsupportedCheckpoint
from nonesuch_export.checkpoint.tensorflow.growing import (
    Named,
    check_structure,
    colours,
    drop_unused,
    places,
    remarks,
    resolutions,
    turned,
)
from nonesuch_export.checkpoint.tensorflow.record import Network, Taken, resolution, size
from nonesuch_export.checkpoint.tensorflow.stage import Stage, stage
from nonesuch_export.checkpoint.tensorflow.styled import centre, mapping_arrays, mapping_config
from nonesuch_export.checkpoint.tensors import Array
from nonesuch_export.checkpoint.unpickle import shown

# Every argument of the build functions with its default. A generator hands its own on to its
# components, so all three know all of them.
_DEFAULTS: dict[str, Any] = {
    "truncation_psi": 0.7,
    "truncation_cutoff": 8,
    "latent_size": 512,
    "label_size": 0,
    "dlatent_size": 512,
    "mapping_layers": 8,
    "mapping_fmaps": 512,
    "mapping_lrmul": 0.01,
    "mapping_nonlinearity": "lrelu",
    "normalize_latents": True,
    "num_channels": 3,
    "resolution": 1024,
    "fmap_base": 8192,
    "fmap_decay": 1.0,
    "fmap_max": 512,
    "use_styles": True,
    "const_input_layer": True,
    "use_noise": True,
    "nonlinearity": "lrelu",
    "use_wscale": True,
    "use_pixel_norm": False,
    "use_instance_norm": True,
    "fused_scale": "auto",
    "blur_filter": [1, 2, 1],
    "structure": "auto",
    "dtype": "float32",
    # These change training or what the program's own commands do, not the function.
    "truncation_psi_val": None,
    "truncation_cutoff_val": None,
    "dlatent_avg_beta": 0.995,
    "dlatent_broadcast": None,
    "style_mixing_prob": 0.9,
    "randomize_noise": True,
    "mbstd_group_size": 4,
    "mbstd_num_features": 1,
}
_FUSED_FROM = 128  # pixels; where `auto` begins to fuse

Parts = tuple[str, dict[str, Any], dict[str, Array], list[str]]


def convert(network: Network) -> Parts:
    """Family, configuration, arrays and remarks of a generator built by `G_style`."""
    mapping = network.component("mapping", "G_mapping")
    synthesis = network.component("synthesis", "G_synthesis")
    # A generator hands its own arguments to its components in every run, over theirs.
    asked, given = (network.arguments(part.arguments(_DEFAULTS)) for part in (mapping, synthesis))
    if asked["use_wscale"] != given["use_wscale"]:
        raise UnsupportedCheckpoint("use_wscale differs between mapping and synthesis")
    drawn = _stage(network, synthesis, given)
    arrays = {
        **dict(mapping_arrays(Taken(mapping), asked, "LabelConcat")),
        **dict(_synthesis_arrays(synthesis, given, drawn)),
        **dict(centre(Taken(network))),
    }
    config = {
        **mapping_config(asked, arrays),
        **_synthesis_config(given, drawn, arrays),
        **_truncation(given, arrays),
    }
    return "stylegan1", config, arrays, list(remarks(given, drawn))


def _stage(network: Network, synthesis: Network, given: Mapping[str, Any]) -> Stage:
    """The generator's own `lod` is in force; a fixed structure does not read it."""
    full = resolution(given)
    check_structure(given, "auto", "linear", "recursive", "fixed")
    if given["structure"] == "fixed":
        return Stage(full=full, lod=0.0)
    return stage(full, network.variables.get("lod"), synthesis.variables.get("lod"))


def _synthesis_config(
    given: Mapping[str, Any], drawn: Stage, arrays: Mapping[str, Array]
) -> dict[str, Any]:
    blocks = resolutions(drawn)
    widths = [len(arrays[f"synthesis.layers.{2 * i}.bias"]) for i in range(len(blocks))]
    switches = ("use_styles", "use_noise", "use_wscale", "use_pixel_norm", "use_instance_norm")
    return {
        "resolution": drawn.resolution,
        "channels": given["num_channels"],
        "widths": widths,
        "fused": [_is_fused(given, r) for r in blocks[1:]],
        "fade": drawn.fade,
        "activation": given["nonlinearity"],
        "const_input": given["const_input_layer"],
        "blur_filter": _blur(given["blur_filter"]),
        **{name: given[name] for name in switches},
    }


def _is_fused(given: Mapping[str, Any], size_out: int) -> bool:
    """Whether the layer that doubles to `size_out` pixels is fused."""
    if (asked := given["fused_scale"]) not in (True, False, "auto"):
        raise UnsupportedCheckpoint(f"fused_scale is {shown(asked)}, expected true, false or auto")
    return size_out >= _FUSED_FROM if asked == "auto" else bool(asked)


def _blur(taps: Any) -> Any:
    """The filter's taps, or None where it changes nothing: a single tap is scaled to 1."""
    one = isinstance(taps, list) and len(taps) == 1 and isinstance(taps[0], int | float)
    return None if not taps or (one and math.isfinite(taps[0]) and taps[0]) else taps


def _truncation(given: Mapping[str, Any], arrays: Mapping[str, Array]) -> dict[str, Any]:
    """psi and cutoff of a plain run. Here a cutoff of None or 0 is no truncation at all."""
    psi, cutoff = given["truncation_psi"], given["truncation_cutoff"]
    has_w_avg = "mapping.w_avg" in arrays
    if cutoff is not None:
        cutoff = size(given, "truncation_cutoff", -(2**20), 2**20)
    if psi is None or cutoff is None or cutoff <= 0 or not has_w_avg:
        return {"psi": 1.0, "cutoff": None, "has_w_avg": has_w_avg}
    return {"psi": psi, "cutoff": cutoff if psi != 1 else None, "has_w_avg": has_w_avg}


def _synthesis_arrays(synthesis: Network, given: Mapping[str, Any], drawn: Stage) -> Named:
    taken = Taken(synthesis)
    first = "Const" if given["const_input_layer"] else "Dense"
    for i, place in enumerate(places(drawn, first, "Conv0_up")):
        name = f"synthesis.layers.{i}"
        yield _source(taken, place, f"{name}.source")
        yield f"{name}.bias", taken.take(f"{place}/bias")
        if given["use_noise"]:
            yield f"{name}.noise_strength", taken.take(f"{place}/Noise/weight")
            stored = taken.take(f"noise{i}")  # [1, 1, r, r]
            yield f"{name}.noise_const", stored.reshape(stored.shape[2:])
        if given["use_styles"]:
            yield f"{name}.affine.weight", taken.take(f"{place}/StyleMod/weight").T
            yield f"{name}.affine.bias", taken.take(f"{place}/StyleMod/bias")
    yield from colours(taken, drawn, "synthesis.torgb")
    drop_unused(taken, drawn, noises=2)
    taken.finish()


def _source(taken: Taken, place: str, name: str) -> tuple[str, Array]:
    if place.endswith("Const"):
        constant = taken.take(f"{place}/const")  # [1, C, 4, 4]
        return f"{name}.const", constant.reshape(constant.shape[1:])
    weight = taken.take(f"{place}/weight")
    return f"{name}.weight", weight.T if place.endswith("Dense") else turned(weight)
