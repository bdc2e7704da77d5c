"""Progressive GAN (`G_paper`) of either of the programs that write it.

In its own program (`tfutil.Network`) the weight of a fused up-scaling layer is stored with its
axes in another order than everywhere else; in StyleGAN's (`dnnlib`) it is not.
"""

from collections.abc import Mapping
from typing import Any

from nonesuch.errors import CheckpointError
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
from nonesuch_export.checkpoint.tensors import Array
from nonesuch_export.checkpoint.unpickle import shown

# Every argument of the build function with its default.
_DEFAULTS: dict[str, Any] = {
    "num_channels": 1,
    "resolution": 32,
    "label_size": 0,
    "fmap_base": 8192,
    "fmap_decay": 1.0,
    "fmap_max": 512,
    "latent_size": None,  # what the stored weights say
    "normalize_latents": True,
    "use_wscale": True,
    "use_pixelnorm": True,
    "pixelnorm_epsilon": 1e-8,
    "use_leakyrelu": True,
    "fused_scale": True,
    "structure": None,
    "dtype": "float32",
    # The function takes any argument and reads none of these: they are the discriminator's, or
    # were carried over from the Theano program.
    **dict.fromkeys((
        "mbstd_group_size", "mbstd_num_features", "mbstat_func", "mbstat_avg", "mbdisc_kernels",
        "use_batchnorm", "use_layernorm", "use_gdrop", "tanh_at_end",
    )),
}  # fmt: skip

Parts = tuple[str, dict[str, Any], dict[str, Array], list[str]]


def convert(network: Network) -> Parts:
    """Family, configuration, arrays and remarks of a generator built by `G_paper`."""
    given = network.arguments(_DEFAULTS)
    check_structure(given, None, "auto", "linear", "recursive")
    drawn = stage(resolution(given), network.variables.get("lod"))
    fused = _is_fused(network, given)
    arrays = dict(_arrays(network, drawn, fused=fused))
    config = _config(given, drawn, arrays, fused=fused)
    return "progan", config, arrays, list(remarks(given, drawn))


def _is_fused(network: Network, given: Mapping[str, Any]) -> bool:
    """Whether up-scaling is fused, by the layers' names, which must be as the argument says."""
    names = {name.split("/")[1] for name in network.variables if name.count("/") == 2}
    asked = bool(given["fused_scale"])  # as the function takes it
    found = {True: "Conv0_up" in names, False: "Conv0" in names}
    if not any(found.values()):  # 4x4 has no such layer
        return asked
    explicit = "fused_scale" in network.static
    if all(found.values()) or (explicit and not found[asked]):
        raise CheckpointError(
            f"fused_scale is {shown(given['fused_scale'])}, but the up-scaling layers are called "
            f"{' and '.join(sorted(names & {'Conv0', 'Conv0_up'}))}"
        )
    return found[True]


def _config(
    given: Mapping[str, Any], drawn: Stage, arrays: Mapping[str, Array], *, fused: bool
) -> dict[str, Any]:
    layers = 2 * len(resolutions(drawn))
    return {
        "resolution": drawn.resolution,
        "channels": given["num_channels"],
        "z_dim": _latents(given, arrays["layers.0.source.weight"]),
        "c_dim": given["label_size"],
        "widths": [len(arrays[f"layers.{i}.bias"]) for i in range(0, layers, 2)],
        "fused": [fused] * (len(resolutions(drawn)) - 1),
        "fade": drawn.fade,
        "activation": "lrelu" if given["use_leakyrelu"] else "relu",
        "normalize_z": given["normalize_latents"],
        "use_wscale": given["use_wscale"],
        "use_pixel_norm": given["use_pixelnorm"],
        "epsilon": given["pixelnorm_epsilon"],
    }


def _latents(given: Mapping[str, Any], weight: Array) -> int:
    """z_dim: what the first layer [16 width, inputs] takes beside the classes."""
    found: int = weight.shape[1] - size(given, "label_size", 0, 65536)
    if given["latent_size"] not in {None, found}:
        raise CheckpointError(
            f"latent_size is {shown(given['latent_size'])}, but 4x4/Dense/weight has {found} rows "
            "for latents"
        )
    return found


def _arrays(network: Network, drawn: Stage, *, fused: bool) -> Named:
    taken = Taken(network)
    up = "Conv0_up" if fused else "Conv0"
    for i, place in enumerate(places(drawn, "Dense", up)):
        weight = taken.take(f"{place}/weight")
        if i == 0:
            weight = weight.T
        elif place.endswith("_up") and network.container == "tfutil":
            weight = weight.transpose(2, 3, 0, 1)  # stored as [3, 3, out, in]
        else:
            weight = turned(weight)
        yield f"layers.{i}.source.weight", weight
        yield f"layers.{i}.bias", taken.take(f"{place}/bias")
    yield from colours(taken, drawn, "torgb")
    drop_unused(taken, drawn)
    taken.finish()
