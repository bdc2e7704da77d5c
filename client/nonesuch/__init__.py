"""Ask a nonesuch server for pictures.

    from nonesuch import Client, Truncation

    with Client("localhost:8001") as client:
        for picture in client.generate("portraits", range(16), truncation=Truncation(psi=0.7)):
            ...  # picture.seed, picture.encoded, picture.array(), picture.recipe

What is named here stays; all else may change without notice.
"""

from nonesuch.aio import AsyncClient
from nonesuch.card import Card
from nonesuch.client import Client
from nonesuch.errors import InvalidRequest, NonesuchError
from nonesuch.images import Picture, grid
from nonesuch.latents import parse_seeds
from nonesuch.options import Format, Mix, Noise, Truncation

__version__ = "0.1.0"

__all__ = [
    "AsyncClient",
    "Card",
    "Client",
    "Format",
    "InvalidRequest",
    "Mix",
    "Noise",
    "NonesuchError",
    "Picture",
    "Truncation",
    "grid",
    "parse_seeds",
]
