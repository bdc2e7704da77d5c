"""StyleGAN2 of the TensorFlow program once more, from its formulas and with none of our code.

numpy, float64, one sample at a time, over variables under the names and in the layout that the
program stores. Slow, and the judge of configurations for which there is no golden file.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_SELU = (1.0507009873554805, 1.6732632423543772)
_NONLINEAR: dict[str, tuple[Callable[[Floats], Floats], float]] = {
    "linear": (lambda x: x, 1.0),
    "relu": (lambda x: np.maximum(x, 0), np.sqrt(2)),
    "lrelu": (lambda x: np.where(x < 0, 0.2 * x, x), np.sqrt(2)),
    "tanh": (np.tanh, 1.0),
    "sigmoid": (lambda x: 1 / (1 + np.exp(-x)), 1.0),
    "elu": (lambda x: np.where(x < 0, np.expm1(x), x), 1.0),
    "selu": (lambda x: _SELU[0] * np.where(x < 0, _SELU[1] * np.expm1(x), x), 1.0),
    "softplus": (lambda x: np.logaddexp(x, 0), 1.0),
    "swish": (lambda x: x / (1 + np.exp(-x)), np.sqrt(2)),
}


class Textbook:
    """One generator: its static arguments, and the variables of mapping and synthesis."""

    def __init__(
        self, given: Mapping[str, Any], mapping: Mapping[str, Any], synthesis: Mapping[str, Any]
    ) -> None:
        self._given = given
        self._mapping = {n: np.asarray(v, np.float64) for n, v in mapping.items()}
        self._synthesis = {n: np.asarray(v, np.float64) for n, v in synthesis.items()}
        self._top = int(np.log2(given["resolution"]))

    def w(self, z: NDArray[Any], label: NDArray[Any] | None = None) -> Floats:
        """z [latent] and its label [classes] to w."""
        x = z.astype(np.float64)
        joined = "LabelConcat/weight" in self._mapping
        if label is not None and joined:
            x = np.concatenate([x, label @ self._mapping["LabelConcat/weight"]])
        if self._given.get("normalize_latents", True):
            x = x / np.sqrt(np.mean(x**2) + 1e-8)
        if label is not None and not joined:  # stylegan2-ada
            weight, bias = self._mapping["LabelEmbed/weight"], self._mapping["LabelEmbed/bias"]
            y = label @ (weight / np.sqrt(len(weight))) + bias
            x = np.concatenate([x, y / np.sqrt(np.mean(y**2) + 1e-8)])
        act, gain = _NONLINEAR[self._given.get("mapping_nonlinearity", "lrelu")]
        lr = self._given.get("mapping_lrmul", 0.01)
        for i in range(self._given.get("mapping_layers", 8)):
            weight, bias = self._mapping[f"Dense{i}/weight"], self._mapping[f"Dense{i}/bias"]
            x = gain * act(x @ (weight * lr / np.sqrt(len(weight))) + bias * lr)
        return x

    def image(self, ws: NDArray[Any], lod: float = 0.0) -> Floats:
        """ws [num_ws, w_dim] to [C, S, S]; a growing network's pixels are repeated up to S."""
        ws = ws.astype(np.float64)
        grows = str(self._given.get("synthesis_func")).endswith("revised")
        return self._grown(ws, lod) if grows else self._finished(ws)

    def _finished(self, ws: Floats) -> Floats:
        architecture = self._given.get("architecture", "skip")
        x, y = self._block(2, None, ws), None
        for r in range(2, self._top + 1):
            if r > 2:
                before, x = x, self._block(r, x, ws)
                if architecture == "resnet":
                    x = (x + self._skip(r, before)) / np.sqrt(2)
            if architecture == "skip" or r == self._top:
                rgb = self._rgb(f"{2**r}x{2**r}/ToRGB", r, x, ws)
                y = rgb if y is None else self._enlarged(y) + rgb
        assert y is not None
        return y

    def _grown(self, ws: Floats, lod: float) -> Floats:
        level, fade = int(lod), lod - int(lod)
        x, before = self._block(2, None, ws), None
        for r in range(3, self._top - level + 1):
            before, x = x, self._block(r, x, ws)
        r = self._top - level
        img = self._rgb(f"ToRGB_lod{level}", r, x, ws)
        if fade:
            assert before is not None
            coarse = self._rgb(f"ToRGB_lod{level + 1}", r - 1, before, ws)
            img = img + fade * (np.repeat(np.repeat(coarse, 2, 1), 2, 2) - img)
        return np.repeat(np.repeat(img, 2**level, 1), 2**level, 2)

    def _block(self, r: int, x: Floats | None, ws: Floats) -> Floats:
        here = f"{2**r}x{2**r}"
        if x is None:
            return self._layer(f"{here}/Conv", self._synthesis["4x4/Const/const"][0], ws[0], 0)
        n = 2 * r - 5
        x = self._layer(f"{here}/Conv0_up", x, ws[n], n, up=True)
        return self._layer(f"{here}/Conv1", x, ws[n + 1], n + 1)

    def _layer(self, name: str, x: Floats, w: Floats, noise: int, *, up: bool = False) -> Floats:
        weight = self._modulated(name, w)
        weight = weight / np.sqrt(np.sum(weight**2, axis=(0, 1, 2)) + 1e-8)
        x = self._convolved_up(x, weight) if up else _correlated(x, weight)
        if self._given.get("use_noise", True):
            strength = self._synthesis[f"{name}/noise_strength"]
            x = x + self._synthesis[f"noise{noise}"][0, 0] * strength
        act, gain = _NONLINEAR[self._given.get("nonlinearity", "lrelu")]
        return self._clamped(gain * act(x + self._synthesis[f"{name}/bias"][:, None, None]))

    def _clamped(self, x: Floats) -> Floats:
        limit = self._given.get("conv_clamp") or np.inf
        return np.clip(x, -limit, limit)

    def _modulated(self, name: str, w: Floats) -> Floats:
        """The weight [k, k, in, out] with run-time scale and style."""
        mod, weight = self._synthesis[f"{name}/mod_weight"], self._synthesis[f"{name}/weight"]
        style = w @ (mod / np.sqrt(len(mod))) + self._synthesis[f"{name}/mod_bias"] + 1
        scaled: Floats = weight / np.sqrt(np.prod(weight.shape[:3])) * style[:, None]
        return scaled

    def _rgb(self, name: str, r: int, x: Floats, ws: Floats) -> Floats:
        rgb = _correlated(x, self._modulated(name, ws[2 * r - 3]))
        return self._clamped(rgb + self._synthesis[f"{name}/bias"][:, None, None])

    def _skip(self, r: int, x: Floats) -> Floats:
        weight = self._synthesis[f"{2**r}x{2**r}/Skip/weight"]
        return self._convolved_up(x, weight / np.sqrt(weight.shape[2]))

    def _filter(self) -> Floats:
        kernel = self._given.get("resample_kernel", [1, 3, 3, 1])
        taps = np.array([1, 1] if kernel is None else kernel, np.float64)
        taps = np.outer(taps, taps) if taps.ndim == 1 else taps
        normal: Floats = 4 * taps / taps.sum()
        return normal

    def _convolved_up(self, x: Floats, weight: Floats) -> Floats:
        """Zeros between the pixels, correlation, then the filter to twice the size."""
        k, n = len(weight), len(self._filter())
        spread = np.zeros((len(x), *(2 * s - 1 for s in x.shape[1:])))
        spread[:, ::2, ::2] = x
        x = _correlated(_padded(spread, k - 1, k - 1), weight, half=0)
        p = (n - 2) - (k - 1)
        return self._filtered(x, (p + 1) // 2 + 1, p // 2 + 1)

    def _enlarged(self, y: Floats) -> Floats:
        n = len(self._filter())
        spread = np.zeros((len(y), *(2 * s for s in y.shape[1:])))
        spread[:, ::2, ::2] = y
        return self._filtered(spread, (n - 1) // 2 + 1, (n - 2) // 2)

    def _filtered(self, x: Floats, before: int, after: int) -> Floats:
        kernel = self._filter()[::-1, ::-1]
        each = [
            _correlated(c[None], kernel[:, :, None, None], half=0)
            for c in _padded(x, before, after)
        ]
        return np.concatenate(each)


def _padded(x: Floats, before: int, after: int) -> Floats:
    """Zeros, or a crop where negative, on both spatial axes."""
    x = np.pad(x, ((0, 0), *[(max(before, 0), max(after, 0))] * 2))
    crop = slice(max(-before, 0), x.shape[1] - max(-after, 0))
    return x[:, crop, crop]


def _correlated(x: Floats, weight: Floats, half: int | None = None) -> Floats:
    """[in, h, w] with [k, k, in, out], zeros around it so that the size stays unless told."""
    k = len(weight)
    x = _padded(x, *[k // 2 if half is None else half] * 2)
    height, width = x.shape[1] - k + 1, x.shape[2] - k + 1
    out = np.zeros((weight.shape[3], height, width))
    for i in range(k):
        for j in range(k):
            part = x[:, i : i + height, j : j + width]
            out += np.einsum("ihw,io->ohw", part, weight[i, j])
    return out
