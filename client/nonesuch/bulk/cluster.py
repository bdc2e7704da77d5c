"""Shards made on many machines by Ray Data, into a folder that all of them see."""

import importlib
import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nonesuch.bulk.plan import Plan
from nonesuch.errors import OutputError


def check() -> None:
    """Raise OutputError where Ray Data is not installed."""
    if any(importlib.util.find_spec(name) is None for name in ("ray", "pandas")):
        raise OutputError("many machines need Ray Data: pip install 'nonesuch[ray]'")


class Maker:
    """What an actor does: it makes the shards that it is given, and names them."""

    def __init__(self, plan: Plan, folder: Path, urls: Sequence[str], times_s: tuple[float, float]):
        """Take what `run.Bulk` takes; times_s are its timeout and its patience."""
        self._plan, self._folder, self._urls, self._times_s = plan, folder, urls, times_s

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Make shards; those whose rows are there already, from before a node was lost, stay."""
        from nonesuch.bulk.run import Bulk  # here: it needs this module

        timeout_s, patience_s = self._times_s
        shards = [int(number) for number in batch["shard"]]
        with Bulk(
            self._plan,
            self._folder,
            self._urls,
            timeout_s=timeout_s,
            patience_s=patience_s,
            part=shards,
        ) as making:
            for _ in making:
                pass
        return {"shard": batch["shard"]}


def made(
    address: str,
    shards: Sequence[int],
    plan: Plan,
    folder: Path,
    urls: Sequence[str],
    times_s: tuple[float, float],
) -> Iterator[int]:
    """Make shards on the cluster at `address`, an actor on each node; yields each shard made.

    What a lost node had in hand is made again on another. `urls` are as the nodes see them:
    `localhost` is each node's own server.
    """
    ray: Any = importlib.import_module("ray")  # an extra, slow to load and half typed
    data: Any = importlib.import_module("ray.data")

    ray.init(address=address, ignore_reinit_error=True, log_to_driver=False)
    nodes = sum(node["Alive"] for node in ray.nodes())
    items = data.from_items([{"shard": n} for n in shards], override_num_blocks=len(shards))
    answers = items.map_batches(
        Maker,
        fn_constructor_args=(plan, folder.absolute(), tuple(urls), times_s),
        batch_size=1,
        compute=data.ActorPoolStrategy(min_size=1, max_size=max(1, nodes)),
        num_cpus=1,
        scheduling_strategy="SPREAD",
    )
    for answer in answers.iter_rows():
        yield int(answer["shard"])
