"""The model card: what a client must know of a served generator, as JSON beside the model."""

import json
from dataclasses import asdict, dataclass, field, fields
from difflib import get_close_matches
from typing import Any

from nonesuch.errors import InvalidRequest


@dataclass(frozen=True, kw_only=True, slots=True)
class Direction:
    """A named way through W: what a weight of 1 adds to some rows of ws is kept by the server."""

    name: str
    first: int  # row of ws from which on it is added
    last: int  # … to this row, included
    about: str = ""  # what the two ends look like, and how it was found
    effect: dict[str, float] = field(default_factory=dict)  # as measured for a weight of 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """What a served generator is, takes and recommends; every field survives JSON."""

    name: str
    family: str  # "stylegan2", …
    height: int  # pixels
    width: int  # pixels
    channels: int  # 1, 3 or 4
    crop: str | None = None  # WIDTHxHEIGHT+LEFT+TOP that was cut out of the network's picture
    tile: str | None = None  # axes along which pictures repeat without a seam: "x", "y" or "both"
    z_dim: int
    w_dim: int
    c_dim: int  # 0 = unconditional
    num_ws: int  # rows of ws
    ws_resolutions: tuple[int, ...]  # of the layer that each row of ws styles, in pixels
    noise_resolutions: tuple[int, ...]  # of each noise layer, in pixels; its length is num_noise
    controls: tuple[str, ...]  # the inputs of `contract.GRAPH` that the generator has
    layer_groups: dict[str, tuple[int, int]] = field(default_factory=dict)  # rows of ws, both ends
    directions: tuple[Direction, ...] = ()
    directions_hash: str | None = None  # SHA-256 over names, rows and vectors
    psi: float = 1.0  # recommended truncation, used where a request names none
    cutoff: int | None = None  # recommended; None = all rows of ws
    modes: int = 0  # centres of w for truncation in each group of layers; 0 = none
    max_batch: int  # samples in one request at most
    model_hash: str  # SHA-256 over configuration and weights, whatever file they came in
    source_sha256: str  # SHA-256 of the checkpoint file
    engine: str  # "onnxruntime", …
    precision: str  # "fp32", …
    forms: dict[str, str] = field(default_factory=dict)  # of layers that have several, by pixels
    licence: str | None = None  # of the weights, as far as known
    about: str | None = None  # how the weights came about, as far as known
    parity: dict[str, Any] = field(default_factory=dict)  # the report of the build

    @property
    def num_noise(self) -> int:
        return len(self.noise_resolutions)

    def direction(self, name: str) -> Direction:
        """Look a direction up; raises InvalidRequest that names the nearest ones."""
        by_name = {direction.name: direction for direction in self.directions}
        if name not in by_name:
            near = get_close_matches(name, by_name, cutoff=0.4) or list(by_name)[:8]
            there = f"did you mean {', '.join(near)}?" if near else "it has none"
            raise InvalidRequest(f"{self.name} has no direction {name!r}: {there}")
        return by_name[name]

    def to_json(self, *, indent: int | None = None) -> str:
        """The card as JSON text, fields in the order above."""
        return json.dumps(asdict(self), indent=indent, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> "Card":
        """Read what `to_json` wrote; fields of a newer nonesuch are passed over.

        Raises InvalidRequest where the text is no card or lacks a field.
        """
        known = {f.name for f in fields(cls)}
        try:
            raw = json.loads(text)
            values = {key: _frozen(value) for key, value in raw.items() if key in known}
            found = [Direction(**direction) for direction in values.pop("directions", ())]
            return cls(**values, directions=tuple(found))
        except (ValueError, TypeError, AttributeError) as exc:
            raise InvalidRequest(f"this is no model card: {exc}") from exc


def _frozen(value: Any) -> Any:  # JSON knows lists only
    if isinstance(value, dict):
        return {key: _frozen(inner) for key, inner in value.items()}
    return tuple(_frozen(inner) for inner in value) if isinstance(value, list) else value
