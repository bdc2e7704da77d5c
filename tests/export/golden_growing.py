"""The golden files of StyleGAN and Progressive GAN, each image with what one asks a graph for."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tests.conftest import GOLDEN
from tests.export.test_graph import Feeds

from nonesuch_export import graph, network
from nonesuch_export.checkpoint import Checkpoint, Provenance, tensorflow
from nonesuch_export.checkpoint.source import Bounded
from nonesuch_export.checkpoint.unpickle import load
from nonesuch_export.network import Generator

Arrays = dict[str, NDArray[Any]]

_CUT = re.compile(r"(?:images|dlatents)_psi(None|m?\d+(?:p\d+)?)(?:_cutoff(None|\d+))?(?:_seed0)?")
_MIX = re.compile(r"images_mix_row(\d)_col(\d)_layers(\d+)to(\d+)(?:_psi(0p5))?")
_LOD = re.compile(r"images_lod(\d+(?:p\d+)?)_seed0")


@dataclass(frozen=True)
class Golden:
    """One golden case: the generator read from the file, and what the authors' code makes."""

    stem: str
    generator: Generator
    arrays: Arrays

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.arrays[name]

    def feeds(self, seed: int | slice) -> Feeds:
        """The graph's inputs for some of the seeds, at rest."""
        rows = seed if isinstance(seed, slice) else slice(seed, seed + 1)
        given = graph.neutral(self.generator, torch.from_numpy(self["latents"][rows]))
        return {name: value.numpy().copy() for name, value in given.items()}

    def plain(self, seed: int | slice = 0) -> Feeds:
        """As `feeds`, with the truncation that the file asks for."""
        feeds = self.feeds(seed)
        if "psi" in feeds:
            feeds["psi"][:] = rows_of_psi(self.generator, *self.generator.recommended)
        return feeds

    def cases(self) -> Iterator[tuple[str, Feeds]]:
        """Name and inputs of each golden image that the file's own network draws."""
        for key in self.arrays:
            if key.startswith("images_") and (feeds := self.asked(key)):
                yield key, feeds

    def asked(self, key: str) -> Feeds | None:
        if key == "images_default":
            return self.plain(slice(4))
        if key == "images_noise_zero_seed0":
            return self.plain() | {"noise_scale": self.feeds(0)["noise_scale"] * 0}
        if key == "images_wplus":
            feeds = self.feeds(0)
            offset = self["wplus"] - self["dlatent_avg"]
            return feeds | {"psi": feeds["psi"] * 0, "ws_offset": offset}
        if found := _CUT.fullmatch(key):
            return self._truncated(key, found)
        if found := _MIX.fullmatch(key):
            return self._mixed(found)
        return None

    def _truncated(self, key: str, found: re.Match[str]) -> Feeds:
        """In this program a cutoff of None or 0 turns truncation off."""
        feeds = self.feeds(slice(len(self[key])))
        psi = number(found[1])
        cutoff = 8 if found[2] is None else number(found[2])
        if psi is not None and cutoff is not None:
            feeds["psi"][:, : int(cutoff)] = psi
        return feeds

    def _mixed(self, found: re.Match[str]) -> Feeds:
        row, column, low, high = map(int, found.groups()[:4])
        feeds = self.feeds(row) | {"mix_z": self["latents"][[column]]}
        feeds["mix"][:, low : high + 1] = 1
        feeds["psi"][:] = number(found[5] or "1")
        return feeds

    def stages(self) -> Iterator[tuple[str, float]]:
        """Name and level of detail of the golden images of a network that is not fully grown."""
        for key in self.arrays:
            if found := _LOD.fullmatch(key):
                yield key, number(found[1]) or 0.0

    def changed(
        self, own: Mapping[str, Any], synthesis: Mapping[str, Any] | None = None
    ) -> "Golden":
        """The same file with other variables of the generator, and of its synthesis network."""
        root = unpickled(self.stem)
        _assign(root[2], own)
        if synthesis:
            _assign(root[2].state["components"]["synthesis"], synthesis)
        return Golden(self.stem, network.build(checkpoint(root)), self.arrays)


def golden(stem: str) -> Golden:
    with np.load(GOLDEN / f"{stem}.npz", allow_pickle=False) as file:
        return Golden(stem, network.build(checkpoint(unpickled(stem))), dict(file))


def unpickled(stem: str) -> Any:
    """(G, D, Gs) of a golden file, as the reader's inert records."""
    with (GOLDEN / f"{stem}.pkl").open("rb") as file:
        return load(Bounded(file), tensorflow.NAMES)


def checkpoint(root: Any) -> Checkpoint:
    """What the reader makes of records."""
    family, config, arrays, remarks = tensorflow.read(root)
    source = Provenance(file="test.pkl", sha256="", format="tensorflow", remarks=tuple(remarks))
    return Checkpoint(family=family, config=config, arrays=arrays, provenance=source)


def _assign(picked: Any, changes: Mapping[str, Any]) -> None:
    pairs = dict(picked.state["variables"]) | dict(changes)
    picked.state = {**picked.state, "variables": list(pairs.items())}


def number(text: str) -> float | None:
    return None if text == "None" else float(text.replace("m", "-").replace("p", "."))


def rows_of_psi(generator: Generator, psi: float, cutoff: int | None) -> NDArray[np.float32]:
    rows = np.ones(generator.num_ws, np.float32)
    rows[:cutoff] = psi
    return rows


def draw(generator: Generator, feeds: Feeds) -> NDArray[np.float32]:
    """The float image of torch, for the graph's inputs."""
    with torch.inference_mode():
        given = {name: torch.from_numpy(value) for name, value in feeds.items()}
        img: NDArray[np.float32] = graph.Pipeline(generator).image(given).numpy()
    return img


def joined(parts: list[Feeds]) -> Feeds:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def split(feeds: Feeds) -> list[Feeds]:
    """One request for each sample."""
    count = len(feeds["z"])
    return [{name: value[i : i + 1] for name, value in feeds.items()} for i in range(count)]


def enlarged(img: NDArray[Any], size: int) -> NDArray[Any]:
    """Repeat pixels up to `size`, as the authors do with what a growing network draws."""
    times = size // img.shape[-1]
    return img.repeat(times, axis=2).repeat(times, axis=3)


def halved(img: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean of each 2x2 pixels."""
    n, c, h, w = img.shape
    small: NDArray[np.float32] = img.reshape(n, c, h // 2, 2, w // 2, 2).mean(axis=(3, 5))
    return small


def assert_levels(img: NDArray[Any], expected: NDArray[Any]) -> None:
    """Hold a float image [N, C, h, w] in 8 bits against the authors' [N, h, w, C].

    A float may sit beside an integer and fall on either side when it is cut off: one value in
    a thousand may, and one in a picture too small for that.
    """
    image = graph.to_uint8(torch.from_numpy(img)).numpy()
    difference = np.abs(image.astype(int) - expected)
    assert difference.max() <= 1
    assert np.count_nonzero(difference) <= max(1, difference.size // 1000)
