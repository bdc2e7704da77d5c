"""A checkpoint as a Triton model repository: models that any Triton can serve.

`NAME` is the ensemble that clients call; it runs `NAME_sampler`, `NAME_generator` and
`NAME_encoder`. `NAME_mapping` (z, c → w and its scores) stands beside it where there is a w.
Everything is written aside and moved into place once the engine's pictures have been compared
with the reference.
"""

import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from nonesuch import contract
from nonesuch.card import Card
from nonesuch.contract import Tensor
from nonesuch.errors import CheckpointError, ExportError, InvalidRequest, ParityError
from nonesuch_export import clusters, directions, graph, network, parity, tuning
from nonesuch_export.card import describe
from nonesuch_export.checkpoint import Checkpoint
from nonesuch_export.crop import Crop
from nonesuch_export.directions import Directions
from nonesuch_export.engine import runtime
from nonesuch_export.network import Generator
from nonesuch_export.seam import Tile
from nonesuch_export.tuning import Trial

VERSION = "1"
STAGES = Path(__file__).parent / "stages"
_SMALL = 128 * 128  # pixels
_TUNED_BATCH = 4  # pictures in a run while forms are measured, if a run may have so many
PARTS = ("_generator", "_mapping", "_encoder", "_sampler", "")  # the ensemble last

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_DTYPES = {
    "FP32": pb.TYPE_FP32,
    "INT32": pb.TYPE_INT32,
    "INT64": pb.TYPE_INT64,
    "UINT8": pb.TYPE_UINT8,
    "BYTES": pb.TYPE_STRING,
}
_REASON = """\
# max_batch_size: as many as make a request's own cost small beside that of its pictures.
# instance_group: one; a second engine holds the weights again, and shares the same processor.
# dynamic_batching: no delay; while a batch is at work the next one forms behind it by itself.
# `nonesuch-loadtest sweep NAME --write` measures it on the machine that serves, and says so here.
"""
# What the ensemble's steps call the tensors that run between them.
_PIXELS = Tensor("pixels", "UINT8", contract.IMAGE.shape)
_SETTINGS = Tensor("settings", "BYTES", (1,))


def parts(w_dim: int) -> tuple[str, ...]:
    """The endings of the models of a generator; without a w there is no mapping."""
    return tuple(part for part in PARTS if part != "_mapping" or w_dim)


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What to build of a checkpoint, and how."""

    name: str
    repository: Path
    engine: str = "onnxruntime"
    precision: str = "fp32"
    max_batch: int = 0  # samples in one run of the engine at most; 0 = as the picture's size says
    crop: Crop | None = None  # of the network's picture
    tile: Tile | None = None  # the axes along which pictures are to repeat without a seam
    directions: tuple[Path, ...] = ()  # files of `nonesuch_export.directions`
    modes: int = 0  # centres of w for truncation in each group of layers; 0 = none
    tune: bool = False  # measure equal forms of layers; otherwise those of the last build stay

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or self.name.endswith(PARTS[:-1]):
            raise InvalidRequest(
                f"{self.name!r} is no model name: use letters, digits, '.', '_', '-', and no "
                f"ending {', '.join(PARTS[:-1])}"
            )
        if not 0 <= self.max_batch <= 1024:
            raise InvalidRequest(f"max_batch is {self.max_batch}, expected 0 to 1024")
        if self.modes and not 2 <= self.modes <= clusters.MOST:
            raise InvalidRequest(f"modes is {self.modes}, expected 0 or 2 to {clusters.MOST}")
        runtime(self.engine, self.precision)


@dataclass(frozen=True, kw_only=True, slots=True)
class Built:
    """What a build wrote."""

    card: Card
    report: parity.Report
    models: tuple[Path, ...]
    trials: tuple[Trial, ...] = ()  # what tuning measured


def build(checkpoint: Checkpoint, plan: Plan) -> Built:
    """Export, compare and place `checkpoint` as `plan` says, replacing models of the same name.

    Raises CheckpointError where the checkpoint fits no network or the directions are not its own,
    InvalidRequest where the crop or the tile does not fit the network (`Generator.frame`) or there
    are not so many modes, ExportError where a file cannot be made or written or the engine's
    runtime is missing, ParityError where the engine misses its tolerance; then the repository is
    as it was.
    """
    runtime(plan.engine, plan.precision).available()
    generator = network.build(checkpoint)
    generator.frame(plan.crop, plan.tile)
    plan = replace(plan, max_batch=plan.max_batch or usual_batch(generator))
    named = _directions(checkpoint, generator, plan)
    if plan.modes:
        generator.modes = clusters.find(generator, plan.modes)
    trials = _choose_forms(generator, checkpoint, plan)
    with _aside(plan.repository) as folder:
        for part in parts(generator.w_dim):
            (folder / f"{plan.name}{part}" / VERSION).mkdir(parents=True)
        report = parity.compare(
            generator, _compile(folder, generator, named, plan), plan.engine, plan.precision
        )
        if not report.passed:
            raise ParityError(f"{report.difference}; nothing is built")
        card = describe(
            plan.name, checkpoint, generator, report, max_batch=plan.max_batch, directions=named
        )
        _write_models(folder, card, generator)
        sampler = folder / f"{plan.name}_sampler" / VERSION
        if named is not None:
            np.save(sampler / "directions.npy", named.vectors)
        if generator.w_avg is not None:
            np.save(sampler / "w_avg.npy", generator.w_avg.numpy())
        models = _move(folder, plan)
    return Built(card=card, report=report, models=models, trials=trials)


def usual_batch(generator: Generator) -> int:
    """The most samples in a run: more of small pictures, beside which a request costs too much.

    At 128x128 on two cores, requests for 16 pictures instead of 8 made 1.04 times as many a second.
    """
    known = graph.sizes(generator)
    return 16 if known["height"] * known["width"] <= _SMALL else 8


def _choose_forms(generator: Generator, checkpoint: Checkpoint, plan: Plan) -> tuple[Trial, ...]:
    """Choose among equal forms of layers: by measuring, or as the model that is replaced did."""
    if plan.tune:
        batch = min(plan.max_batch, _TUNED_BATCH)
        return tuple(tuning.tune(generator, plan.engine, plan.precision, batch))
    generator.use_forms(_kept_forms(checkpoint, plan))
    return ()


def _kept_forms(checkpoint: Checkpoint, plan: Plan) -> dict[str, str]:
    """Those on the card of the model that is replaced, if it is the same for the same engine."""
    path = plan.repository / plan.name / VERSION / "card.json"
    try:
        card = Card.from_json(path.read_text(encoding="utf-8"))
        forms = dict(card.forms)
    except (OSError, ValueError, TypeError):
        return {}  # no card, or one that nobody can read: a build is what mends that
    built = (card.model_hash, card.engine, card.precision)
    return forms if built == (checkpoint.digest(), plan.engine, plan.precision) else {}


def _compile(folder: Path, generator: Generator, named: Directions | None, plan: Plan) -> Path:
    """Put the plans of generator and mapping in their places; returns the generator's."""
    engine = runtime(plan.engine, plan.precision)
    onnx = folder / "graph.onnx"
    if generator.mapping is not None:
        graph.export_mapping(generator, onnx, named)
        mapping = folder / f"{plan.name}_mapping" / VERSION / engine.FILE
        engine.compile(onnx, mapping, precision=engine.PRECISIONS[0], max_batch=plan.max_batch)
    graph.export(generator, onnx)
    compiled = folder / f"{plan.name}_generator" / VERSION / engine.FILE
    engine.compile(onnx, compiled, precision=plan.precision, max_batch=plan.max_batch)
    return compiled


def _directions(checkpoint: Checkpoint, generator: Generator, plan: Plan) -> Directions | None:
    """Those of all the files as one."""
    known = graph.sizes(generator)
    found: Directions | None = None
    for path in plan.directions:
        more = directions.read(path)
        try:
            more.check(checkpoint.digest(), known["num_ws"], known["w_dim"])
            found = more if found is None else found.joined(more)
        except CheckpointError as exc:
            raise type(exc)(f"{path}: {exc}") from exc
    return found


def _write_models(folder: Path, card: Card, generator: Generator) -> None:
    known = graph.sizes(generator) | {"num_directions": len(card.directions)}
    for config in configs(card, known):
        reason = _REASON if config.name.endswith("_generator") else ""
        text = reason + text_format.MessageToString(config)
        (folder / config.name / "config.pbtxt").write_text(text, encoding="utf-8")
    for stage in ("sampler", "encoder"):
        shutil.copyfile(
            STAGES / f"{stage}.py", folder / f"{card.name}_{stage}" / VERSION / "model.py"
        )
    # In the version folder, which an ensemble must have and git would not keep empty.
    (folder / card.name / VERSION / "card.json").write_text(
        card.to_json(indent=2) + "\n", encoding="utf-8"
    )


@contextmanager
def _aside(repository: Path) -> Iterator[Path]:
    """A folder on the repository's file system that is gone in the end, whatever happens."""
    new = not repository.exists()
    try:
        repository.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=repository, prefix=".build-") as folder:
            yield Path(folder)
    except OSError as exc:
        raise ExportError(f"{repository} cannot be written: {exc.strerror or exc}") from exc
    finally:
        if new and repository.is_dir() and not any(repository.iterdir()):
            repository.rmdir()


def _move(folder: Path, plan: Plan) -> tuple[Path, ...]:
    """Rename the new models into place; the old ones come back if anything prevents that.

    What an older build left of a part that the new one lacks goes as well.
    """
    old = folder / ".replaced"
    old.mkdir()
    targets = [plan.repository / f"{plan.name}{part}" for part in PARTS]
    made = [target for target in targets if (folder / target.name).exists()]
    with _locked(plan.repository), _undone(folder, old, made):
        for target in targets:
            if target.exists():
                target.rename(old / target.name)
            if target in made:
                (folder / target.name).rename(target)
    return tuple(made)


@contextmanager
def _undone(new: Path, old: Path, made: Sequence[Path]) -> Iterator[None]:
    """Put the old models back if anything, Ctrl-C too, breaks off the moving."""
    try:
        yield
    except BaseException:
        for target in made:
            if not (new / target.name).exists():
                shutil.rmtree(target, ignore_errors=True)
        for model in old.iterdir():
            model.rename(made[0].parent / model.name)
        raise


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep other builds from moving models in this repository meanwhile."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def configs(card: Card, sizes: Mapping[str, int]) -> list[pb.ModelConfig]:
    """The configurations of all models of a generator."""
    engine = runtime(card.engine, card.precision)
    inputs = [t for t in contract.GRAPH if t.name in card.controls]
    latents = [t for t in contract.MAPPING if t.name in card.controls]
    mapped = [contract.W, *([contract.SCORES] if card.directions else [])]
    steps = [
        ("_sampler", None, contract.REQUEST, [*inputs, contract.RECIPE]),
        ("_generator", card.precision, inputs, [contract.IMAGE]),
        ("_encoder", None, [_PIXELS, _SETTINGS], contract.ANSWER),
        *([("_mapping", engine.PRECISIONS[0], latents, mapped)] if card.w_dim else []),
    ]
    made = []
    for part, precision, takes, gives in steps:
        config = pb.ModelConfig(
            name=f"{card.name}{part}",
            backend="python",
            max_batch_size=card.max_batch,
            input=[_input(t, sizes, optional=takes is contract.REQUEST) for t in takes],
            output=[_output(t, sizes) for t in gives],
            dynamic_batching=pb.ModelDynamicBatching(),
            # Without a count, a Triton may start two engines on a CPU, each with the weights and a
            # thread a core. Without a kind, the model takes the GPU where there is one.
            instance_group=[pb.ModelInstanceGroup(count=1)],
        )
        if precision is not None:
            engine.configure(config, precision=precision)
        made.append(config)
    made[0].parameters[contract.CARD].string_value = card.to_json()
    return [*made, _ensemble(card, sizes, inputs)]


def _ensemble(card: Card, sizes: Mapping[str, int], inputs: list[Tensor]) -> pb.ModelConfig:
    config = pb.ModelConfig(
        name=card.name,
        platform="ensemble",
        max_batch_size=card.max_batch,
        input=[_input(t, sizes, optional=True) for t in contract.REQUEST],
        output=[_output(t, sizes) for t in contract.ANSWER],
    )
    config.parameters[contract.CARD].string_value = card.to_json()
    controls = {t.name: f"sampled_{t.name}" for t in inputs}
    request = {t.name: t.name for t in contract.REQUEST}
    answer = {t.name: t.name for t in contract.ANSWER}
    between = {_PIXELS.name: _PIXELS.name, _SETTINGS.name: _SETTINGS.name}
    steps = [
        ("_sampler", request, {**controls, contract.RECIPE.name: _SETTINGS.name}),
        ("_generator", controls, {contract.IMAGE.name: _PIXELS.name}),
        ("_encoder", between, answer),
    ]
    for part, takes, gives in steps:
        config.ensemble_scheduling.step.add(
            model_name=f"{card.name}{part}", model_version=-1, input_map=takes, output_map=gives
        )
    return config


def _input(tensor: Tensor, sizes: Mapping[str, int], *, optional: bool) -> pb.ModelInput:
    return pb.ModelInput(
        name=tensor.name,
        data_type=_DTYPES[tensor.dtype],
        dims=_dims(tensor, sizes),
        optional=optional,
    )


def _output(tensor: Tensor, sizes: Mapping[str, int]) -> pb.ModelOutput:
    return pb.ModelOutput(
        name=tensor.name, data_type=_DTYPES[tensor.dtype], dims=_dims(tensor, sizes)
    )


def _dims(tensor: Tensor, sizes: Mapping[str, int]) -> list[int]:
    return [sizes[size] if isinstance(size, str) else size for size in tensor.shape]
