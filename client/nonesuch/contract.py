"""The wire contract: tensor names, dtypes, shapes, ranges and neutral values, written once.

`GRAPH` is what every engine takes, `REQUEST` what a client may send to a served model, `ANSWER`
what it may ask for. Sizes are per sample, without the batch axis; a word in a shape is a field
of the model's card (`card.Card`). docs/contract.md tells the same for other languages.
"""

from dataclasses import dataclass
from typing import Literal

DType = Literal["FP32", "INT32", "INT64", "UINT8", "BYTES"]

SEEDS = 2**32  # seeds are 0 … SEEDS - 1, the range of numpy's RandomState
LATENT = 1e6  # values of latents, offsets, labels and transforms are at most this
FACTOR = 10.0  # |psi|, |noise_scale| and a direction's |weight| are at most this
# Layers by their resolution in pixels, from … to (StyleGAN, section 3.1, open to both sides).
GROUPS = {"coarse": (1, 15), "middle": (16, 63), "fine": (64, 2**16)}
FORMATS = ("jpeg", "png", "webp")
QUALITY = (1, 100)
DEFAULT_QUALITY = 90
CARD = "card"  # the model-config parameter that holds the card's JSON


@dataclass(frozen=True, slots=True)
class Tensor:
    """One named tensor of the contract."""

    name: str
    dtype: DType
    shape: tuple[int | str, ...]  # of one sample; -1 = one for all layers, or one for each
    control: str = ""  # the graph input that a model must have for this to mean anything
    neutral: float = 0.0  # the value that changes nothing (mix_z: z, transform: identity)


GRAPH = (
    Tensor("z", "FP32", ("z_dim",)),
    Tensor("mix_z", "FP32", ("z_dim",)),
    Tensor("mix", "FP32", ("num_ws",)),
    Tensor("c", "FP32", ("c_dim",)),
    Tensor("psi", "FP32", ("num_ws",), neutral=1.0),
    Tensor("modes", "FP32", (1,)),
    Tensor("ws_offset", "FP32", ("num_ws", "w_dim")),
    Tensor("noise_scale", "FP32", ("num_noise",), neutral=1.0),
    Tensor("noise_shift", "INT32", ("num_noise", 2)),
    Tensor("transform", "FP32", (3, 3)),
)
IMAGE = Tensor("image", "UINT8", ("height", "width", "channels"))

# NAME_mapping: what it takes and what it gives, scores where the model has directions.
MAPPING = tuple(tensor for tensor in GRAPH if tensor.name in {"z", "c"})
W = Tensor("w", "FP32", ("w_dim",))
SCORES = Tensor("scores", "FP32", ("num_directions",))

REQUEST = (
    Tensor("seed", "INT64", (1,), "z"),
    Tensor("z", "FP32", ("z_dim",), "z"),
    Tensor("ws", "FP32", (-1, -1), "psi"),  # a way off w_avg, as truncation is
    Tensor("mix_seed", "INT64", (1,), "mix"),
    Tensor("mix_z", "FP32", ("z_dim",), "mix"),
    Tensor("mix", "FP32", (-1,), "mix"),
    Tensor("mix_layers", "BYTES", (1,), "mix"),
    Tensor("class", "INT32", (1,), "c"),
    Tensor("c", "FP32", (-1,), "c"),
    Tensor("psi", "FP32", (1,), "psi"),
    Tensor("cutoff", "INT32", (1,), "psi"),
    Tensor("modes", "INT32", (1,), "modes"),
    Tensor("directions", "BYTES", (1,), "ws_offset"),
    Tensor("ws_offset", "FP32", (-1, -1), "ws_offset"),
    Tensor("noise_scale", "FP32", (-1,), "noise_scale"),
    Tensor("noise_layers", "BYTES", (1,), "noise_scale"),
    Tensor("noise_seed", "INT64", (1,), "noise_shift"),
    Tensor("transform", "FP32", (-1, -1), "transform"),
    Tensor("format", "BYTES", (1,)),
    Tensor("quality", "INT32", (1,)),
)
RECIPE = Tensor("recipe", "BYTES", (1,))
ENCODED = Tensor("encoded", "BYTES", (1,))
ANSWER = (ENCODED, IMAGE, RECIPE)

_MASK = 2**64 - 1


def noise_shift(noise_seed: int, layer: int, resolution: int) -> tuple[int, int]:
    """Rows and columns by which noise layer `layer` is shifted for a noise seed.

    The stored noise of a layer is rolled cyclically, `numpy.roll(noise, (rows, columns), (0, 1))`.
    Both come from one step of splitmix64 (Steele, Lea and Flood, 2014) over
    `noise_seed · 2¹⁶ + layer`: rows from the upper, columns from the lower 32 bits, each modulo
    the layer's resolution. All arithmetic is unsigned and modulo 2⁶⁴.

    >>> noise_shift(7, 0, 4), noise_shift(7, 1, 8)
    ((3, 0), (7, 1))
    """
    x = (noise_seed << 16) + layer + 0x9E3779B97F4A7C15 & _MASK
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & _MASK
    x = (x ^ x >> 27) * 0x94D049BB133111EB & _MASK
    x ^= x >> 31
    return (x >> 32) % resolution, (x & 0xFFFFFFFF) % resolution
