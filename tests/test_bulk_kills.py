"""A set that is broken off at random moments ends as one that is not, byte for byte."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest
from tests.client.shell import COMMAND, start
from tests.client.test_bulk import hashes

from nonesuch_server.embedded import Embedded
from nonesuch_server.listen import Listen
from nonesuch_server.runtime import Runtime

pytestmark = pytest.mark.triton

ROOT = Path(__file__).parents[1]
FEW, MANY = 120, 800  # seeds: the latter are more than ten kills leave time for
SHARD = 20
LIMIT_BYTES = 60_000  # about half a shard


@dataclass
class Workshop:
    """A server, a set that is being made from it, and what can go wrong."""

    server: Embedded
    out: Path
    seeds: int = FEW
    chance: Random = field(default_factory=lambda: Random(5))
    cut_short: int = 0  # runs that were at work when they were killed, or when the disk was full
    small: bool = False  # whether `out` is a file system of its own, which can be made small

    @property
    def words(self) -> list[str]:
        size = ["--seeds", f"0-{self.seeds - 1}", "--shard-size", str(SHARD)]
        varied = ["--vary", "psi=0.5..1", "--url", self.server.listen.grpc]
        return ["bulk", "portraits", *size, *varied]

    def begun(self, code: str = COMMAND) -> "subprocess.Popen[str]":
        """Start the command and wait until it makes pictures, or is done."""
        program = start(code, *self.words, "--out", str(self.out))
        before = self._written()
        while program.poll() is None and self._written() == before:
            time.sleep(0.01)
        return program

    def killed(self) -> None:
        """Kill the process some time after its first picture."""
        with self.begun() as program:
            time.sleep(self.chance.uniform(0, 0.4))
            self.cut_short += program.poll() is None
            program.kill()

    def server_killed(self) -> None:
        """Kill the server in the middle of the work, and start another; the process goes on."""
        with self.begun() as program:
            time.sleep(self.chance.uniform(0, 0.3))
            self.cut_short += program.poll() is None
            os.kill(self.server.pid, signal.SIGKILL)
            self.server.stop()
            self.server.start()
            time.sleep(self.chance.uniform(0, 0.3))
            program.kill()

    def full(self) -> None:
        """Let the disk be full in the middle of the work; where it is not ours, a file."""
        code = COMMAND
        if self.small:
            self._resize(self._written() + LIMIT_BYTES)
        else:
            sizes = (LIMIT_BYTES, LIMIT_BYTES)
            code = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, {sizes}); {code}"
        with start(code, *self.words, "--out", str(self.out)) as program:
            _, said = program.communicate(timeout=60)
        assert program.returncode == 1, said
        assert "cannot write" in said
        self.cut_short += 1
        assert not [*(self.out / ".aside").glob("*")]
        if self.small:
            self._resize(2**26)

    def finished(self) -> dict[str, str]:
        """Let it end; returns the hashes of all files."""
        with start(COMMAND, *self.words, "--out", str(self.out)) as program:
            _, said = program.communicate(timeout=120)
        assert program.returncode == 0, said
        return hashes(self.out)

    def _resize(self, size_bytes: int) -> None:
        options = f"remount,size={size_bytes}"
        subprocess.run(["mount", "-o", options, str(self.out)], check=True)

    def _written(self) -> int:
        """Bytes of shards, whole or not."""
        try:
            return sum(path.stat().st_size for path in self.out.rglob("*"))
        except FileNotFoundError:  # renamed meanwhile
            return self._written()


@pytest.fixture(scope="module")
def server(runtime: Runtime) -> Iterator[Embedded]:
    # Chosen here, so that a restart comes on the same ports.
    ports = Listen(grpc_port=0, http_port=0, metrics_port=0).settled()
    with Embedded(ROOT / "model_repository", runtime, ports, timeout_s=300) as running:
        yield running


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[tuple[Path, bool]]:
    """A folder, and whether it is a small file system, which only root may make."""
    mounted = not subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(tmp_path)], check=False
    ).returncode
    yield tmp_path, mounted
    if mounted:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_three_kills_leave_no_trace(server: Embedded, tmp_path: Path) -> None:
    whole = Workshop(server, tmp_path / "whole").finished()
    shop = Workshop(server, tmp_path / "killed")
    shop.full()
    shop.killed()
    shop.server_killed()

    assert shop.finished() == whole


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_fifty_kills_leave_no_trace(
    server: Embedded,
    tmp_path_factory: pytest.TempPathFactory,
    disk: tuple[Path, bool],
    seed: int,
) -> None:
    """Ten kills in each of five sets: a set does not live for fifty."""
    whole = Workshop(server, tmp_path_factory.mktemp("whole"), MANY).finished()
    shop = Workshop(server, disk[0], MANY, Random(seed), small=disk[1])
    ways: list[Callable[[], None]] = [shop.killed] * 5 + [shop.full] * 2 + [shop.server_killed] * 3
    shop.chance.shuffle(ways)
    for way in ways:
        way()

    assert shop.cut_short == len(ways)
    assert shop.finished() == whole
