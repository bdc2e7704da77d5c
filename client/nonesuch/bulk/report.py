"""What a set came to be: how many, how alike, and how they spread along the model's directions."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from nonesuch import variety
from nonesuch.balance import Balance
from nonesuch.bulk.likeness import Seen
from nonesuch.bulk.manifest import Row
from nonesuch.bulk.plan import Plan
from nonesuch.card import Card
from nonesuch.client import Client
from nonesuch.options import Sample
from nonesuch.variety import Scores, Spread

LOOKED_AT = 10_000  # pictures whose scores are asked for, at most; evenly taken
_NAMED = 100  # duplicates


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """A set's composition; the same for the same set."""

    seeds: int
    pictures: int
    missing: int
    left_out: int  # as duplicates
    size_bytes: int  # of the pictures
    worst_seam: float | None  # where the model tiles
    alike: int  # pictures that look like an earlier one
    pairs: tuple[tuple[int, int], ...]  # the first of these: seed, and the earlier one
    looked_at: int  # pictures whose scores are counted in what follows
    spreads: tuple[Spread, ...] = ()
    balances: Mapping[str, Mapping[str, Sequence[float]]] | None = None  # shares asked, reached

    def to_json(self) -> str:
        """The report as JSON text."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"


def report(plan: Plan, card: Card, rows: Iterable[Row], client: Client) -> Report:
    """Look a whole set through, and ask the server for its pictures' scores."""
    counted = _Count()
    seeds = [row.seed for row in rows if counted.add(row)]
    chosen = seeds[:: -(-len(seeds) // LOOKED_AT) or 1]
    scores = _scores(plan, card, chosen, client)
    return Report(
        seeds=len(plan.seeds),
        pictures=len(seeds),
        missing=counted.missing,
        left_out=counted.left_out,
        size_bytes=counted.size_bytes,
        worst_seam=counted.worst_seam,
        alike=counted.alike,
        pairs=tuple(counted.pairs),
        looked_at=len(chosen) if scores is not None else 0,
        spreads=() if scores is None else tuple(variety.spreads(card, scores)),
        balances=None if scores is None else _balances(plan.balances, card, scores),
    )


class _Count:
    """Sums over rows that pass by."""

    def __init__(self) -> None:
        self.missing = self.left_out = self.size_bytes = self.alike = 0
        self.worst_seam: float | None = None
        self.pairs: list[tuple[int, int]] = []
        self._seen = Seen()

    def add(self, row: Row) -> bool:
        """Count a row; returns whether it has a picture."""
        self.missing += row.missing
        self.left_out += row.duplicate_of is not None
        if row.dhash is None or row.duplicate_of is not None:
            return False
        self.size_bytes += row.size_bytes or 0
        if row.seam is not None:
            self.worst_seam = max(self.worst_seam or row.seam, row.seam)
        if (like := self._seen.like(row.dhash)) is not None:
            self.alike += 1
            self.pairs += [(row.seed, like)][: _NAMED - len(self.pairs)]
        self._seen.add(row.seed, row.dhash)
        return True


def _scores(plan: Plan, card: Card, seeds: Sequence[int], client: Client) -> Scores | None:
    """Of each picture along each direction, [N, D], as drawn; None where that cannot be told."""
    of_modes = plan.like.truncation is not None and plan.like.truncation.modes
    if not card.directions or not seeds or of_modes or any(r.name == "class" for r in plan.ranges):
        return None
    like = plan.like
    raw = client.scores(
        plan.model, seeds, class_idx=like.class_idx, class_weights=like.class_weights
    )
    samples = [plan.sample(seed) for seed in seeds]
    kept = {one: variety.remaining(card, one) for one in {s.truncation for s in samples}}
    rows = [raw[i] * kept[s.truncation] + _added(s, card) for i, s in enumerate(samples)]
    return np.array(rows, np.float32)


def _added(sample: Sample, card: Card) -> Scores:
    weights = sample.directions or {}
    return np.array([weights.get(direction.name, 0.0) for direction in card.directions], np.float32)


def _balances(
    balances: Sequence[Balance], card: Card, scores: Scores
) -> Mapping[str, Mapping[str, Sequence[float]]]:
    order = [direction.name for direction in card.directions]
    found = {}
    for balance in balances:
        count = len(balance.shares)
        classes = variety.classes(scores[:, order.index(balance.direction)], count)
        asked = tuple(round(share / sum(balance.shares), 4) for share in balance.shares)
        found[balance.direction] = {"asked": asked, "reached": variety.shares(classes, count)}
    return found


def told(found: Report) -> str:
    """A report in a few lines, for people."""
    lines = [
        f"{found.pictures} pictures of {found.seeds} seeds, {found.size_bytes / 1e6:.1f} MB; "
        f"{found.missing} missing, {found.left_out} left out as duplicates, {found.alike} alike"
    ]
    if found.worst_seam is not None:
        lines.append(f"worst seam score: {found.worst_seam:g}")
    width = max((len(spread.direction) for spread in found.spreads), default=0)
    for spread in found.spreads:
        thirds = variety.percent(spread.thirds)
        lines.append(
            f"{spread.direction:<{width}}  mean {spread.mean:>5.2f}, deviation "
            f"{spread.deviation:.2f}, thirds {thirds}"
        )
    for name, shares in (found.balances or {}).items():
        asked, reached = variety.percent(shares["asked"]), variety.percent(shares["reached"])
        lines.append(f"{name}: asked {asked}, reached {reached}")
    return "\n".join(lines)
