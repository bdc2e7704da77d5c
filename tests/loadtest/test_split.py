"""Where the server's time goes: the split of a run, from Triton's statistics before and after."""

from typing import Any

import pytest
from tests.conftest import ServedGolden
from tritonclient.grpc import service_pb2

from nonesuch_loadtest import triton
from nonesuch_server import Embedded

PARTS = ("faces_sampler", "faces_generator", "faces_encoder")


def _statistics(requests: int, **spent_ms: tuple[float, float]) -> dict[str, Any]:
    """So many requests for each model, and what each took: whole, and in compute."""
    found = {}
    for name, (whole_ms, compute_ms) in spent_ms.items():
        stat = service_pb2.ModelStatistics(name=name, execution_count=requests)
        for kind, ms in {"success": whole_ms, "compute_infer": compute_ms}.items():
            duration = getattr(stat.inference_stats, kind)
            duration.count, duration.ns = requests, round(1e6 * ms * requests)
        found[name] = stat
    return found


STEPS = {"faces_sampler": (1.0, 1.0), "faces_generator": (2.0, 2.0), "faces_encoder": (3.0, 3.0)}


@pytest.mark.parametrize(
    ("late", "told_ms"),
    [
        pytest.param((), [1, 2, 3], id="all is counted"),
        pytest.param(("faces_generator",), [1, 16, 3], id="one answers late"),
        pytest.param(("cats_generator",), [1, 2, 3], id="another model's"),
        pytest.param(("faces_generator", "faces_encoder"), [1, 2, 3], id="nobody knows whose"),
    ],
)
def test_time_that_no_step_accounts_for_is_the_late_ones(
    late: tuple[str, ...], told_ms: list[float]
) -> None:
    before = _statistics(10, faces=(20.0, 0.0), **STEPS)
    after = _statistics(20, faces=(20.0, 0.0), **STEPS)

    found = triton.split("faces", PARTS, before, after, late)

    assert [100 * step.infer_s for step in found.steps] == pytest.approx(told_ms)
    assert found.requests == 10
    assert found.server_s == pytest.approx(0.2)


def test_more_than_the_whole_is_taken_from_nobody() -> None:
    after = _statistics(1, faces=(4.0, 0.0), **STEPS)

    found = triton.split("faces", PARTS, {}, after, ("faces_generator",))

    assert [1000 * step.infer_s for step in found.steps] == pytest.approx([1, 2, 3])


@pytest.mark.triton
def test_the_embedded_servers_engines_are_late(served: ServedGolden) -> None:
    late = {"faces_generator", "vino_generator"}
    assert triton.late(served.url, ["faces", "vino"]) == late


@pytest.mark.triton
def test_python_models_are_not(timed: Embedded) -> None:
    assert triton.late(timed.listen.grpc, ["quick"]) == frozenset()
