"""Networks in torch, one architecture a module, made of a checkpoint and back.

Checking a checkpoint takes no torch, which is imported on the first use of anything else here.
"""

import importlib
import typing

from nonesuch_export.network.layout import check
from nonesuch_export.network.values import Configuration

if typing.TYPE_CHECKING:
    from nonesuch_export.network.families import FAMILIES, build, freeze, untrained
    from nonesuch_export.network.generator import Generator
    from nonesuch_export.network.stylegan2 import StyleGAN2

__all__ = [
    "FAMILIES",
    "Configuration",
    "Generator",
    "StyleGAN2",
    "build",
    "check",
    "freeze",
    "untrained",
]

_HOMES = {
    **dict.fromkeys(("FAMILIES", "build", "freeze", "untrained"), "families"),
    "Generator": "generator",
    "StyleGAN2": "stylegan2",
}


def __getattr__(name: str) -> typing.Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = importlib.import_module(f"{__name__}.{_HOMES[name]}")
    globals()[name] = value = getattr(home, name)
    return value
