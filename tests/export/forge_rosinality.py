"""Checkpoints as stylegan2-pytorch (rosinality) writes them, of any network; torch saves them."""

import argparse
import io
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from nonesuch_export.network import StyleGAN2
from nonesuch_export.network.stylegan2 import Block, Convolution, ToRGB


def state_dict(network: StyleGAN2) -> OrderedDict[str, Tensor]:
    """The network's tensors under rosinality's names, in its shapes."""
    found: OrderedDict[str, Tensor] = OrderedDict()
    for i in range(len(network.config.mapping_widths)):
        layer = network.mapping.get_submodule(f"fc{i}")
        found[f"style.{i + 1}.weight"] = layer.weight  # type: ignore[assignment]
        found[f"style.{i + 1}.bias"] = layer.bias  # type: ignore[assignment]
    first, *others = network.synthesis.blocks
    found["input.input"] = first.const[None]
    found |= _layer("conv1", first.conv1) | _colour("to_rgb1", first)
    for i, block in enumerate(others):
        kernel = torch.tensor(network.config.resample_filter) * 4
        found |= _layer(f"convs.{2 * i}", block.conv0)
        found[f"convs.{2 * i}.conv.blur.kernel"] = kernel
        found |= _layer(f"convs.{2 * i + 1}", block.conv1) | _colour(f"to_rgbs.{i}", block)
        found[f"to_rgbs.{i}.upsample.kernel"] = kernel
    for k, noise in enumerate(network.noise_const):
        found[f"noises.noise_{k}"] = noise[None, None]
    return OrderedDict((name, value.detach()) for name, value in found.items())


def _layer(name: str, layer: Convolution) -> dict[str, Tensor]:
    return {
        **_modulated(name, layer),
        f"{name}.noise.weight": layer.noise_strength.reshape(1),
        f"{name}.activate.bias": layer.bias,
    }


def _colour(name: str, block: Block) -> dict[str, Tensor]:
    assert block.torgb is not None
    bias = block.torgb.bias[None, :, None, None]
    return {**_modulated(name, block.torgb), f"{name}.bias": bias}


def _modulated(name: str, layer: Convolution | ToRGB) -> dict[str, Tensor]:
    return {
        f"{name}.conv.weight": layer.weight[None],
        f"{name}.conv.modulation.weight": layer.affine.weight,
        f"{name}.conv.modulation.bias": layer.affine.bias,
    }


def converted(network: StyleGAN2, **changes: Any) -> dict[str, Any]:
    """What the program's converter from TensorFlow saves; `changes` replace entries."""
    assert network.w_avg is not None
    return {"g_ema": state_dict(network), "latent_avg": network.w_avg, **changes}


def training(network: StyleGAN2, other: StyleGAN2) -> dict[str, Any]:
    """What training saves: `other` is the generator of which `network` is the moving average."""
    weights = [value.clone().requires_grad_() for value in state_dict(other).values()]
    optimizer = torch.optim.Adam(weights, lr=0.002, betas=(0.0, 0.99))
    sum(value.sum() for value in weights).backward()  # type: ignore[union-attr]
    optimizer.step()
    return {
        "g": state_dict(other),
        "d": {"convs.0.0.weight": torch.randn(4, 3, 1, 1)},
        "g_ema": state_dict(network),
        "g_optim": optimizer.state_dict(),
        "d_optim": {},
        "args": argparse.Namespace(path="faces", size=network.config.resolution, lr=0.002),
        "ada_aug_p": torch.tensor(0.3),
    }


def saved(root: Any, *, legacy: bool = False, protocol: int = 2) -> bytes:
    """What `torch.save` writes of `root`, in the layout of now or of before torch 1.6."""
    stream = io.BytesIO()
    torch.save(root, stream, pickle_protocol=protocol, _use_new_zipfile_serialization=not legacy)
    return stream.getvalue()


def rezipped(
    blob: bytes, change: Callable[[str, bytes], bytes | None], method: int = zipfile.ZIP_STORED
) -> bytes:
    """A zip file with each entry's bytes as `change` makes them of name and bytes; None drops."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(blob)) as old, zipfile.ZipFile(out, "w", method) as new:
        for name in old.namelist():
            if (content := change(name, old.read(name))) is not None:
                new.writestr(name, content)
    return out.getvalue()
