"""From a checkpoint to a Triton model repository: read safely, build, export, compare, place."""

from nonesuch_export.checkpoint import Checkpoint, read
from nonesuch_export.repository import Built, Plan, build

__all__ = ["Built", "Checkpoint", "Plan", "build", "read"]
