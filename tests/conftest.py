"""What all tests share: the golden files and one Triton that serves them."""

import fcntl
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest
from numpy.typing import NDArray
from tests import families
from tests.export.forge import shaped

from nonesuch.card import Direction
from nonesuch_export import directions, network
from nonesuch_export.checkpoint import Checkpoint, read
from nonesuch_export.crop import Crop
from nonesuch_export.directions import Directions
from nonesuch_export.network.config import Config
from nonesuch_export.repository import Plan, build
from nonesuch_server.cli import cache_folder
from nonesuch_server.embedded import Embedded
from nonesuch_server.interpreter import find_interpreter
from nonesuch_server.listen import Listen
from nonesuch_server.runtime import Runtime

GOLDEN = Path(__file__).parent / "golden"
MODES = 5  # of `ada`
STEMS = ("sg2_uncond_64", "sg2_cond_32", "sg2ada_uncond_32")


@dataclass(frozen=True)
class Golden:
    """One golden case: a checkpoint file and what the authors' code makes of it."""

    stem: str
    path: Path
    arrays: dict[str, NDArray[Any]]

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.arrays[name]


def _golden(stem: str) -> Golden:
    with np.load(GOLDEN / f"{stem}.npz", allow_pickle=False) as file:
        return Golden(stem, GOLDEN / f"{stem}.pkl", dict(file))


@pytest.fixture(scope="session")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the golden checkpoints' graphs, as STEM.onnx; who finds none exports it."""
    return tmp_path_factory.mktemp("graphs")


@pytest.fixture(scope="session", params=STEMS)
def golden(request: pytest.FixtureRequest) -> Golden:
    """Each golden case in turn."""
    return _golden(request.param)


def dials(checkpoint: Checkpoint) -> Directions:
    """Two directions of `faces`: its authors gave it none."""
    random = np.random.default_rng(3)
    vectors, readouts = random.standard_normal((2, 2, 64)).astype(np.float32)
    named = (Direction(name="smile", first=3, last=6), Direction(name="age", first=0, last=9))
    return Directions(
        model_hash=checkpoint.digest(),
        named=named,
        vectors=vectors,
        readouts=readouts,
        centre=random.standard_normal(64).astype(np.float32),
    )


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A model repository with `faces` (64 pixels), `classes` (32, 10 classes) and `ada` (32).

    `faces` has two directions, `ada` some modes. And `wide`, grey and with so large a w that a
    whole offset fills more than a JPEG's segment; `cars`, cropped and with an alpha channel;
    `bricks`, with one too, which tiles; and a small network of each family by its name. `vino`
    is `stylegan2` through OpenVINO, and so is `half` where this CPU has bf16.

    One for all workers, as it takes a minute to build: to be read, or copied and changed.
    """
    base = tmp_path_factory.getbasetemp()
    common = base if worker_id == "master" else base.parent
    with (common / "served.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (common / "served").is_dir():
            aside = tmp_path_factory.mktemp("served")
            _build_all(aside / "model_repository")
            aside.rename(common / "served")
    return common / "served" / "model_repository"


def _build_all(folder: Path) -> None:
    for name, stem in zip(("faces", "classes", "ada"), STEMS, strict=True):
        checkpoint = read(GOLDEN / f"{stem}.pkl")
        named = folder.parent / "directions.safetensors"
        own = (named,) if name == "faces" else ()
        if own:
            directions.write(dials(checkpoint), named)
        modes = MODES if name == "ada" else 0
        build(checkpoint, Plan(name=name, repository=folder, directions=own, modes=modes))
    shape = Config(
        resolution=16, widths=(8, 8, 8), mapping_widths=(2048,), w_dim=2048, z_dim=8, channels=1
    )
    build(network.freeze(shaped(shape), "wide"), Plan(name="wide", repository=folder))
    shape = replace(shape, mapping_widths=(8,), w_dim=8, channels=4)
    crop = Crop(width=16, height=12)
    build(network.freeze(shaped(shape), "cars"), Plan(name="cars", repository=folder, crop=crop))
    shape = replace(shape, resolution=32, widths=(8, 8, 8, 8))
    made = network.freeze(shaped(shape, seed=1), "bricks")
    build(made, Plan(name="bricks", repository=folder, tile="both"))
    for family in network.FAMILIES:
        made = network.freeze(families.small(family), family)
        build(made, Plan(name=family, repository=folder))
    made = network.freeze(families.small("stylegan2"), "stylegan2")
    build(made, Plan(name="vino", repository=folder, engine="openvino"))
    if has_bf16():
        build(made, Plan(name="half", repository=folder, engine="openvino", precision="bf16"))


def has_bf16() -> bool:
    """Whether OpenVINO computes in bf16 on this machine."""
    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


@pytest.fixture(scope="session")
def runtime() -> Runtime:
    """The embedded runtime in the user's cache, prepared if it is not yet."""
    prepared = Runtime(cache_folder(), find_interpreter())
    prepared.prepare()
    return prepared


@dataclass(frozen=True)
class ServedGolden:
    """The golden checkpoints behind a running Triton, by the names that they have there."""

    url: str
    http_url: str
    pid: int
    cases: dict[str, Golden]


@pytest.fixture(scope="session")
def served(repository: Path, runtime: Runtime) -> Iterator[ServedGolden]:
    """One Triton for the whole session."""
    anywhere = Listen(grpc_port=0, http_port=0, metrics_port=0)
    cases = dict(zip(("faces", "classes", "ada"), map(_golden, STEMS), strict=True))
    with Embedded(repository, runtime, anywhere, timeout_s=300) as server:  # of a busy machine
        yield ServedGolden(server.listen.grpc, server.listen.http, server.pid, cases)
