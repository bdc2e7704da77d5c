"""The model card: what a client must know of a served generator, as JSON beside the model."""

import json
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from nonesuch.errors import InvalidRequest


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """What a served generator is, takes and recommends; every field survives JSON."""

    name: str
    family: str  # "stylegan2", …
    height: int  # pixels
    width: int  # pixels
    channels: int  # 1, 3 or 4
    z_dim: int
    w_dim: int
    c_dim: int  # 0 = unconditional
    num_ws: int  # rows of ws
    ws_resolutions: tuple[int, ...]  # of the layer that each row of ws styles, in pixels
    noise_resolutions: tuple[int, ...]  # of each noise layer, in pixels; its length is num_noise
    controls: tuple[str, ...]  # the inputs of `contract.GRAPH` that the generator has
    psi: float = 1.0  # recommended truncation, used where a request names none
    cutoff: int | None = None  # recommended; None = all rows of ws
    max_batch: int  # samples in one request at most
    model_hash: str  # SHA-256 over configuration and weights, whatever file they came in
    source_sha256: str  # SHA-256 of the checkpoint file
    engine: str  # "onnxruntime", …
    precision: str  # "fp32", …
    licence: str | None = None  # of the weights, as far as known
    about: str | None = None  # how the weights came about, as far as known
    parity: dict[str, Any] = field(default_factory=dict)  # the report of the build

    @property
    def num_noise(self) -> int:
        return len(self.noise_resolutions)

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
            return cls(**values)
        except (ValueError, TypeError, AttributeError) as exc:
            raise InvalidRequest(f"this is no model card: {exc}") from exc


def _frozen(value: Any) -> Any:  # JSON knows lists only
    return tuple(value) if isinstance(value, list) else value
