"""Ask a nonesuch server for pictures.

    from nonesuch import Client, Truncation

    with Client("localhost:8001") as client:
        for picture in client.generate("portraits", range(16), truncation=Truncation(psi=0.7)):
            ...  # picture.seed, picture.encoded, picture.array(), picture.recipe

`Client.generate_each` takes a `Sample` for each picture instead, with settings of its own.

What is named here stays; all else may change without notice. It is imported on first use: who
only needs an error or a name need not load gRPC.
"""

import importlib
import typing

if typing.TYPE_CHECKING:
    from nonesuch.aio import AsyncClient
    from nonesuch.card import Card
    from nonesuch.client import Client
    from nonesuch.codes import Codes
    from nonesuch.errors import InvalidRequest, NonesuchError
    from nonesuch.images import Picture, grid
    from nonesuch.latents import parse_seeds
    from nonesuch.morph import Morph
    from nonesuch.options import Format, Mix, Noise, Sample, Transform, Truncation

__version__ = "0.1.0"

__all__ = [
    "AsyncClient",
    "Card",
    "Client",
    "Codes",
    "Format",
    "InvalidRequest",
    "Mix",
    "Morph",
    "Noise",
    "NonesuchError",
    "Picture",
    "Sample",
    "Transform",
    "Truncation",
    "grid",
    "parse_seeds",
]

_HOMES = {
    "AsyncClient": "aio",
    "Card": "card",
    "Client": "client",
    "Codes": "codes",
    "Morph": "morph",
    **dict.fromkeys(("Format", "Mix", "Noise", "Sample", "Transform", "Truncation"), "options"),
    **dict.fromkeys(("InvalidRequest", "NonesuchError"), "errors"),
    **dict.fromkeys(("Picture", "grid"), "images"),
    "parse_seeds": "latents",
}


if not typing.TYPE_CHECKING:  # a checker is to know the names above, and no others

    def __getattr__(name: str) -> typing.Any:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
