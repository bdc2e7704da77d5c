"""Everything that a page about a served model shows, in less than five minutes."""

from collections.abc import Generator
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event

from nonesuch_loadtest import hardware
from nonesuch_loadtest.bare import Engine
from nonesuch_loadtest.point import Observed
from nonesuch_loadtest.progress import Progress
from nonesuch_loadtest.ratio import take_turns
from nonesuch_loadtest.result import Hardware, Result
from nonesuch_loadtest.run import Plan, run
from nonesuch_loadtest.scenario import Request, Scenario
from nonesuch_loadtest.served import Served

CONCURRENCIES = (1, 2, 4, 8, 16)
LOADS = (0.2, 0.4, 0.6, 0.8, 0.95)  # of what the closed run reached
_BURST_S = 4.0  # that a burst of `offline` takes, about


@dataclass(frozen=True, kw_only=True, slots=True)
class Suite:
    """A model behind a server, and the same model in a repository on this machine."""

    model: str
    url: str
    repository: Path
    command: str
    window_s: float = 4.0
    windows: int = 3
    # Before it: afterwards the machine is busy with this.
    machine: Hardware = field(default_factory=hardware.hardware)
    stop: Event = field(default_factory=Event)


def bench(suite: Suite) -> Generator[Progress, None, dict[str, Result]]:
    """Measure by every scenario, those that are not cut short by `stop`; results by file name."""
    found: dict[str, Result] = {}
    kept = Scenario(window_s=suite.window_s, windows=suite.windows, concurrency=16)
    pair = yield from take_turns(_bare(suite, kept), _plan(suite, kept, "at saturation"))
    found |= {"bare": pair.bare, "served": pair.served}
    if suite.stop.is_set():
        return found
    ramp = replace(kept, kind="ramp", concurrency=None, concurrencies=CONCURRENCIES)
    top_hz = pair.served.ceiling_hz  # of the same requests
    found["closed"] = yield from run(_plan(suite, ramp, "closed", top_hz))
    if suite.stop.is_set():
        return found
    most_hz = max(point.total.requests_hz for point in found["closed"].points)
    rates = tuple(round(load * most_hz, 1) for load in LOADS)
    for name, scenario in {
        "single-stream": replace(kept, kind="single-stream", concurrency=None),
        "server": replace(ramp, concurrencies=(), rates_hz=rates),
        "offline": replace(
            kept, kind="offline", concurrency=None, count=max(1, round(_BURST_S * most_hz))
        ),
    }.items():
        if suite.stop.is_set():
            break
        found[name] = yield from run(_plan(suite, scenario, name, top_hz))
    return found


def _plan(suite: Suite, scenario: Scenario, name: str, top_hz: float | None = None) -> Plan:
    return Plan(
        scenario=replace(scenario, requests=(Request(model=suite.model),)),
        spec=Served.find(suite.url, [suite.model]),
        name=f"{suite.model}, {name}",
        command=suite.command,
        observed=Observed.server(suite.url, [suite.model]),
        ceiling_hz=top_hz,
        machine=suite.machine,
        stop=suite.stop,
    )


def _bare(suite: Suite, scenario: Scenario) -> Plan:
    alone = replace(scenario, concurrency=1, requests=(Request(model=suite.model, format="raw"),))
    return Plan(
        scenario=alone,
        spec=Engine.find(suite.repository, suite.model),
        name=f"{suite.model}, bare engine",
        command=suite.command,
        stop=suite.stop,
    )
