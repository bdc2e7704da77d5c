"""Sampler: a request's settings, checked and with defaults, become the generator's tensors.

A Triton Python model, self-contained. It reads the model card from its configuration. Every
request is answered by itself: a wrong one gets INVALID_ARGUMENT with what was wrong, the others
of its batch are served. The noise formula is that of the wire contract (docs/contract.md).
"""

import base64
import json
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from numpy.typing import NDArray

Array = NDArray[Any]
Tensors = dict[str, Array]
Card = dict[str, Any]

VERSION = "0.1.0"  # of nonesuch, for the recipes
SEEDS = 2**32
FACTOR = 10.0
LATENT = 1e6
QUALITY = (1, 100)
DEFAULT_QUALITY = 90
FORMATS = ("jpeg", "png", "webp")
GROUPS = {"coarse": (1, 15), "middle": (16, 63), "fine": (64, 2**16)}
LONGEST = 65536  # characters of a text
MASK = 2**64 - 1
# Seeded anew for each latent: to make one takes several times as long.
LEGACY = np.random.RandomState()

# Request tensor → the control that the generator must have for it.
NEEDS = {
    "seed": "z",
    "z": "z",
    "ws": "psi",
    "mix_seed": "mix",
    "mix_z": "mix",
    "mix": "mix",
    "mix_layers": "mix",
    "class": "c",
    "c": "c",
    "psi": "psi",
    "cutoff": "psi",
    "modes": "modes",
    "directions": "ws_offset",
    "ws_offset": "ws_offset",
    "noise_scale": "noise_scale",
    "noise_layers": "noise_scale",
    "noise_seed": "noise_shift",
    "transform": "transform",
    "format": "",
    "quality": "",
}
# Control → what a generator without it is; ws has a reason of its own.
LACKS = {
    "mix": "has no w to mix",
    "c": "is unconditional",
    "psi": "has no average w to truncate towards",
    "ws": "has no average w to reach a ws from",
    "modes": "has one average w and no other centres",
    "ws_offset": "has no w to move",
    "noise_scale": "has no noise layers",
    "noise_shift": "has no noise layers",
    "transform": "cannot move or turn its pictures",
}
# What cannot go with a ws, and why.
BESIDE_WS = {
    "mix_seed": "is the code of every layer already",
    "mix_z": "is the code of every layer already",
    "mix": "is the code of every layer already",
    "mix_layers": "is the code of every layer already",
    "class": "comes after the mapping, which alone takes classes",
    "c": "comes after the mapping, which alone takes classes",
    "modes": "is truncated towards the one average w",
}


class RefusedError(Exception):
    """Raised where a request cannot be served as it is; the client gets the text."""


class TritonPythonModel:
    """The model that Triton loads."""

    def initialize(self, args: dict[str, str]) -> None:
        config = json.loads(args["model_config"])
        self.card: Card = json.loads(config["parameters"]["card"]["string_value"])
        folder = Path(args["model_repository"]) / args["model_version"]
        # What a weight of 1 adds to ws for each of the card's directions, [D, w_dim].
        self.card["vectors"] = stored(folder, "directions") if self.card["directions"] else ()
        # The centre of truncation, [w_dim].
        self.card["w_avg"] = stored(folder, "w_avg") if "psi" in self.card["controls"] else None
        probe = np.arange(4, dtype=np.float32)
        if not np.array_equal(pb_utils.Tensor("probe", probe).as_numpy(), probe):
            raise pb_utils.TritonModelException(
                f"numpy {np.__version__} corrupts tensors on this server; use numpy 1.26"
            )

    def execute(self, requests: list[Any]) -> list[Any]:
        return [answer(self.card, request) for request in requests]


def stored(folder: Path, name: str) -> Array:
    values: Array = np.load(folder / f"{name}.npy", allow_pickle=False)
    return values


def answer(card: Card, request: Any) -> Any:
    """Triton's response to one request, an error where it must be."""
    try:
        tensors, recipes = sample(card, received(request))
    except RefusedError as exc:
        return failure(str(exc), pb_utils.TritonError.INVALID_ARG)
    except Exception as exc:  # noqa: BLE001 (one request must not fail its whole batch)
        pb_utils.Logger.log_error(f"sampler: {type(exc).__name__}: {exc}")
        return failure("the sampler failed on this request", pb_utils.TritonError.INTERNAL)
    outputs = [pb_utils.Tensor(n, np.ascontiguousarray(a)) for n, a in tensors.items()]
    texts = [[json.dumps(recipe).encode()] for recipe in recipes]
    outputs.append(pb_utils.Tensor("recipe", np.array(texts, dtype=np.object_)))
    return pb_utils.InferenceResponse(outputs)


def received(request: Any) -> Tensors:
    """The tensors that the request carries, by name."""
    found = {name: pb_utils.get_input_tensor_by_name(request, name) for name in NEEDS}
    return {name: tensor.as_numpy() for name, tensor in found.items() if tensor is not None}


def failure(text: str, code: int) -> Any:
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(text, code))


class Request:
    """A request's tensors, [N, …] each, and the recipes of its N samples as they grow."""

    def __init__(self, card: Card, sent: Tensors) -> None:
        self.sent = sent
        self.count = len(next(iter(sent.values()))) if sent else 1
        head = {"model": card["name"], "model_hash": card["model_hash"]}
        head["nonesuch"] = VERSION
        if card["crop"]:  # other pixels of the same weights
            head["crop"] = card["crop"]
        if card["tile"]:
            head["tile"] = card["tile"]
        self.recipes: list[dict[str, Any]] = [dict(head) for _ in range(self.count)]

    def __contains__(self, name: str) -> bool:
        return name in self.sent

    def note(self, name: str, values: list[Any]) -> None:
        """Put a setting into the recipes, one value a sample."""
        for recipe, value in zip(self.recipes, values):  # noqa: B905 (also runs on Python 3.9)
            recipe[name] = value

    def integers(self, name: str, least: int, most: int) -> list[int]:
        """The values of a tensor [N, 1], each within the limits."""
        values = [int(row[0]) for row in self.sent[name]]
        for value in values:
            if not least <= value <= most:
                raise RefusedError(f"{name} is {value}, expected {least} to {most}")
        return values

    def texts(self, name: str) -> list[str]:
        """The texts of a tensor [N, 1]."""
        return [row[0][:LONGEST].decode("utf-8", "replace") for row in self.sent[name]]

    def numbers(self, name: str, least: float = -LATENT, most: float = LATENT) -> Array:
        """A tensor of FP32, every value within the limits."""
        values = self.sent[name]
        wrong = ~((values >= least) & (values <= most))  # true for nan as well
        if wrong.any():
            raise RefusedError(f"{name} is {values[wrong][0]:g}, expected {least:g} to {most:g}")
        return values


def sample(card: Card, sent: Tensors) -> tuple[Tensors, list[dict[str, Any]]]:
    """The generator's tensors by name, and a recipe for each sample."""
    controls = card["controls"]
    for name in sent:
        if NEEDS[name] and NEEDS[name] not in controls:
            lack = LACKS[name if name in LACKS else NEEDS[name]]
            raise RefusedError(f"{card['name']} {lack}; leave out {name}")
    request = Request(card, sent)
    tensors: Tensors = {}
    for step in (latents, labels, truncation, centres, offset, noise, placement):
        tensors.update(step(card, request))
    if "ws" in request:
        tensors.update(code(card, request, tensors))
    encoding(card, request)
    return {name: tensors[name] for name in controls}, request.recipes


def latents(card: Card, request: Request) -> Tensors:
    sources = [name for name in ("seed", "z", "ws") if name in request]
    if len(sources) != 1:
        found = " and ".join(sources) or "none of them"
        raise RefusedError(f"send exactly one of seed, z and ws, there is {found}")
    for name in BESIDE_WS:
        if "ws" in request and name in request:
            raise RefusedError(f"ws {BESIDE_WS[name]}; leave out {name}")
    z = latent(card, request, "seed", "z")
    second = [name for name in ("mix_seed", "mix_z") if name in request]
    shares = [name for name in ("mix", "mix_layers") if name in request]
    if not second and not shares:
        return {"z": z, "mix_z": z, "mix": np.zeros((request.count, card["num_ws"]), np.float32)}
    if len(second) != 1 or len(shares) != 1:
        raise RefusedError(
            "mixing needs one of mix and mix_layers, and one of mix_seed and mix_z, there is "
            + " and ".join(second + shares)
        )
    mix = mixed_rows(card, request)
    return {"z": z, "mix_z": latent(card, request, "mix_seed", "mix_z"), "mix": mix}


def mixed_rows(card: Card, request: Request) -> Array:
    """The share of the second latent in each row of ws, [N, num_ws]."""
    if "mix_layers" in request:
        return selected(request, "mix_layers", card["ws_resolutions"])
    mix = per_layer(request.numbers("mix", 0.0, 1.0), "mix", card["num_ws"])
    request.note("mix", [plain(row) for row in mix])
    return mix


def latent(card: Card, request: Request, seed_name: str, z_name: str) -> Array:
    """[N, z_dim] from seeds or from latents, whichever was sent; beside a ws any will do."""
    if "ws" in request:
        return np.zeros((request.count, card["z_dim"]), np.float32)
    if seed_name in request:
        seeds = request.integers(seed_name, 0, SEEDS - 1)
        request.note(seed_name, seeds)
        return np.concatenate([gaussian(seed, card["z_dim"]) for seed in seeds])
    z = request.numbers(z_name)
    request.note(z_name, [packed(row) for row in z])
    return z


def labels(card: Card, request: Request) -> Tensors:
    size = card["c_dim"]
    if "class" in request and "c" in request:
        raise RefusedError("send either class or c, and not both")
    if "c" in request:
        c = request.numbers("c")
        if c.shape[1] != size:
            raise RefusedError(f"c has {c.shape[1]} values, expected {size}")
        request.note("c", [packed(row) for row in c])
        return {"c": c}
    c = np.zeros((request.count, size), np.float32)
    if "class" in request:
        classes = request.integers("class", 0, size - 1)
        c[np.arange(request.count), classes] = 1
        request.note("class", classes)
    return {"c": c}


def truncation(card: Card, request: Request) -> Tensors:
    layers = card["num_ws"]
    if "psi" not in card["controls"]:
        return {}
    psi, cutoff = [card["psi"]] * request.count, [-1] * request.count
    if "psi" in request:
        psi = plain(request.numbers("psi", -FACTOR, FACTOR)[:, 0])
    elif "ws" in request:  # a code is drawn as it is
        psi = [1.0] * request.count
    elif card["cutoff"] is not None:  # it belongs to the psi that the card recommends
        cutoff = [card["cutoff"]] * request.count
    if "cutoff" in request:
        cutoff = request.integers("cutoff", -1, layers)
    request.note("psi", psi)
    request.note("cutoff", cutoff)
    rows = np.ones((request.count, layers), np.float32)
    for i in range(request.count):
        rows[i, : layers if cutoff[i] < 0 else cutoff[i]] = psi[i]
    return {"psi": rows}


def centres(card: Card, request: Request) -> Tensors:
    """Whether truncation goes towards the nearest of the model's centres of w, [N, 1]."""
    if "modes" not in card["controls"]:
        return {}
    modes = [0] * request.count
    if "modes" in request:
        modes = request.integers("modes", 0, 1)
    for recipe, wanted in zip(request.recipes, modes):  # noqa: B905 (also runs on Python 3.9)
        if wanted:
            recipe["modes"] = 1
    return {"modes": np.array(modes, np.float32)[:, None]}


def code(card: Card, request: Request, tensors: Tensors) -> Tensors:
    """A ws as the generator takes it: psi 0, which is w_avg, and the way from there as offset.

    The psi of the request, if any, has shortened that way.
    """
    way = rows_of_ws(card, request, "ws") - card["w_avg"]
    reached = tensors["ws_offset"] + tensors["psi"][:, :, None] * way
    return {"psi": np.zeros_like(tensors["psi"]), "ws_offset": reached.astype(np.float32)}


def rows_of_ws(card: Card, request: Request, name: str) -> Array:
    """A tensor in W: one row for all layers, [N, 1, w_dim], or one for each."""
    values = request.numbers(name)
    shape = [card["num_ws"], card["w_dim"]]
    if values.shape[1] not in (1, shape[0]) or values.shape[2] != shape[1]:
        raise RefusedError(
            f"{name} is {list(values.shape[1:])}, expected [1, {shape[1]}] or {shape}"
        )
    request.note(name, [packed(row) for row in values])
    return values


def offset(card: Card, request: Request) -> Tensors:
    total = np.zeros((request.count, card["num_ws"], card["w_dim"]), np.float32)
    if "ws_offset" in request:
        total = total + rows_of_ws(card, request, "ws_offset")
    if "directions" in request:
        wanted = [weights(card, text) for text in request.texts("directions")]
        request.note("directions", wanted)
        request.note("directions_hash", [card["directions_hash"]] * request.count)
        for sample_offset, named in zip(total, wanted):  # noqa: B905 (also runs on Python 3.9)
            add_directions(card, named, sample_offset)
    return {"ws_offset": total}


def weights(card: Card, text: str) -> dict[str, float]:
    """The weights in a request's JSON object, by the names of the card's directions."""
    try:
        named = json.loads(text)
    except (ValueError, RecursionError):
        named = None
    if not isinstance(named, dict):
        raise RefusedError(
            f'directions is {text[:40]!r}, expected a JSON object such as {{"smile": 1.5}}'
        )
    for name, weight in named.items():
        check_direction(card, name, weight)
    return {name: float(weight) for name, weight in named.items()}


def check_direction(card: Card, name: str, weight: Any) -> None:
    names = [direction["name"] for direction in card["directions"]]
    if name not in names:
        near = get_close_matches(name[:64], names, cutoff=0.4) or names[:8]
        there = f"did you mean {', '.join(near)}?" if near else "it has none"
        raise RefusedError(f"{card['name']} has no direction {name[:40]!r}: {there}")
    number = isinstance(weight, (int, float)) and not isinstance(weight, bool)
    if not (number and -FACTOR <= weight <= FACTOR):
        raise RefusedError(
            f"the weight of {name} is {str(weight)[:40]}, expected {-FACTOR:g} to {FACTOR:g}"
        )


def add_directions(card: Card, named: dict[str, float], ws_offset: Array) -> None:
    """Add weighted directions to a sample's offset [num_ws, w_dim], in place."""
    for direction, vector in zip(card["directions"], card["vectors"]):  # noqa: B905 (Python 3.9)
        weight = named.get(direction["name"], 0.0)
        if weight:
            ws_offset[direction["first"] : direction["last"] + 1] += np.float32(weight) * vector


def noise(card: Card, request: Request) -> Tensors:
    resolutions = card["noise_resolutions"]
    scale = np.ones((request.count, len(resolutions)), np.float32)
    shift = np.zeros((request.count, len(resolutions), 2), np.int32)
    if "noise_scale" in request:
        values = request.numbers("noise_scale", -FACTOR, FACTOR)
        scale = per_layer(values, "noise_scale", len(resolutions))
        request.note("noise_scale", [plain(row) for row in scale])
    if "noise_layers" in request:
        scale = scale * selected(request, "noise_layers", resolutions)
    if "noise_seed" in request:
        seeds = request.integers("noise_seed", 0, SEEDS - 1)
        request.note("noise_seed", seeds)
        for i, seed in enumerate(seeds):
            shift[i] = [noise_shift(seed, k, r) for k, r in enumerate(resolutions)]
    return {"noise_scale": scale, "noise_shift": shift}


def placement(card: Card, request: Request) -> Tensors:
    """StyleGAN3's input transform, the inverse of how the picture moves."""
    if "transform" not in card["controls"]:
        return {}
    if "transform" not in request:
        return {"transform": np.tile(np.eye(3, dtype=np.float32), (request.count, 1, 1))}
    values = request.numbers("transform")
    if values.shape[1:] != (3, 3):
        raise RefusedError(f"transform is {list(values.shape[1:])}, expected [3, 3]")
    request.note("transform", [[plain(row) for row in matrix] for matrix in values])
    return {"transform": values}


def encoding(card: Card, request: Request) -> None:
    """Check and note the file's format here, before the generator works for nothing."""
    transparent = card["channels"] == 4
    formats = ["png" if transparent else "jpeg"] * request.count
    if "format" in request:
        formats = request.texts("format")
    for name in formats:
        if name not in FORMATS:
            raise RefusedError(f"format is {name[:40]!r}, expected one of {', '.join(FORMATS)}")
        if name == "jpeg" and transparent:
            raise RefusedError("format is 'jpeg', which has no alpha channel; use png or webp")
        if name == "png" and "quality" in request:
            raise RefusedError("png is lossless; leave out quality")
    request.note("format", formats)
    quality = [DEFAULT_QUALITY] * request.count
    if "quality" in request:
        quality = request.integers("quality", *QUALITY)
    for i, name in enumerate(formats):
        if name != "png":
            request.recipes[i]["quality"] = quality[i]


def selected(request: Request, name: str, resolutions: list[int]) -> Array:
    """A text that names layers as [N, layers] of 0 and 1."""
    texts = request.texts(name)
    request.note(name, texts)
    try:
        return np.array([chosen(text, resolutions) for text in texts], np.float32)
    except RefusedError as exc:
        raise RefusedError(f"{name}: {exc}") from None


def chosen(text: str, resolutions: list[int]) -> list[bool]:
    """Whether each layer is among `coarse`, `middle`, `fine`, `4-7`, or several of these."""
    found: set[int] = set()
    for part in text.split(","):
        found.update(span(part.strip(), resolutions))
    return [layer in found for layer in range(len(resolutions))]


def span(part: str, resolutions: list[int]) -> Any:
    count = len(resolutions)
    if part in ("all", "none"):
        return range(count if part == "all" else 0)
    if part in GROUPS:
        least, most = GROUPS[part]
        members = [layer for layer, pixels in enumerate(resolutions) if least <= pixels <= most]
        if not members:
            raise RefusedError(f"there are no {part} layers, the largest is {max(resolutions)} px")
        return members
    first, dash, last = part.partition("-")
    ends = [first, last if dash else first]
    if not all(end.isascii() and end.isdigit() and len(end) < 5 for end in ends):
        names = ", ".join(GROUPS)
        raise RefusedError(
            f"cannot read {part[:40]!r}, expected all, none, {names} or numbers as in 4-7"
        )
    if not int(ends[0]) <= int(ends[1]) < count:
        raise RefusedError(f"{part} is no part of the layers, which are 0 to {count - 1}")
    return range(int(ends[0]), int(ends[1]) + 1)


def per_layer(values: Array, name: str, layers: int) -> Array:
    """[N, 1] becomes the same value in every layer; otherwise there must be one for each."""
    if values.shape[1] == 1:
        return np.repeat(values, layers, axis=1)
    if values.shape[1] != layers:
        raise RefusedError(f"{name} has {values.shape[1]} values, expected 1 or {layers}")
    return values


def plain(row: Array) -> list[float]:
    """float32 values as the shortest decimals that give them back."""
    return [float(str(value)) for value in row]


def packed(row: Array) -> str:
    """float32 values as base64 of their little-endian bytes."""
    return base64.b64encode(row.astype("<f4").tobytes()).decode()


def gaussian(seed: int, size: int) -> Array:
    """The z [1, size] of a seed, by numpy's legacy generator as in the authors' scripts."""
    LEGACY.seed(seed)
    return LEGACY.randn(1, size).astype(np.float32)


def noise_shift(noise_seed: int, layer: int, resolution: int) -> tuple[int, int]:
    """Rows and columns, by one step of splitmix64; docs/contract.md has the formula."""
    x = (noise_seed << 16) + layer + 0x9E3779B97F4A7C15 & MASK
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & MASK
    x = (x ^ x >> 27) * 0x94D049BB133111EB & MASK
    x ^= x >> 31
    return (x >> 32) % resolution, (x & 0xFFFFFFFF) % resolution
