"""A network as the contract's graph, in torch and in ONNX.

`Pipeline` computes what every engine computes: w of both latents, mixing by layer, truncation,
offset, synthesis, 8-bit conversion. All controls are tensors with the batch axis in front, so
samples with different settings share a batch.
"""

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx
import onnx_ir as ir
import torch
import torch.nn.functional as F  # noqa: N812 (everyone's name for it)
from onnx_ir.passes import common
from onnxscript.optimizer import fold_constants_ir
from onnxscript.rewriter import RewriteRuleSet
from onnxscript.rewriter.rules.common import (
    collapse_slice_rule,
    reshape_reshape_rule,
    unsqueeze_unsqueeze_rule,
)
from torch import Tensor, nn

from nonesuch import contract
from nonesuch.errors import ExportError
from nonesuch_export import shuffle
from nonesuch_export.directions import Directions
from nonesuch_export.network import Generator

OPSET = 18
_EXAMPLE_BATCH = 3  # torch takes sizes 0 and 1 for constants


def controls(network: Generator) -> tuple[str, ...]:
    """The graph inputs of the contract that this network has, in the contract's order."""
    without_w, without_noise = network.mapping is None, not network.noise_const
    absent = {
        "mix_z": without_w,
        "mix": without_w,
        "c": network.config.c_dim == 0,
        "psi": network.w_avg is None,
        "modes": network.modes is None,
        "ws_offset": without_w,
        "noise_scale": without_noise,
        "noise_shift": without_noise,
        "transform": not network.takes_transform,
    }
    return tuple(t.name for t in contract.GRAPH if not absent.get(t.name, False))


class Pipeline(nn.Module):
    """The contract's graph: inputs in the order of `names`, image [N, H, W, C] uint8 out."""

    def __init__(self, network: Generator) -> None:
        super().__init__()
        self.network = network
        self.names = controls(network)

    def forward(self, *inputs: Tensor) -> Tensor:
        return to_uint8(self.image(dict(zip(self.names, inputs, strict=True))))

    def image(self, given: dict[str, Tensor]) -> Tensor:
        """The float image [N, C, H, W] for all the graph's inputs by name, cropped."""
        crop = self.network.crop
        img = self._whole(given)
        if crop is None:
            return img
        left, top = crop.left or 0, crop.top or 0
        return img[:, :, top : top + crop.height, left : left + crop.width]

    def _whole(self, given: dict[str, Tensor]) -> Tensor:
        network = self.network
        if network.mapping is None:
            return network.draw(given["z"], given.get("c"))
        return network.synthesize(self.ws(given), self._noise(given), given.get("transform"))

    def ws(self, given: dict[str, Tensor]) -> Tensor:
        """ws [N, num_ws, w_dim] that enter synthesis, of a network that has them."""
        mapping, w_avg = self.network.mapping, self.network.w_avg
        assert mapping is not None
        batch = given["z"].shape[0]
        latents = torch.cat([given["z"], given["mix_z"]])
        labels = torch.cat([given["c"], given["c"]]) if "c" in given else None
        w = mapping(latents, labels)  # [2N, w_dim]
        mix = given["mix"][:, :, None]
        ws = torch.lerp(w[:batch, None], w[batch:, None], mix)  # [N, num_ws, w_dim]
        if w_avg is not None:
            centre = w_avg
            if self.network.modes is not None:
                nearest = self.network.modes(w)  # [2N, num_ws, w_dim]
                mixed = torch.lerp(nearest[:batch], nearest[batch:], mix)
                centre = torch.lerp(w_avg, mixed, given["modes"][:, :, None])
            ws = torch.lerp(centre, ws, given["psi"][:, :, None])
        return ws + given["ws_offset"]

    def _noise(self, given: dict[str, Tensor]) -> list[Tensor]:
        stored = self.network.noise_const
        return [
            shifted(noise, given["noise_shift"][:, i])
            * given["noise_scale"][:, i, None, None, None]
            for i, noise in enumerate(stored)
        ]


class Scores(nn.Module):
    """w [N, w_dim] to how far it lies along each direction, [N, D]: (w - centre) · readout."""

    readouts: Tensor
    centre: Tensor

    def __init__(self, directions: Directions) -> None:
        super().__init__()
        self.register_buffer("readouts", torch.from_numpy(directions.readouts))
        self.register_buffer("centre", torch.from_numpy(directions.centre))

    def forward(self, w: Tensor) -> Tensor:
        # Not as one bias: the centre may be far from zero, and the difference small beside it.
        return F.linear(w - self.centre, self.readouts)


class MappingGraph(nn.Module):
    """z [N, z_dim], and c where there are classes, to w [N, w_dim]; no truncation.

    With directions also to the scores of w, [N, D]. For networks that have a mapping.
    """

    def __init__(self, network: Generator, directions: Directions | None = None) -> None:
        super().__init__()
        assert network.mapping is not None
        self.mapping = network.mapping
        self.scores = None if directions is None else Scores(directions)
        self.names = ("z", "c") if network.config.c_dim else ("z",)
        self.outputs = ("w",) if directions is None else ("w", "scores")

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        w: Tensor = self.mapping(*inputs)
        return (w,) if self.scores is None else (w, self.scores(w))


def shifted(stored: Tensor, shift: Tensor) -> Tensor:
    """`stored` [r, r] rolled by shift [N, 2] (rows, columns) to [N, 1, r, r].

    shift may be negative and must not exceed r: the operand of the remainder stays positive,
    whose sign runtimes treat differently.
    """
    size = stored.shape[0]
    steps = torch.arange(size, 2 * size, dtype=torch.int32, device=shift.device)
    index = torch.remainder(steps - shift[:, :, None], size)  # [N, 2, r]
    flat = index[:, 0, :, None] * size + index[:, 1, None, :]  # [N, r, r]
    picked = stored.reshape(-1).index_select(0, flat.reshape(-1))
    return picked.reshape(-1, 1, size, size)


def to_uint8(img: Tensor) -> Tensor:
    """The authors' conversion: [N, C, H, W] nominally in [-1, 1] to [N, H, W, C] in 0 … 255."""
    return (img * 127.5 + 128).clamp(0.0, 255.0).permute(0, 2, 3, 1).to(torch.uint8)


def sizes(network: Generator) -> dict[str, int]:
    """What the words in the contract's shapes stand for in this network's graph."""
    config = network.config
    crop = network.crop
    height, width = (crop.height, crop.width) if crop else network.image_size
    return {
        "z_dim": config.z_dim,
        "w_dim": network.w_dim,
        "c_dim": config.c_dim,
        "num_ws": network.num_ws,
        "num_noise": len(network.noise_const),
        "height": height,
        "width": width,
        "channels": config.channels,
    }


def neutral(network: Generator, z: Tensor) -> dict[str, Tensor]:
    """The graph's inputs for z [N, z_dim] with every other control at rest, c all zeros."""
    known, names = sizes(network), controls(network)
    given = {}
    for tensor in contract.GRAPH:
        if tensor.name in names:
            shape = (z.shape[0], *(known[s] if isinstance(s, str) else s for s in tensor.shape))
            dtype = torch.int32 if tensor.dtype == "INT32" else torch.float32
            given[tensor.name] = torch.full(shape, tensor.neutral, dtype=dtype)
    # Copies, because tracing takes one object for one input.
    special = {"z": z, "mix_z": z.clone(), "transform": torch.eye(3).repeat(z.shape[0], 1, 1)}
    return given | {name: value for name, value in special.items() if name in names}


def export(network: Generator, path: Path) -> None:
    """Write the contract's graph of `network` to `path` as one ONNX file.

    Raises ExportError where torch cannot trace the network or the file breaks a rule of `check`.
    """
    example = neutral(network, torch.zeros(_EXAMPLE_BATCH, network.config.z_dim))
    pipeline = Pipeline(network)
    trace(pipeline, {n: example[n] for n in pipeline.names}, ("image",), path)


def export_mapping(network: Generator, path: Path, directions: Directions | None = None) -> None:
    """Write the mapping network alone (z, c → w, and scores of w) to `path`.

    Raises as `export` does.
    """
    graph = MappingGraph(network, directions)
    known = sizes(network)
    example = {name: torch.zeros(_EXAMPLE_BATCH, known[f"{name}_dim"]) for name in graph.names}
    trace(graph, example, graph.outputs, path)


def trace(
    module: nn.Module, example: Mapping[str, Tensor], outputs: Sequence[str], path: Path
) -> None:
    """Write a module's graph, with names for its outputs and those of `example` for its inputs.

    All have the batch axis in front. Raises as `export` does.
    """
    program = traced(module, example, outputs)
    fold(program.model)
    _forget(program.model)
    model = program.model_proto
    check(model)
    onnx.save(model, path)


def traced(
    module: nn.Module, example: Mapping[str, Tensor], outputs: Sequence[str]
) -> torch.onnx.ONNXProgram:
    """The graph as torch makes it, before `fold`; raises ExportError where torch cannot."""
    batch = torch.export.Dim("N", min=1)
    try:
        with _quiet():
            program = torch.onnx.export(
                module.eval(),
                tuple(example.values()),
                input_names=list(example),
                output_names=list(outputs),
                dynamic_shapes=(tuple({0: batch} for _ in example),),
                opset_version=OPSET,
                dynamo=True,
                optimize=False,
                verbose=False,
            )
    except Exception as exc:  # the exporter promises no class of its own
        raise ExportError(f"torch cannot trace the network: {str(exc)[:300]}") from exc
    assert program is not None
    return program


# What indexing in torch leaves: slices of the whole, one axis after the other.
_RULES = RewriteRuleSet([collapse_slice_rule, unsqueeze_unsqueeze_rule, reshape_reshape_rule])


def fold(model: ir.Model) -> None:
    """Compute gains, filters and sums over weights once, into constants.

    These passes and rules only: another of onnxscript's takes an addition of 1e-8 for one of
    zero, and without it a latent or a channel of zeros is divided by zero.
    """
    fold_constants_ir(model, input_size_limit=2**31, output_size_limit=2**31)
    _RULES.apply_to_model(model)
    shuffle.order(model.graph)
    ir.passes.Sequential(
        common.IdentityEliminationPass(),
        common.RemoveUnusedNodesPass(),
        common.RemoveUnusedOpsetsPass(),
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        common.DeduplicateInitializersPass(),
        common.CommonSubexpressionEliminationPass(),
        common.OutputFixPass(),
        common.NameFixPass(),
    )(model)


def _forget(model: ir.Model) -> None:
    """Drop what the exporter notes of its trace: where the files lie that it ran through."""
    nodes = list(model.graph.all_nodes())
    made = [value for node in nodes for value in node.outputs]
    kept = [*model.graph.inputs, *model.graph.initializers.values()]
    parts: list[ir.Model | ir.Graph | ir.Node | ir.Value] = [model, model.graph, *nodes]
    for part in (*parts, *kept, *made):
        part.metadata_props.clear()
        part.doc_string = None


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's progress talk from the terminal."""
    loggers = [logging.getLogger(n) for n in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


_RANDOM = frozenset({"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"})
_CONVOLUTIONS = frozenset({"Conv", "ConvTranspose"})


def check(model: onnx.ModelProto) -> None:
    """Hold an ONNX model to the rules that every engine relies on.

    Raises ExportError for an invalid model, a domain of its own, a random operation, a weight
    of a convolution that is computed, or a batch axis that is not free.
    """
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as exc:
        raise ExportError(f"the ONNX model is invalid: {str(exc)[:300]}") from exc
    for problem in _broken_rules(model):
        raise ExportError(f"the ONNX model {problem}")


def _broken_rules(model: onnx.ModelProto) -> Iterator[str]:
    for opset in model.opset_import:
        if opset.domain not in {"", "ai.onnx"} or opset.version < OPSET:
            yield f"uses the operator set {opset.domain or 'ai.onnx'} {opset.version}"
    constants = {i.name for i in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type in _RANDOM:
            yield f"has the random operation {node.op_type} ({node.name})"
        if node.op_type in _CONVOLUTIONS and node.input[1] not in constants:
            yield f"computes the weight of a convolution ({node.name})"
    read = {name for node in model.graph.node for name in node.input}
    yield from (f"never reads its input {i.name}" for i in model.graph.input if i.name not in read)
    for value in (*model.graph.input, *model.graph.output):
        if not _free_batch(value):
            yield f"fixes the batch axis of {value.name}"


def _free_batch(value: Any) -> bool:
    first = value.type.tensor_type.shape.dim[0]
    return bool(first.dim_param)
