"""What the conversions of networks that grew share: places of layers, colours, leftovers.

Variables of a layer lie under `<resolution>x<resolution>/<layer>`, those that make RGB of the
layers at resolution / 2^k under `ToRGB_lod<k>`, of which a stage of growth uses one or two.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from nonesuch.errors import UnsupportedCheckpoint
from nonesuch_export.checkpoint.tensorflow.record import Taken
from nonesuch_export.checkpoint.tensorflow.stage import Stage
from nonesuch_export.checkpoint.tensors import Array
from nonesuch_export.checkpoint.unpickle import shown

Named = Iterator[tuple[str, Array]]


def check_structure(given: Mapping[str, Any], *known: str | None) -> None:
    """Refuse a structure that the build function lacks; those it has compute the same."""
    if given["structure"] not in known:
        names = ", ".join(map(str, known))
        raise UnsupportedCheckpoint(f"structure is {shown(given['structure'])}, expected {names}")


def remarks(given: Mapping[str, Any], drawn: Stage) -> Iterator[str]:
    """What is unusual about the network, for people."""
    yield from drawn.remarks()
    if given["dtype"] != "float32":
        yield f"trained with activations in {shown(given['dtype'])}: float32 is computed"


def turned(weight: Array) -> Array:
    """[k, k, in, out] as [out, in, k, k]."""
    return weight.transpose(3, 2, 0, 1)


def resolutions(drawn: Stage) -> list[int]:
    """4, 8, … up to what the stage draws."""
    return [2**i for i in range(2, drawn.resolution.bit_length())]


def places(drawn: Stage, first: str, up: str) -> list[str]:
    """Where the variables of each layer lie; `first` and `up` name the input and doubling layers.

    There are two layers at each resolution.
    """
    found = [f"4x4/{first}", "4x4/Conv"]
    for r in resolutions(drawn)[1:]:
        found += [f"{r}x{r}/{up}", f"{r}x{r}/Conv1"]
    return found


def colours(taken: Taken, drawn: Stage, name: str) -> Named:
    """The arrays of the network's ToRGB called `name`."""
    yield f"{name}.weight", turned(taken.take(f"ToRGB_lod{drawn.level}/weight"))
    yield f"{name}.bias", taken.take(f"ToRGB_lod{drawn.level}/bias")
    if drawn.fade:
        yield f"{name}.half_weight", turned(taken.take(f"ToRGB_lod{drawn.level + 1}/weight"))
        yield f"{name}.half_bias", taken.take(f"ToRGB_lod{drawn.level + 1}/bias")


def drop_unused(taken: Taken, drawn: Stage, noises: int = 0) -> None:
    """Forget the layers beyond the stage, and the colours of stages that are over or to come.

    `noises` is how many there are at 4x4; at every further resolution there are two, if any.
    """
    taken.drop(r"lod|ToRGB_lod\d+/.*")
    for i in range(drawn.resolution.bit_length(), drawn.full.bit_length()):
        first = 2 * (i - 3) + noises
        taken.drop(rf"{2**i}x{2**i}/.*|noise({first}|{first + 1})")
