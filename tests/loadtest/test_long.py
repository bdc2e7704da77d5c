"""Half an hour at half load: the driver's memory stays what it was."""

import json
import statistics
import subprocess
import sys

import pytest
from tests.loadtest.conftest import finish, plan

from nonesuch_loadtest import record
from nonesuch_loadtest.result import Result
from nonesuch_loadtest.scenario import Scenario
from nonesuch_server import Embedded

MINUTES = 30
SETTLED_S = 60.0  # until the allocators of Python and gRPC have what they need


@pytest.mark.slow
@pytest.mark.triton
def test_the_drivers_memory_stays_flat_for_half_an_hour(timed: Embedded) -> None:
    closed = Scenario(concurrency=4, window_s=5, windows=1)
    most_hz = finish(plan(timed, closed, "light")).points[0].total.requests_hz
    words = ["run", "light", "--url", timed.listen.grpc, "--json", "--force"]
    words += ["--scenario", "server", "--rate-hz", f"{most_hz / 2:.2f}"]
    words += ["--window-s", "60", "--windows", str(MINUTES)]

    # A process of its own, as a user's: this one's memory is mostly torch.
    command = [sys.executable, "-m", "nonesuch_loadtest.cli", *words]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)

    (point,) = record.load(Result, json.loads(done.stdout)).points
    measured = [r for r in point.resources if SETTLED_S < r.at_s < 60 * MINUTES]
    sizes = [r.driver_bytes for r in measured]
    middle = statistics.median(sizes)
    spread = (min(sizes) / middle - 1, max(sizes) / middle - 1)
    assert len(sizes) > 100
    assert -0.05 < spread[0] <= spread[1] < 0.05
    assert point.total.failures == 0
