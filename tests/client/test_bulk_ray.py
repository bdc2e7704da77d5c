"""Sets that many machines make: two nodes on this one, of which one is killed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.client.peer import Faults, Peer
from tests.client.test_bulk import hashes, make, plan

import nonesuch
from nonesuch import InvalidRequest

# Ray starts processes and threads of its own, which outlive a test: it gets an interpreter.
_CLUSTER = """
import sys, time, threading
from pathlib import Path
from ray.cluster_utils import Cluster
from nonesuch import Format, parse_seeds
from nonesuch.bulk import Bulk, Plan

url, folder = sys.argv[1], Path(sys.argv[2])
plan = Plan(model="dots", seeds=parse_seeds("0-299"), shard_size=10, format=Format(name="png"))
size = {"num_cpus": 1, "object_store_memory": 2**27}
cluster = Cluster(initialize_head=True, head_node_args=size)
lost = cluster.add_node(**size)
cluster.wait_for_nodes()

def kill() -> None:
    while len(list((folder / "rows").glob("*"))) < 6:
        time.sleep(0.05)
    cluster.remove_node(lost, allow_graceful=False)
    print("killed after", len(list((folder / "rows").glob("*"))), flush=True)

threading.Thread(target=kill, daemon=True).start()
with Bulk(plan, folder, [url], ray=cluster.address) as making:
    print("made", sum(1 for _ in making), flush=True)
cluster.shutdown()
"""


@pytest.mark.slow
def test_a_lost_node_loses_nothing(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="needs pip install 'nonesuch[ray]'")
    client = str(Path(nonesuch.__file__).parents[1])
    with Peer(faults=Faults(delay_s=lambda _: 0.03)) as server:
        words = [sys.executable, "-c", _CLUSTER, server.url, str(tmp_path / "two")]
        env = {**os.environ, "PYTHONPATH": client, "RAY_USAGE_STATS_ENABLED": "0"}
        done = subprocess.run(
            words, env=env, capture_output=True, text=True, timeout=300, check=False
        )
        make(plan("0-299"), tmp_path / "one", server.url)

    assert "made 300" in done.stdout, done.stderr[-2000:]
    killed = int(done.stdout.split("killed after ")[1].split()[0])
    assert 6 <= killed < 30
    assert hashes(tmp_path / "two") == hashes(tmp_path / "one")


def test_duplicates_are_found_in_one_process_only(peer: Peer, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="remove dedupe or ray"):
        make(plan(dedupe=True), tmp_path, peer.url, ray="auto")
