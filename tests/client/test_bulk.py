"""Sets of pictures on disk, from servers that behave and servers that do not."""

import asyncio
import hashlib
import json
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import grpc
import pyarrow.parquet
import pytest
from tests.client.peer import Faults, Peer, card
from tests.client.shell import COMMAND, Run, start

from nonesuch import AsyncClient, Client, Format, InvalidRequest, parse_seeds
from nonesuch.bulk import Bulk, Plan, Vary
from nonesuch.bulk.manifest import Row
from nonesuch.errors import ModelChanged, OutputError, ServerUnreachable

INTERNAL, UNAVAILABLE = grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAVAILABLE
REFUSED = grpc.StatusCode.INVALID_ARGUMENT


def plan(seeds: str = "0-24", **changes: Any) -> Plan:
    values: dict[str, Any] = {"shard_size": 10, "format": Format(name="png")}
    return Plan(model="dots", seeds=parse_seeds(seeds), **values | changes)


def make(of: Plan, folder: Path, *urls: str, **settings: Any) -> list[Row]:
    with Bulk(of, folder, urls, **settings) as making:
        return list(making)


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file in a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def rows(folder: Path) -> list[dict[str, Any]]:
    text = (folder / "manifest.jsonl").read_text("utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_a_set_is_tars_rows_and_a_manifest(peer: Peer, tmp_path: Path) -> None:
    make(plan(), tmp_path / "set", peer.url)

    tars = [f"shards/dots-00000{i}.tar" for i in range(3)]
    parts = [f"rows/00000{i}.jsonl" for i in range(3)]
    assert sorted(hashes(tmp_path / "set")) == sorted(
        [*tars, *parts, "manifest.jsonl", "plan.json", "report.json"]
    )
    found = rows(tmp_path / "set")
    assert [row["seed"] for row in found] == list(range(25))
    for row in found:
        with tarfile.open(tmp_path / "set" / row["path"]) as tar:
            picture = tar.extractfile(row["name"])
            assert picture is not None
            content = picture.read()
        assert (hashlib.sha256(content).hexdigest(), len(content)) == (
            row["sha256"],
            row["size_bytes"],
        )


def test_webdataset_reads_the_shards(peer: Peer, tmp_path: Path) -> None:
    make(plan("7,3,0-1", shard_size=3), tmp_path / "set", peer.url)

    code = """
import sys
sys.modules["torch"] = None  # it can do without, and begins sooner
import webdataset
for sample in webdataset.WebDataset(sys.argv[1:], shardshuffle=False).decode("pil"):
    print(sample["__key__"], sample["json"]["seed"], *sample["png"].size)
"""
    tars = sorted(str(path) for path in (tmp_path / "set" / "shards").iterdir())
    # In a process of its own: it leaves files open.
    read = subprocess.run([sys.executable, "-c", code, *tars], capture_output=True, check=True)

    assert read.stdout.decode().split("\n")[:-1] == [f"{s:010d} {s} 8 6" for s in (7, 3, 0, 1)]


def test_files_lie_in_folders_by_their_hash(peer: Peer, tmp_path: Path) -> None:
    make(plan(layout="files"), tmp_path / "set", peer.url)

    for row in rows(tmp_path / "set"):
        path = tmp_path / "set" / row["path"]
        folder = hashlib.sha256(f"{row['seed']:010d}".encode()).hexdigest()[:2]
        assert (path.parent.name, path.name) == (folder, row["name"])
        assert hashlib.sha256(path.read_bytes()).hexdigest() == row["sha256"]
        assert json.loads(path.with_suffix(".json").read_text("utf-8")) == row["recipe"]


def test_a_parquet_manifest_says_the_same(peer: Peer, tmp_path: Path) -> None:
    make(plan(), tmp_path / "lines", peer.url)
    make(plan(), tmp_path / "columns", peer.url, kind="parquet")

    table = pyarrow.parquet.read_table(tmp_path / "columns" / "manifest.parquet")

    for row, of in zip(table.to_pylist(), rows(tmp_path / "lines"), strict=True):
        known = {key: value for key, value in row.items() if value is not None}
        assert known | {"recipe": json.loads(known["recipe"])} == of


@pytest.mark.parametrize("layout", ["shards", "files"])
def test_a_set_that_was_left_ends_as_one_that_was_not(
    peer: Peer, tmp_path: Path, layout: str
) -> None:
    of = plan(layout=layout, ranges=(Vary.parse("psi=0.5..1"),))
    make(of, tmp_path / "whole", peer.url)

    for taken in (3, 12, 1):
        with Bulk(of, tmp_path / "left", [peer.url]) as making:
            for _, _row in zip(range(taken), making, strict=False):
                pass
    rest = make(of, tmp_path / "left", peer.url)

    assert [row.seed for row in rest] == list(range(10, 25))
    assert hashes(tmp_path / "left") == hashes(tmp_path / "whole")
    assert make(of, tmp_path / "left", peer.url) == []


def test_a_tar_without_its_rows_is_made_again(peer: Peer, tmp_path: Path) -> None:
    make(plan(), tmp_path, peer.url)
    before = hashes(tmp_path)
    (tmp_path / "rows" / "000001.jsonl").unlink()
    (tmp_path / "shards" / "dots-000001.tar").write_bytes(b"torn")

    again = make(plan(), tmp_path, peer.url)

    assert [row.seed for row in again] == list(range(10, 20))
    assert hashes(tmp_path) == before


def test_another_plan_is_refused_in_the_same_folder(peer: Peer, tmp_path: Path) -> None:
    make(plan(), tmp_path / "set", peer.url)

    with pytest.raises(InvalidRequest, match=r"set of another plan \(shard_size is 10 there and 9"):
        make(plan(shard_size=9), tmp_path / "set", peer.url)


def test_resume_goes_on_and_begins_nothing(run: Run, peer: Peer, tmp_path: Path) -> None:
    words = ["bulk", "dots", "--seeds", "0-24", "--url", peer.url, "--out", "set", "--resume"]

    refused = run(*words)
    assert refused.exit_code == 2
    assert "set holds no set to go on with" in refused.stderr
    assert not (tmp_path / "set").exists()

    run(*words[:-1])
    (tmp_path / "set" / "rows" / "000000.jsonl").unlink()
    assert "25 made now" in run(*words).stderr


def test_a_folder_with_other_files_is_left_alone(peer: Peer, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")

    with pytest.raises(OutputError, match="holds other files"):
        make(plan(), tmp_path, peer.url)

    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_two_do_not_write_to_one_folder(peer: Peer, tmp_path: Path) -> None:
    with (
        Bulk(plan(), tmp_path, [peer.url]),
        pytest.raises(OutputError, match="another process is writing"),
    ):
        make(plan(), tmp_path, peer.url)


def test_a_seed_that_fails_is_named_and_the_rest_is_made(run: Run, tmp_path: Path) -> None:
    faults = Faults(refused={7: (REFUSED, "seed 7 is cursed"), 11: (INTERNAL, "out of luck")})
    words = ["--seeds", "0-24", "--shard-size", 10, "--format", "png", "--batch", 4, "--out", "set"]

    with Peer(faults=faults) as server:
        done = run("bulk", "dots", *words, "--url", server.url)

        assert done.exit_code == 1
        assert "seed 7: seed 7 is cursed" in done.stderr
        assert f"seed 11: {server.url}: out of luck" in done.stderr
        found = rows(tmp_path / "set")
        assert [row["seed"] for row in found if "error" in row] == [7, 11]
        assert sum("sha256" in row for row in found) == 23

        faults.refused = {}
        assert run("bulk", "dots", *words, "--url", server.url).exit_code == 0
        make(plan(batch=4), tmp_path / "well", server.url)

    assert hashes(tmp_path / "set") == hashes(tmp_path / "well")


def test_a_model_that_fails_for_all_ends_the_run(tmp_path: Path) -> None:
    refused = dict.fromkeys(range(200), (REFUSED, "nothing suits"))

    with (
        Peer(faults=Faults(refused=refused)) as server,
        pytest.raises(InvalidRequest, match="nothing suits"),
    ):
        make(plan("0-199", shard_size=200), tmp_path, server.url)


def test_a_server_that_restarts_is_waited_for(tmp_path: Path) -> None:
    with Peer() as first:
        make(plan(), tmp_path / "whole", first.url)
        port = int(first.url.rsplit(":", 1)[1])
        making = Bulk(plan(), tmp_path / "set", [first.url])
        next(making)
    with making, Peer(port=port):
        rest = list(making)

    assert len(rest) == 24
    assert hashes(tmp_path / "set") == hashes(tmp_path / "whole")


def test_patience_has_an_end(tmp_path: Path) -> None:
    with Peer(faults=Faults(delay_s=lambda seed: 5.0 * (seed > 3))) as server:
        making = Bulk(plan(), tmp_path / "set", [server.url], patience_s=0.5)
        next(making)

    with making, pytest.raises(ServerUnreachable):
        list(making)


def test_a_server_that_comes_back_with_another_model_is_refused(tmp_path: Path) -> None:
    with Peer() as first:
        port = int(first.url.rsplit(":", 1)[1])
        making = Bulk(plan("0-9999"), tmp_path / "set", [first.url])
        next(making)
    with (
        making,
        Peer(card(model_hash="0ther"), port=port),
        pytest.raises(ModelChanged, match=r"has another dots|has changed its dots"),
    ):
        list(making)


def test_servers_share_the_work_by_their_speed(tmp_path: Path) -> None:
    with Peer() as quick, Peer(faults=Faults(delay_s=lambda _: 0.05)) as slow:
        with Bulk(plan("0-299"), tmp_path / "two", [slow.url, quick.url]) as making:
            list(making)
            shares = making.shares
        make(plan("0-299"), tmp_path / "one", quick.url)

    assert 0 < shares[slow.url] < shares[quick.url]
    assert hashes(tmp_path / "two") == hashes(tmp_path / "one")


def test_the_command_says_what_each_server_did(run: Run, peer: Peer) -> None:
    words = ["--seeds", "0-24", "--url", peer.url, "--url", "127.0.0.1:9"]

    done = run("bulk", "dots", *words)

    assert done.exit_code == 0, done.stderr
    assert f"{peer.url}: 25 pictures\n127.0.0.1:9: 0 pictures\n" in done.stderr


def test_a_server_that_hangs_does_not_hold_the_rest(tmp_path: Path) -> None:
    with Peer() as well, Peer(faults=Faults(delay_s=lambda _: 30.0)) as hung:
        start_s = time.monotonic()
        made = make(plan("0-99"), tmp_path, hung.url, well.url)
        passed_s = time.monotonic() - start_s

    assert [row.seed for row in made] == list(range(100))
    assert passed_s < 15


def test_a_dead_servers_share_moves_on(tmp_path: Path) -> None:
    with Peer(faults=Faults(delay_s=lambda _: 0.01)) as well, Peer() as dying:
        with Bulk(plan("0-199"), tmp_path / "two", [dying.url, well.url]) as making:
            next(making)
            dying.vanish()
            rest = list(making)
        make(plan("0-199"), tmp_path / "one", well.url)

    assert len(rest) == 199
    assert hashes(tmp_path / "two") == hashes(tmp_path / "one")


def test_nobody_there_is_said_at_once(run: Run) -> None:
    done = run("bulk", "dots", "--seeds", "0-9", "--url", "127.0.0.1:9")

    assert done.exit_code == 3


def test_ctrl_c_leaves_what_is_whole(tmp_path: Path) -> None:
    with Peer(faults=Faults(delay_s=lambda _: 0.01)) as server:
        words = ["--seeds", "0-9999", "--shard-size", "5", "--url", server.url]
        with start(COMMAND, "bulk", "dots", *words, "--out", str(tmp_path)) as program:
            server.asked(requests=30)
            program.send_signal(signal.SIGINT)
            _, said = program.communicate(timeout=20)

    assert program.returncode == 1
    assert "Aborted!" in said
    assert "Traceback" not in said
    assert not (tmp_path / "manifest.jsonl").exists()


def test_the_client_makes_sets_as_well(peer: Peer, tmp_path: Path) -> None:
    with Client(peer.url) as client, client.bulk("dots", range(5), tmp_path) as making:
        made = list(making)

    assert [row.seed for row in made] == list(range(5))
    assert [row["sha256"] for row in rows(tmp_path)] == [row.sha256 for row in made]


def test_an_event_loop_makes_the_same_set(peer: Peer, tmp_path: Path) -> None:
    async def made() -> list[int]:
        async with AsyncClient(peer.url) as client:
            return [row.seed async for row in client.bulk("dots", range(5), tmp_path / "loop")]

    assert asyncio.run(made()) == list(range(5))
    with Client(peer.url) as client, client.bulk("dots", range(5), tmp_path / "plain") as making:
        list(making)
    assert hashes(tmp_path / "loop") == hashes(tmp_path / "plain")


def test_an_event_loop_gives_up_at_once(tmp_path: Path) -> None:
    async def left() -> None:
        async with (
            AsyncClient(server.url) as client,
            client.bulk("dots", range(99), tmp_path / "set") as making,
        ):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(making), timeout=0.5)

    with Peer(faults=Faults(delay_s=lambda _: 30.0)) as server:
        start_s = time.monotonic()
        asyncio.run(left())

    assert time.monotonic() - start_s < 10
    with Peer() as server, Client(server.url) as client:
        assert len(list(client.bulk("dots", range(99), tmp_path / "set"))) == 99
