"""What the generators of both repositories have in common: their attributes, read and checked."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from nonesuch.errors import UnsupportedCheckpoint
from nonesuch_export.checkpoint.nvlabs.module import Module
from nonesuch_export.checkpoint.tensors import Array
from nonesuch_export.checkpoint.unpickle import shown

# Of the authors' activations; those that halve a signal's power make up for it.
_ACTIVATION_GAINS = {
    **dict.fromkeys(("linear", "tanh", "sigmoid", "elu", "selu", "softplus"), 1.0),
    **dict.fromkeys(("relu", "lrelu", "swish"), math.sqrt(2.0)),
}


def common(modules: Sequence[Module], name: str, default: Any = None) -> Any:
    """The one value that attribute `name` has in all modules; `default` where there are none."""
    values = {module.get(name) for module in modules}
    if len(values) > 1:
        given = ", ".join(sorted(shown(v) for v in values))
        raise UnsupportedCheckpoint(f"{name} differs between layers: {given}")
    return values.pop() if values else default


def sizes(generator: Module) -> dict[str, Any]:
    """The settings that any generator names itself."""
    names = {"resolution": "img_resolution", "channels": "img_channels"}
    own = {name: name for name in ("z_dim", "w_dim", "c_dim")}
    return {name: generator.integer(attribute) for name, attribute in {**names, **own}.items()}


def mapping(generator: Module) -> dict[str, Any]:
    """The settings of the mapping network."""
    part = generator.child("mapping")
    layers = [part.child(f"fc{i}") for i in range(part.integer("num_layers"))]
    embed = part.children.get("embed")
    return {
        "mapping_widths": [layer.shape("weight", 2)[0] for layer in layers],
        "mapping_activation": common(layers, "activation", default="lrelu"),
        "lr_multiplier": float(common(layers, "bias_gain", default=0.01)),
        "embed_width": embed.shape("weight", 2)[0] if embed else 0,
        "has_w_avg": "w_avg" in part.tensors,
    }


def refuse_unknown(title: str, options: Mapping[Any, Any], known: frozenset[str]) -> None:
    """Refuse, by its name, an option that the family's own constructors do not take."""
    for key in sorted(set(options) - known, key=str):
        raise UnsupportedCheckpoint(
            f"the generator was made with {str(key)[:60]}={shown(options[key])}, an option "
            f"that {title} does not have; please report it with the repository it comes from"
        )


def check_gains(generator: Module) -> None:
    """Refuse attributes in force other than those that the networks here compute with."""
    for name, module in generator.walk():
        weight = module.tensors.get("weight")
        if weight is None:
            continue
        is_mapping = name.startswith("mapping.fc")
        multiplier = module.get("bias_gain", 1.0) if is_mapping else 1.0
        expected: dict[str, Any] = {"bias_gain": multiplier}
        expected["weight_gain"] = multiplier / math.sqrt(math.prod(weight.shape[1:]))
        if name.endswith((".affine", ".embed")):
            expected["activation"] = "linear"
        if module.get("activation") in _ACTIVATION_GAINS:
            expected["act_gain"] = _ACTIVATION_GAINS[module.get("activation")]
        check(name, module, expected)


def check(name: str, module: Module, expected: Mapping[str, Any]) -> None:
    """Refuse a module `name` that has another value than expected for an attribute.

    An attribute that is not there is taken to be as expected.
    """
    for attribute, value in expected.items():
        stored = module.get(attribute, value)
        if stored != value and not _close(stored, value):
            raise UnsupportedCheckpoint(
                f"{name} has {attribute} {shown(stored)}, expected {shown(value)}"
            )


def _close(stored: Any, value: Any) -> bool:
    numbers = isinstance(stored, int | float) and isinstance(value, int | float)
    return numbers and math.isclose(stored, value, rel_tol=1e-6)


def arrays(generator: Module, left_out: frozenset[str]) -> dict[str, Array]:
    """All tensors by dotted name, without those whose last name is in `left_out`."""
    return {
        f"{prefix}.{name}": values
        for prefix, module in generator.walk()
        for name, values in module.tensors.items()
        if name not in left_out
    }
