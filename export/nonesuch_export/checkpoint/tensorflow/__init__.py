"""Reader for the pickles of the authors' TensorFlow programs.

Three programs wrote them: Progressive GAN (`tfutil.Network`), StyleGAN and StyleGAN2 (both
`dnnlib.tflib.network.Network`). The name of the function that built a network tells which
architecture it is; each has a module here that renames its variables for the network in torch
and puts the values in force into its configuration.
"""

from collections.abc import Callable
from typing import Any

from nonesuch.errors import CheckpointError, UnsupportedCheckpoint
from nonesuch_export.checkpoint.tensorflow import progan, stylegan1, stylegan2
from nonesuch_export.checkpoint.tensorflow.record import NAMES, Network, generator, holds_networks
from nonesuch_export.checkpoint.tensors import Array

__all__ = ["NAMES", "holds_networks", "read"]

Parts = tuple[str, dict[str, Any], dict[str, Array], list[str]]

_CONVERSIONS: dict[str, Callable[[Network], Parts]] = {
    "G_paper": progan.convert,
    "G_style": stylegan1.convert,
    "G_main": stylegan2.convert,
}


def read(root: Any) -> Parts:
    """Family, configuration, arrays and remarks of the generator in an unpickled file.

    `root` is what a pickle gave that was read with `NAMES`. Raises CheckpointError or one of
    its kinds, always in one sentence.
    """
    try:
        network, averaged = generator(root)
        family, config, arrays, remarks = _conversion(network.build_func)(network)
    except (TypeError, ValueError, AttributeError, LookupError, ArithmeticError) as exc:
        raise CheckpointError(f"the generator's parts do not fit together: {exc}") from exc
    if not averaged:
        remarks = [f"no moving average (Gs): the network {network.name!r} is used", *remarks]
    return family, config, arrays, remarks


def _conversion(build_func: str) -> Callable[[Network], Parts]:
    if build_func not in _CONVERSIONS:
        raise UnsupportedCheckpoint(
            f"the generator is built by {build_func!r}, expected one of "
            f"{', '.join(_CONVERSIONS)}; please report it with the program that it comes from"
        )
    return _CONVERSIONS[build_func]
