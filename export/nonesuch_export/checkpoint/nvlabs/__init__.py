"""Reader for the pickles of the authors' PyTorch repositories (stylegan2-ada-pytorch, stylegan3).

Such a pickle holds whole modules with their attributes. Per-layer attributes are the values in
force, so they are read in preference to constructor arguments, whose defaults differ between
the repositories. The Python source that each module carries along is passed over as text.
"""

from typing import Any

from nonesuch.errors import CheckpointError, UnsupportedCheckpoint
from nonesuch_export.checkpoint.nvlabs import stylegan2, stylegan3
from nonesuch_export.checkpoint.nvlabs.module import NAMES, Module
from nonesuch_export.checkpoint.tensors import Array

__all__ = ["NAMES", "Module", "Parts", "convert", "holds_modules"]

Parts = tuple[str, dict[str, Any], dict[str, Array], list[str]]


def holds_modules(root: Any) -> bool:
    """Whether an unpickled file is of the authors' PyTorch programs, by what it holds."""
    members = root.values() if isinstance(root, dict) else [root]
    return any(isinstance(member, Module) for member in members)


def convert(root: Any) -> Parts:
    """Family, configuration, arrays and remarks of the moving-average generator.

    `root` is what a pickle gave that was read with `NAMES`. Raises CheckpointError or one of
    its kinds, always in one sentence.
    """
    remarks = []
    if isinstance(root, Module):
        remarks.append("the file holds one network alone, which may not be the moving average")
        root = {"G_ema": root}
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
