"""Progressive GANs and StyleGANs as the TensorFlow programs write them, in any configuration.

A network is made of the arguments that a trainer would pass, with the variables that the build
function would create, all random: none of the exporter's code has a part in it.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from tests.export.forge_tensorflow import network

Static = Mapping[str, Any]
Named = Iterator[tuple[str, Any]]


class Sizes:
    """Channels by resolution, from the arguments of a network."""

    def __init__(self, static: Static) -> None:
        self.resolution: int = static["resolution"]
        self.channels: int = static["num_channels"]
        self._base = static.get("fmap_base", 8192)
        self._decay = static.get("fmap_decay", 1.0)
        self._most = static.get("fmap_max", 512)

    @property
    def resolutions(self) -> list[int]:
        return [2**i for i in range(2, self.resolution.bit_length())]

    def __getitem__(self, resolution: int) -> int:
        stage = resolution.bit_length() - 2
        return int(min(int(self._base / 2.0 ** (stage * self._decay)), self._most))

    def colours(self, random: np.random.Generator) -> Named:
        for r in self.resolutions:
            name = f"ToRGB_lod{(self.resolution // r).bit_length() - 1}"
            yield f"{name}/weight", _some(random, 1, 1, self[r], self.channels)
            yield f"{name}/bias", _some(random, self.channels)


def _some(random: np.random.Generator, *shape: int) -> Any:
    return random.standard_normal(shape).astype(np.float32)


def progan(static: Static, *, container: str = "tfutil", lod: float = 0.0, seed: int = 0) -> Any:
    """A Progressive GAN generator built by `G_paper` of either program."""
    variables = dict(_progan(static, container, np.random.default_rng(seed)))
    variables["lod"] = np.float32(lod)
    version = 2 if container == "tfutil" else 3
    return network("Gs", "G_paper", static, variables, container=container, version=version)


def _progan(static: Static, container: str, random: np.random.Generator) -> Named:
    sizes = Sizes(static)
    latents = static.get("latent_size") or min(8192, static.get("fmap_max", 512))
    yield "4x4/Dense/weight", _some(random, latents + static.get("label_size", 0), 16 * sizes[4])
    yield "4x4/Dense/bias", _some(random, sizes[4])
    yield "4x4/Conv/weight", _some(random, 3, 3, sizes[4], sizes[4])
    yield "4x4/Conv/bias", _some(random, sizes[4])
    fused = static.get("fused_scale", True)
    for r in sizes.resolutions[1:]:
        inputs, outputs = sizes[r // 2], sizes[r]
        axes = (outputs, inputs) if fused and container == "tfutil" else (inputs, outputs)
        up = f"{r}x{r}/{'Conv0_up' if fused else 'Conv0'}"
        yield f"{up}/weight", _some(random, 3, 3, *axes)
        yield f"{up}/bias", _some(random, outputs)
        yield f"{r}x{r}/Conv1/weight", _some(random, 3, 3, outputs, outputs)
        yield f"{r}x{r}/Conv1/bias", _some(random, outputs)
    yield from sizes.colours(random)


def stylegan1(static: Static, *, lod: float = 0.0, seed: int = 0) -> Any:
    """A StyleGAN generator built by `G_style`."""
    random = np.random.default_rng(seed)
    consumed = ("truncation_", "style_mixing_prob", "dlatent_avg_beta")
    passed = {name: v for name, v in static.items() if not name.startswith(consumed)}
    layers = dict(_synthesis(static, random))
    rows = 2 * len(Sizes(static).resolutions) if static.get("use_styles", True) else 1
    mapped = {"dlatent_broadcast": rows, **passed}
    components = {
        "synthesis": network("G_synthesis", "G_synthesis", passed, layers, version=3),
        "mapping": network(
            "G_mapping", "G_mapping", mapped, dict(_mapping(static, random)), version=3
        ),
    }
    centre = _some(random, static.get("dlatent_size", 512))
    own = {"lod": np.float32(lod), "dlatent_avg": centre}
    return network("Gs", "G_style", static, own, version=3, components=components)


def _mapping(static: Static, random: np.random.Generator) -> Named:
    latents, labels = static.get("latent_size", 512), static.get("label_size", 0)
    if labels:
        yield "LabelConcat/weight", _some(random, labels, latents)
    inputs = latents * (2 if labels else 1)
    layers, lr = static.get("mapping_layers", 8), static.get("mapping_lrmul", 0.01)
    for i in range(layers):
        last = i == layers - 1
        outputs = static.get("dlatent_size", 512) if last else static.get("mapping_fmaps", 512)
        size = 1.0 if static.get("use_wscale", True) else (2 / inputs) ** 0.5
        yield f"Dense{i}/weight", _some(random, inputs, outputs) * np.float32(size / lr)
        yield f"Dense{i}/bias", _some(random, outputs) * np.float32(0.3 / lr)
        inputs = outputs


def _synthesis(static: Static, random: np.random.Generator) -> Named:
    sizes, w_dim = Sizes(static), static.get("dlatent_size", 512)
    yield "lod", np.float32(9)  # never in force: the generator's own is
    yield from sizes.colours(random)
    for index in range(2 * len(sizes.resolutions)):
        r = 2 ** (index // 2 + 2)
        inputs, outputs = sizes[r if index % 2 or index == 0 else r // 2], sizes[r]
        place = f"{r}x{r}/{('Conv0_up', 'Conv1')[index % 2]}"
        if index == 1:
            place = "4x4/Conv"
        if index == 0 and static.get("const_input_layer", True):
            place = "4x4/Const"
            yield "4x4/Const/const", _some(random, 1, outputs, 4, 4)
        elif index == 0:
            place = "4x4/Dense"
            yield "4x4/Dense/weight", _some(random, w_dim, 16 * outputs)
        else:
            yield f"{place}/weight", _some(random, 3, 3, inputs, outputs)
        yield f"{place}/bias", _some(random, outputs)
        if static.get("use_noise", True):
            yield f"noise{index}", _some(random, 1, 1, r, r)
            yield f"{place}/Noise/weight", _some(random, outputs)
        if static.get("use_styles", True):
            yield f"{place}/StyleMod/weight", _some(random, w_dim, 2 * outputs)
            yield f"{place}/StyleMod/bias", _some(random, 2 * outputs)
