"""Half an hour at half load: the driver's memory stays what it was."""

from dataclasses import replace

import pytest
from tests.conftest import ServedGolden
from tests.loadtest.conftest import finish

from nonesuch_loadtest.point import Observed
from nonesuch_loadtest.run import Plan
from nonesuch_loadtest.scenario import Request, Scenario
from nonesuch_loadtest.served import Served

SETTLED_S = 60.0  # until the allocators of Python and gRPC have what they need


@pytest.mark.slow
@pytest.mark.triton
def test_the_drivers_memory_stays_flat_for_half_an_hour(served: ServedGolden) -> None:
    closed = Scenario(concurrency=4, windows=1, requests=(Request(model="faces"),))
    plan = Plan(
        scenario=closed,
        spec=Served.find(served.url, ["faces"]),
        name="faces",
        command="",
        observed=Observed.server(served.url, ["faces"], served.pid),
        force=True,
    )
    most_hz = finish(plan).points[0].total.requests_hz
    half = replace(
        closed, kind="server", concurrency=None, rate_hz=most_hz / 2, window_s=60, windows=30
    )

    (point,) = finish(replace(plan, scenario=half)).points

    sizes = [r.driver_bytes for r in point.resources if r.at_s > SETTLED_S]
    middle = sorted(sizes)[len(sizes) // 2]
    assert len(sizes) > 100
    assert min(sizes) > 0.95 * middle
    assert max(sizes) < 1.05 * middle
    assert point.total.failures == 0
