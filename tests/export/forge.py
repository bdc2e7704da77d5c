"""Checkpoints made for a test: pickles as the authors' repositories write them, of any network.

torch pickles its own tensors here, so the containers are the real ones; the authors' classes are
stand-ins that exist only while a file is written.
"""

import collections
import io
import math
import pickle
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from nonesuch_export.network import StyleGAN2
from nonesuch_export.network.config import Config
from nonesuch_export.network.mapping import Mapping
from nonesuch_export.network.ops import ACTIVATIONS, Linear
from nonesuch_export.network.stylegan2 import Block, Convolution, Shortcut, ToRGB


def _reconstruct_persistent_obj(_: Any) -> None:
    """Named in the pickles, never called here."""


class EasyDict(dict[str, Any]):
    """Named in the pickles."""


class _Persistent:
    """Pickles as a call of `_reconstruct_persistent_obj` with a description."""

    def __init__(self, class_name: str, state: dict[str, Any]) -> None:
        source = "raise SystemExit('the source of a checkpoint was run')"
        self.meta = EasyDict(
            type="class", version=6, module_src=source, class_name=class_name, state=state
        )

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return _reconstruct_persistent_obj, (self.meta,)


@contextmanager
def _authors_modules() -> Iterator[None]:
    """Let pickle find our stand-ins under the names of the authors' modules."""
    places: dict[str, Any] = {
        "torch_utils.persistence": _reconstruct_persistent_obj,
        "dnnlib.util": EasyDict,
    }
    for name, thing in places.items():
        thing.__module__ = name
        module = types.ModuleType(name)
        setattr(module, thing.__name__, thing)
        sys.modules[name.split(".")[0]] = types.ModuleType(name.split(".")[0])
        sys.modules[name] = module
    try:
        yield
    finally:
        for name in places:
            del sys.modules[name], sys.modules[name.split(".")[0]]


def shaped(config: Config, seed: int = 0) -> StyleGAN2:
    """A network of this configuration in which every tensor matters."""
    torch.manual_seed(seed)
    network = StyleGAN2(config).eval().requires_grad_(False)
    for name, value in network.state_dict().items():
        if name.endswith(("bias", "noise_strength", "w_avg")):
            value.add_(torch.randn(value.shape) * 0.3)
    return network


def pickled(network: StyleGAN2, *, protocol: int = 4, **changes: Any) -> bytes:
    """The pickle that the stylegan3 repository would write of `network`.

    G is another network than G_ema. `changes` replace entries of the root dict.
    """
    other = shaped(network.config, seed=99)
    root = {
        "G": module(other),
        "D": None,
        "G_ema": module(network),
        "training_set_kwargs": EasyDict(class_name="training.dataset.ImageFolderDataset"),
        "augment_pipe": None,
    }
    with _authors_modules():
        return pickle.dumps({**root, **changes}, protocol=protocol)


def resaved(root: Any, *, legacy: bool = False) -> bytes:
    """What `torch.save` writes of `module`s, in the layout of now or of before torch 1.6."""
    stream = io.BytesIO()
    with _authors_modules():
        torch.save(root, stream, _use_new_zipfile_serialization=not legacy)
    return stream.getvalue()


def module(network: StyleGAN2) -> _Persistent:
    """The generator as the authors' modules would describe themselves."""
    config = network.config
    kwargs = EasyDict(
        z_dim=config.z_dim,
        c_dim=config.c_dim,
        w_dim=config.w_dim,
        img_resolution=config.resolution,
        img_channels=config.channels,
    )
    return _module(network, config, "Generator", {**kwargs, "_init_kwargs": kwargs})


def _module(part: nn.Module, config: Config, class_name: str, own: dict[str, Any]) -> _Persistent:
    children = {
        name: _module(child, config, type(child).__name__, _attributes(child, config))
        for name, child in part.named_children()
        if child.state_dict()  # what only computes is ours, and not in their files
    }
    buffers = dict(part.named_buffers(recurse=False))
    if isinstance(part, Block | Convolution | Shortcut):
        buffers["resample_filter"] = torch.tensor(config.resample_filter)
    state = {
        "training": False,
        "_parameters": collections.OrderedDict(part.named_parameters(recurse=False)),
        "_buffers": collections.OrderedDict(buffers),
        "_modules": collections.OrderedDict(children),
        "_non_persistent_buffers_set": set(),
        "_init_kwargs": EasyDict(),
        **own,
    }
    return _Persistent(class_name, state)


def _attributes(part: nn.Module, config: Config) -> dict[str, Any]:
    """The attributes in force, as golden files of the real repositories have them."""
    match part:
        case Linear():
            return _linear(part)
        case Convolution():
            return {
                "use_noise": config.use_noise,
                "activation": config.activation,
                "conv_clamp": config.conv_clamp,
                "act_gain": ACTIVATIONS[config.activation][1],
            }
        case ToRGB():
            gain = 1 / math.sqrt(part.weight.shape[1])
            return {"conv_clamp": config.conv_clamp, "weight_gain": gain}
        case Block():
            return {"architecture": config.architecture}
        case Mapping():
            return {"num_layers": len(config.mapping_widths)}
    return {}


def _linear(part: Linear) -> dict[str, Any]:
    names = {function: name for name, (function, _) in ACTIVATIONS.items()}
    return {
        "activation": names[part._activation],
        "weight_gain": part._weight_gain,
        "bias_gain": part._bias_gain,
    }
