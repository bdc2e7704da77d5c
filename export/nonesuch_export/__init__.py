"""From a checkpoint to a Triton model repository: read safely, build, export, compare, place."""

import typing

from nonesuch_export.checkpoint import Checkpoint, read

if typing.TYPE_CHECKING:
    from nonesuch_export.repository import Built, Plan, build

__all__ = ["Built", "Checkpoint", "Plan", "build", "read"]


def __getattr__(name: str) -> typing.Any:
    """Import what exports on its first use: who only reads a checkpoint does not wait for it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from nonesuch_export import repository

    globals()[name] = value = getattr(repository, name)
    return value
