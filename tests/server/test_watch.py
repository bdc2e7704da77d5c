"""The watch over a server's stubs: who has died, and who was ended on purpose."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tritonclient.grpc import InferenceServerClient

from nonesuch_server import Embedded, Listen, Runtime
from nonesuch_server.watch import Watch, stubs

pytestmark = pytest.mark.triton


@pytest.fixture
def server(
    repository: Callable[..., Path], runtime: Runtime, anywhere: Listen
) -> Iterator[Embedded]:
    with Embedded(repository("plus", "twice", "both"), runtime, anywhere) as running:
        yield running


def _fallen(watch: Watch, while_s: float, pause_s: float = 0.02) -> list[str]:
    """Every model that the watch names in the time given."""
    found, end_s = [], time.monotonic() + while_s
    while time.monotonic() < end_s:
        found += watch.fallen()
        time.sleep(pause_s)
    return found


def test_every_model_with_a_process_has_a_stub(server: Embedded) -> None:
    assert sorted(stubs(server.pid).values()) == ["plus", "twice"]


def test_a_killed_stub_is_told_once_and_healed_for_good(server: Embedded) -> None:
    watch = Watch(server.pid, server.listen.grpc)
    for pid in stubs(server.pid):
        os.kill(pid, signal.SIGKILL)

    # The two die one after the other, and a look may fall between them.
    assert sorted(_fallen(watch, 1.5)) == ["plus", "twice"]
    watch.heal("plus")
    watch.heal("twice")
    assert _fallen(watch, 1.5) == []
    assert sorted(stubs(server.pid).values()) == ["plus", "twice"]


def test_a_model_that_was_unloaded_or_changed_on_purpose_has_not_fallen(server: Embedded) -> None:
    watch = Watch(server.pid, server.listen.grpc)
    with InferenceServerClient(server.listen.grpc) as client, ThreadPoolExecutor(1) as pool:
        # What Triton ends is there for some milliseconds more, as if it had died.
        found = pool.submit(_fallen, watch, 5.0, pause_s=0.0)
        client.unload_model("twice")
        for _ in range(6):
            os.utime(server.repository / "plus/1/model.py")
            client.load_model("plus")  # beside the old one, which is ended afterwards

    assert found.result() == []
    assert list(stubs(server.pid).values()) == ["plus"]


def test_a_server_that_has_ended_has_no_stubs_and_no_fallen_model(server: Embedded) -> None:
    watch = Watch(server.pid, server.listen.grpc)
    os.kill(server.pid, signal.SIGKILL)

    assert _fallen(watch, 1.5) == []
    assert stubs(server.pid) == {}
