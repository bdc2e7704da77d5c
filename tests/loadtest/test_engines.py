"""The time that requests spend in an engine's own line, in the split of a run."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest
from tritonclient.grpc import service_pb2

from nonesuch.errors import ServerError
from nonesuch_loadtest import triton
from nonesuch_loadtest.engines import Engine, engines
from nonesuch_loadtest.triton import Statistics

PAGE = b"""# HELP nv_inference_count Number of inferences performed
# TYPE nv_inference_count counter
nv_inference_count{model="faces_generator",version="1"} 7
# TYPE nonesuch_engine_requests_total counter
nonesuch_engine_requests_total{model="faces_generator",version="1"} 3
nonesuch_engine_requests_total{model="faces_generator",version="2"} 4
nonesuch_engine_requests_total{model="cats_generator",version="1"} 0
# TYPE nonesuch_engine_wait_seconds_total counter
nonesuch_engine_wait_seconds_total{model="faces_generator",version="1"} 0.5
nonesuch_engine_wait_seconds_total{model="faces_generator",version="2"} 1.5
# TYPE nonesuch_engine_run_seconds_total counter
nonesuch_engine_run_seconds_total{model="faces_generator",version="1"} 1e-3
"""


class Page(BaseHTTPRequestHandler):
    """The page of metrics, where it should be."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/metrics" else 404)
        self.end_headers()
        self.wfile.write(PAGE)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Page) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_the_versions_of_a_model_count_together(url: str) -> None:
    assert engines(url) == {
        "faces_generator": Engine(requests=7, wait_s=2, run_s=1e-3),
        "cats_generator": Engine(),
    }


@pytest.mark.parametrize("nowhere", ["{url}/elsewhere", "127.0.0.1:9", "", "local host:1"])
def test_a_page_that_is_not_there_is_named(url: str, nowhere: str) -> None:
    asked = nowhere.format(url=url)
    with pytest.raises(ServerError, match=f"no page of metrics at http://{asked}/metrics"):
        engines(asked)


def _statistics(requests: int, engine: Engine | None) -> Statistics:
    """As of a generator whose requests took 5 ms in the queue, then 2 ms until they had joined."""
    stat = service_pb2.ModelStatistics(name="faces_generator", execution_count=requests)
    for name, ms in {"success": 8, "queue": 5, "compute_infer": 2, "compute_output": 1}.items():
        duration = getattr(stat.inference_stats, name)
        duration.count, duration.ns = requests, 1_000_000 * ms * requests
    found = {} if engine is None else {"faces_generator": engine}
    return Statistics(models={"faces_generator": stat}, engines=found)


def test_time_in_the_line_is_told_apart_from_the_run() -> None:
    before = _statistics(100, Engine(requests=90, wait_s=1, run_s=2))
    after = _statistics(300, Engine(requests=190, wait_s=4, run_s=9))  # half of them have been told

    (step,) = triton.split("faces", ["faces_generator"], before, after).steps

    each = [1e3 * s / 200 for s in (step.queue_s, step.infer_s, step.output_s)]
    assert each == pytest.approx([5 + 30, 70, 0])


@pytest.mark.parametrize(
    ("first", "last"),
    [
        pytest.param(None, None, id="a production server"),
        pytest.param(Engine(requests=5, wait_s=1, run_s=1), None, id="the page went away"),
        pytest.param(Engine(requests=5), Engine(requests=3), id="another server began"),
        pytest.param(Engine(requests=5), Engine(requests=5), id="nothing told"),
    ],
)
def test_without_the_line_tritons_statistics_stand(
    first: Engine | None, last: Engine | None
) -> None:
    split = triton.split("f", ["faces_generator"], _statistics(0, first), _statistics(200, last))

    (step,) = split.steps
    each = [1e3 * s / 200 for s in (step.queue_s, step.infer_s, step.output_s)]
    assert each == pytest.approx([5, 2, 1])
