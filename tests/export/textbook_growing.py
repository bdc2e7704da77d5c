"""StyleGAN and Progressive GAN once more, in numpy and float64, straight from their formulas.

Works on the variables of the authors' TensorFlow networks with the arguments that these were
built with, one sample at a time, and shares no code with the exporter: the judge of
configurations for which there is no golden file.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def values(network: Any) -> dict[str, Array]:
    """The variables of a forged network by name."""
    return {name: np.asarray(value, np.float64) for name, value in network.state["variables"]}


class Book:
    """What both families compute: layers of one network by the arguments in force."""

    def __init__(self, network: Any, holder: Any) -> None:
        self._static: dict[str, Any] = network.state["static_kwargs"]
        self._values = values(holder)
        self._lod = float(values(network)["lod"])
        self._full: int = self._static["resolution"]

    def _asked(self, name: str, default: Any) -> Any:
        return self._static.get(name, default)

    def _weight(self, name: str, fan_in: int, gain: float = math.sqrt(2)) -> Array:
        wscale = self._asked("use_wscale", True)
        weight: Array = self._values[name] * (gain / math.sqrt(fan_in) if wscale else 1.0)
        return weight

    def _convolved(self, place: str, x: Array) -> Array:
        weight = self._values[f"{place}/weight"]
        return convolve(x, self._weight(f"{place}/weight", 9 * weight.shape[2]))

    def _coloured(self, level: int, x: Array) -> Array:
        name = f"ToRGB_lod{level}"
        weight = self._weight(f"{name}/weight", len(x), gain=1.0)[0, 0]  # [in, C]
        img: Array = np.einsum("ihw,ic->chw", x, weight)
        return img + self._values[f"{name}/bias"][:, None, None]

    def _image(self, features: dict[int, Array]) -> Array:
        """The picture at the resolution that draws, of the features by resolution."""
        level = 0 if self._asked("structure", "auto") == "fixed" else int(self._lod)
        fade = 0.0 if self._asked("structure", "auto") == "fixed" else self._lod - level
        img = self._coloured(level, features[self._full >> level])
        if fade:
            coarse = self._coloured(level + 1, features[self._full >> (level + 1)])
            img = img + fade * (repeat(coarse) - img)
        return img


class ProGANBook(Book):
    """Progressive GAN, built by `G_paper`."""

    def __init__(self, network: Any, container: str) -> None:
        super().__init__(network, network)
        self._older = container == "tfutil"

    def draw(self, z: Array, c: Array | None = None) -> Array:
        """z [z_dim] and c [c_dim] to an image [C, r, r]."""
        x = z if c is None else np.concatenate([z, c])
        epsilon = self._asked("pixelnorm_epsilon", 1e-8)
        if self._asked("normalize_latents", True):
            x = x / np.sqrt(np.mean(x**2) + epsilon)
        x = x @ self._weight("4x4/Dense/weight", len(x), math.sqrt(2) / 4)
        x = self._finished("4x4/Dense", x.reshape(-1, 4, 4))
        x = self._finished("4x4/Conv", self._convolved("4x4/Conv", x))
        features = {4: x}
        for i in range(3, self._full.bit_length()):
            x = self._doubled(f"{2**i}x{2**i}", x)
            place = f"{2**i}x{2**i}/Conv1"
            features[2**i] = x = self._finished(place, self._convolved(place, x))
        return self._image(features)

    def _doubled(self, place: str, x: Array) -> Array:
        if not self._asked("fused_scale", True):
            return self._finished(f"{place}/Conv0", self._convolved(f"{place}/Conv0", repeat(x)))
        weight = self._weight(f"{place}/Conv0_up/weight", 9 * len(x))
        weight = weight.transpose(0, 1, 3, 2) if self._older else weight
        return self._finished(f"{place}/Conv0_up", fused(x, weight))

    def _finished(self, place: str, x: Array) -> Array:
        x = x + self._values[f"{place}/bias"][:, None, None]
        x = rectify(x, "lrelu" if self._asked("use_leakyrelu", True) else "relu")
        epsilon = self._asked("pixelnorm_epsilon", 1e-8)
        return pixel_norm(x, epsilon) if self._asked("use_pixelnorm", True) else x


class StyleGANBook(Book):
    """StyleGAN, built by `G_style`."""

    def __init__(self, network: Any) -> None:
        components = network.state["components"]
        super().__init__(network, components["synthesis"])
        self._mapping = values(components["mapping"])

    def map(self, z: Array, c: Array | None = None) -> Array:
        """z [z_dim] and c [c_dim] to w [w_dim]."""
        x = z if c is None else np.concatenate([z, c @ self._mapping["LabelConcat/weight"]])
        if self._asked("normalize_latents", True):
            x = x / np.sqrt(np.mean(x**2) + 1e-8)
        lr = self._asked("mapping_lrmul", 0.01)
        for i in range(self._asked("mapping_layers", 8)):
            scaled = math.sqrt(2 / len(x)) if self._asked("use_wscale", True) else 1.0
            x = x @ (self._mapping[f"Dense{i}/weight"] * scaled * lr)
            x = rectify(
                x + self._mapping[f"Dense{i}/bias"] * lr,
                self._asked("mapping_nonlinearity", "lrelu"),
            )
        return x

    def synthesize(self, ws: Array) -> Array:
        """ws [num_ws, w_dim] to an image [C, r, r]."""
        if self._asked("const_input_layer", True):
            x = self._finished(0, "4x4/Const", self._values["4x4/Const/const"][0], ws)
        else:
            x = ws[0] @ self._weight("4x4/Dense/weight", ws.shape[1], math.sqrt(2) / 4)
            x = self._finished(0, "4x4/Dense", x.reshape(-1, 4, 4), ws)
        x = self._finished(1, "4x4/Conv", self._convolved("4x4/Conv", x), ws)
        features = {4: x}
        for i in range(3, self._full.bit_length()):
            if 2**i > self._full / 2 ** int(self._lod) and self._asked("structure", 0) != "fixed":
                break
            x = self._doubled(i, x, ws)
            place = f"{2**i}x{2**i}/Conv1"
            features[2**i] = x = self._finished(2 * i - 3, place, self._convolved(place, x), ws)
        return self._image(features)

    def _doubled(self, i: int, x: Array, ws: Array) -> Array:
        place, asked = f"{2**i}x{2**i}/Conv0_up", self._asked("fused_scale", "auto")
        if asked is True or (asked == "auto" and 2**i >= 128):
            x = fused(x, self._weight(f"{place}/weight", 9 * len(x)))
        else:
            x = self._convolved(place, repeat(x))
        taps = self._asked("blur_filter", [1, 2, 1])
        return self._finished(2 * i - 4, place, blur(x, taps) if taps else x, ws)

    def _finished(self, layer: int, place: str, x: Array, ws: Array) -> Array:
        if self._asked("use_noise", True):
            strength = self._values[f"{place}/Noise/weight"]
            x = x + self._values[f"noise{layer}"][0] * strength[:, None, None]
        x = x + self._values[f"{place}/bias"][:, None, None]
        x = rectify(x, self._asked("nonlinearity", "lrelu"))
        if self._asked("use_pixel_norm", False):
            x = pixel_norm(x, 1e-8)
        if self._asked("use_instance_norm", True):
            x = x - x.mean(axis=(1, 2), keepdims=True)
            x = x / np.sqrt((x**2).mean(axis=(1, 2), keepdims=True) + 1e-8)
        if self._asked("use_styles", True):
            weight = self._weight(f"{place}/StyleMod/weight", ws.shape[1], gain=1.0)
            style = ws[layer] @ weight + self._values[f"{place}/StyleMod/bias"]
            grow, shift = style.reshape(2, -1, 1, 1)
            x = x * (grow + 1) + shift
        return x


def rectify(x: Array, kind: str) -> Array:
    return np.where(x < 0, x * (0.2 if kind == "lrelu" else 0.0), x)


def pixel_norm(x: Array, epsilon: float) -> Array:
    normal: Array = x / np.sqrt((x**2).mean(axis=0, keepdims=True) + epsilon)
    return normal


def repeat(x: Array) -> Array:
    return x.repeat(2, axis=1).repeat(2, axis=2)


def convolve(x: Array, weight: Array) -> Array:
    """Correlation of x [I, h, w] with weight [3, 3, I, O], zeros around."""
    _, h, w = x.shape
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    out = np.zeros((weight.shape[3], h, w))
    for a in range(3):
        for b in range(3):
            out += np.einsum("ihw,io->ohw", padded[:, a : a + h, b : b + w], weight[a, b])
    return out


def fused(x: Array, weight: Array) -> Array:
    """Each pixel paints 4x4 ones, twice as close together; one is cut off on every side."""
    spread = np.zeros((4, 4, *weight.shape[2:]))
    for a in range(2):
        for b in range(2):
            spread[a : a + 3, b : b + 3] += weight
    _, h, w = x.shape
    out = np.zeros((weight.shape[3], 2 * h + 2, 2 * w + 2))
    for a in range(4):
        for b in range(4):
            painted = np.einsum("ihw,io->ohw", x, spread[a, b])
            out[:, a : a + 2 * h : 2, b : b + 2 * w : 2] += painted
    return out[:, 1:-1, 1:-1]


def blur(x: Array, taps: Any) -> Array:
    """Correlation of each channel with the filter, of sum 1; an even one's odd zero comes last."""
    kernel = np.array(taps, np.float64)
    kernel = np.outer(kernel, kernel) if kernel.ndim == 1 else kernel
    kernel = kernel / kernel.sum()
    size = len(kernel)
    before, after = (size - 1) // 2, size // 2
    padded = np.pad(x, ((0, 0), (before, after), (before, after)))
    out = np.zeros_like(x)
    for a in range(size):
        for b in range(size):
            out += kernel[a, b] * padded[:, a : a + x.shape[1], b : b + x.shape[2]]
    return out
