"""The model card of a built generator."""

from nonesuch.card import Card
from nonesuch.layers import groups
from nonesuch_export.checkpoint import Checkpoint
from nonesuch_export.directions import Directions
from nonesuch_export.graph import controls, sizes
from nonesuch_export.network import Generator
from nonesuch_export.parity import Report


def describe(
    name: str,
    checkpoint: Checkpoint,
    network: Generator,
    report: Report,
    *,
    max_batch: int,
    directions: Directions | None = None,
) -> Card:
    """The card of `network`, built from `checkpoint` and compared in `report`."""
    known = sizes(network)
    psi, cutoff = network.recommended if network.w_avg is not None else (1.0, None)
    return Card(
        name=name,
        family=network.family,
        height=known["height"],
        width=known["width"],
        channels=known["channels"],
        crop=None if network.crop is None else str(network.crop),
        tile=network.tile,
        z_dim=known["z_dim"],
        w_dim=known["w_dim"],
        c_dim=known["c_dim"],
        num_ws=known["num_ws"],
        ws_resolutions=network.ws_resolutions,
        noise_resolutions=tuple(stored.shape[0] for stored in network.noise_const),
        controls=controls(network),
        psi=psi,
        cutoff=cutoff,
        modes=network.modes.count if network.modes is not None else 0,
        layer_groups=groups(network.ws_resolutions),
        directions=directions.named if directions else (),
        directions_hash=directions.digest() if directions else None,
        max_batch=max_batch,
        model_hash=checkpoint.digest(),
        source_sha256=checkpoint.provenance.sha256,
        engine=report.engine,
        precision=report.precision,
        forms=dict(network.forms),
        licence=checkpoint.licence,
        about=checkpoint.about,
        parity=report.summary(),
    )
