"""docs/families.md: which files, networks, engines and controls there are, from the code itself.

`python -m tests.families > docs/families.md` writes it anew; a test compares the two. The small
networks that it asks are also those that the tests serve.
"""

import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from nonesuch.contract import REQUEST
from nonesuch_export import checkpoint, network
from nonesuch_export.engine import ENGINES
from nonesuch_export.graph import controls
from nonesuch_export.network import FAMILIES, Generator


def _layer(**settings: Any) -> dict[str, Any]:
    """A layer of StyleGAN3 with the authors' usual filters."""
    usual = {"up": 2, "down": 2, "up_taps": 12, "down_taps": 12, "radial": False}
    return {**usual, **settings}


# Small networks that have all that their family can have, classes too.
SMALL: dict[str, Mapping[str, Any]] = {
    "progan": {
        "resolution": 16,
        "widths": (8, 8, 4),
        "fused": (False, True),
        "z_dim": 12,
        "c_dim": 3,
    },
    "stylegan1": {
        "resolution": 16,
        "widths": (8, 8, 4),
        "fused": (False, True),
        "mapping_widths": (12, 10),
        "z_dim": 12,
        "w_dim": 10,
        "c_dim": 3,
        "psi": 0.7,
        "cutoff": 4,
    },
    "stylegan2": {
        "resolution": 16,
        "widths": (8, 8, 4),
        "mapping_widths": (12, 10),
        "z_dim": 12,
        "w_dim": 10,
        "c_dim": 3,
        "embed_width": 6,
    },
    "stylegan3": {
        "resolution": 16,
        "layers": (
            _layer(width=8, size=12, rate=8, cutoff=3.0),
            _layer(width=6, size=20, rate=16, cutoff=6.0, up=4, up_taps=24, radial=True),
            _layer(width=4, size=16, rate=16, cutoff=8.0),
        ),
        "input_width": 8,
        "input_size": 12,
        "input_rate": 8,
        "output_scale": 2.0,
        "mapping_widths": (12, 10),
        "z_dim": 12,
        "w_dim": 10,
        "c_dim": 3,
        "embed_width": 6,
    },
}

_INTRODUCTION = """# The families

What nonesuch reads, builds and serves. `nonesuch-export inspect FILE` says which family a file
is of and what is unusual about it; `nonesuch info NAME` lists the controls of a served model.
This page is written by `python -m tests.families`.
"""

_BELOW = """
A control is there where the network has what it works on: `c` and `class` where the model is
conditional, `psi`, `cutoff` and `ws` where an average w is stored, `modes` where its card counts
some, noise where the layers have it. A request that names one that a model lacks is refused with a
sentence that says so.

Networks that were saved while they grew are exported at the size that they draw. `build --crop
WIDTHxHEIGHT` cuts a part out of the picture inside the graph, in every family. `build --tile
x|y|both` makes pictures that repeat without a [seam](tiles.md), in every family but StyleGAN3.
"""


def small(family: str) -> Generator:
    """A small network of the family in which every tensor matters; always the same one."""
    config = FAMILIES[family][0].from_json(SMALL[family])
    made = network.untrained(family, config, seed=5)
    for name, value in made.state_dict().items():
        if name.endswith(("bias", "const", "noise_strength", "w_avg")):
            value.add_(torch.randn(value.shape) * 0.3)
    return made


def page() -> str:
    """The whole page in Markdown."""
    made = {family: small(family) for family in FAMILIES}
    lines = [_INTRODUCTION, *_table(_header(), _networks(made)), ""]
    lines += _table(["request", *made], _controls(made))
    return "\n".join([*lines, _BELOW])


def _table(header: list[str], rows: Iterator[list[str]]) -> Iterator[str]:
    for row in (header, ["---"] * len(header), *rows):
        yield f"| {' | '.join(row)} |"


def _header() -> list[str]:
    return ["family", "network", "files", "engines"]


def _networks(made: Mapping[str, Generator]) -> Iterator[list[str]]:
    for family, generator in made.items():
        source = inspect.getmodule(type(generator))
        paper = re.match(r".+?\)", inspect.getdoc(source) or "")
        assert paper
        files = [words for words, families in checkpoint.FORMATS.values() if family in families]
        yield [f"`{family}`", paper[0], "; ".join(files), ", ".join(ENGINES)]


def _controls(made: Mapping[str, Generator]) -> Iterator[list[str]]:
    """A row for each control with the request's tensors that set it, and who has it."""
    wanted = dict.fromkeys(tensor.control for tensor in REQUEST if tensor.control)
    for control in wanted:
        tensors = ", ".join(f"`{t.name}`" for t in REQUEST if t.control == control)
        yield [tensors, *("yes" if control in controls(made[f]) else "no" for f in made)]


if __name__ == "__main__":
    sys.stdout.write(page())
