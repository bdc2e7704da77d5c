"""What the conversions of StyleGAN and StyleGAN2 share: the mapping network and the average w."""

from collections.abc import Mapping
from typing import Any

from nonesuch_export.checkpoint.tensorflow.growing import Named
from nonesuch_export.checkpoint.tensorflow.record import Taken, size
from nonesuch_export.checkpoint.tensors import Array

_MAX_LAYERS = 64  # of the mapping network
_MAX_WIDTH = 65536  # of latents and labels


def mapping_config(given: Mapping[str, Any], arrays: Mapping[str, Array]) -> dict[str, Any]:
    """The mapping network's settings, from the arguments in force and the arrays made of it."""
    return {
        "z_dim": size(given, "latent_size", 1, _MAX_WIDTH),
        "c_dim": size(given, "label_size", 0, _MAX_WIDTH),
        "w_dim": size(given, "dlatent_size", 1, _MAX_WIDTH),
        "mapping_widths": [len(arrays[f"mapping.fc{i}.bias"]) for i in range(_depth(given))],
        "mapping_activation": given["mapping_nonlinearity"],
        "lr_multiplier": given["mapping_lrmul"],
        "normalize_z": given["normalize_latents"],
    }


def mapping_arrays(taken: Taken, given: Mapping[str, Any], embedding: str) -> Named:
    """The arrays of a `G_mapping`; `embedding` is what it calls the layer that classes enter by."""
    if size(given, "label_size", 0, _MAX_WIDTH):
        yield "mapping.embed.weight", taken.take(f"{embedding}/weight").T
        if taken.has(f"{embedding}/bias"):
            yield "mapping.embed.bias", taken.take(f"{embedding}/bias")
    for i in range(_depth(given)):
        yield f"mapping.fc{i}.weight", taken.take(f"Dense{i}/weight").T
        yield f"mapping.fc{i}.bias", taken.take(f"Dense{i}/bias")
    taken.finish()


def centre(taken: Taken) -> Named:
    """The average w among the whole generator's own variables, where it is there."""
    taken.drop("lod")
    if taken.has("dlatent_avg"):
        yield "mapping.w_avg", taken.take("dlatent_avg")
    taken.finish()


def _depth(given: Mapping[str, Any]) -> int:
    return size(given, "mapping_layers", 0, _MAX_LAYERS)
