"""Reader for the pickles of the authors' PyTorch repositories (stylegan2-ada-pytorch, stylegan3).

Such a pickle holds whole modules with their attributes. Per-layer attributes are the values in
force, so they are read in preference to constructor arguments, whose defaults differ between
the repositories. The Python source that each module carries along is passed over as text.
"""

from typing import Any, BinaryIO

from nonesuch.errors import CheckpointError, UnsupportedCheckpoint
from nonesuch_export.checkpoint.nvlabs import stylegan2, stylegan3
from nonesuch_export.checkpoint.nvlabs.module import NAMES, Module
from nonesuch_export.checkpoint.source import Bounded
from nonesuch_export.checkpoint.tensors import Array
from nonesuch_export.checkpoint.unpickle import load

__all__ = ["NAMES", "Module", "Parts", "convert", "read"]

Parts = tuple[str, dict[str, Any], dict[str, Array], list[str]]


def read(stream: BinaryIO) -> Parts:
    """Family, configuration, arrays and remarks of the moving-average generator in a pickle.

    Raises CheckpointError or one of its kinds, always in one sentence.
    """
    return convert(load(Bounded(stream), NAMES))


def convert(root: Any) -> Parts:
    """Do what `read` does with a pickle that was loaded with `NAMES` or more."""
    remarks = []
    if not isinstance(root, dict):
        raise UnsupportedCheckpoint("the pickle holds no dict of networks")
    generator = root.get("G_ema")
    if generator is None:
        generator = root.get("G")
        remarks.append("no moving average (G_ema): the training generator G is used")
    if not isinstance(generator, Module):
        raise UnsupportedCheckpoint("the pickle holds no generator (neither G_ema nor G)")
    try:
        family, config, arrays, said = _generator(generator)
    except (TypeError, ValueError, AttributeError, LookupError, ArithmeticError) as exc:
        raise CheckpointError(f"the generator's attributes do not fit together: {exc}") from exc
    return family, config, arrays, remarks + said


def _generator(generator: Module) -> Parts:
    """Class names say little, both families have a `Generator`: their parts tell them apart."""
    parts = generator.child("synthesis").children
    if "input" in parts:
        return "stylegan3", *stylegan3.convert(generator)
    if "b4" in parts:
        return "stylegan2", *stylegan2.convert(generator), []
    raise UnsupportedCheckpoint("the generator is neither a StyleGAN2 nor a StyleGAN3")
