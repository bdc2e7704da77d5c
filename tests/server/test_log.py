"""What is read out of Triton's log."""

import pytest

from nonesuch_server import log

PINNED = (
    'W1122 01:00:15.900103 16522 pinned_memory_manager.cc:170] "failed to allocate pinned system '
    'memory: no pinned memory pool, falling back to non-pinned system memory"'
)
DRIVER = 'E1122 01:00:13.249214 16522 server.cc:241] "CudaDriverHelper has not been initialized."'
LOADED = "I1122 01:00:15.737081 16522 model_lifecycle.cc:839] \"successfully loaded 'plus'\""
FAILED = 'E1122 01:00:16.000001 16522 server.cc:99] "Internal: the disk is full"'


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        pytest.param([DRIVER, LOADED, PINNED], "successfully loaded 'plus'", id="nothing"),
        pytest.param([DRIVER, PINNED.replace("W", "E", 1)], "nothing", id="as an error"),
        pytest.param([FAILED, LOADED, PINNED], "the disk is full", id="an error before"),
    ],
)
def test_what_every_machine_without_a_gpu_says_is_no_cause(lines: list[str], said: str) -> None:
    ending = log.ending("\n".join(lines))

    assert said in ending
    assert "pinned" not in ending
