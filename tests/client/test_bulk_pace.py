"""How a bulk run keeps out of the way: others noticed, and the window that follows."""

import itertools
import threading
import time
from pathlib import Path

import pytest
from tests.client.peer import Faults, Peer
from tests.client.test_bulk import plan

from nonesuch import Client
from nonesuch.bulk import Bulk
from nonesuch.bulk.company import Company
from nonesuch.bulk.pace import MOST, Pace

SERVICE_S, WAY_S = 0.02, 0.005  # of a picture at the server, and of a request to and fro


def settled(pace: Pace, *, waiting: int) -> int:
    """The window over a server that serves one by one, with so many pictures of others there."""
    for _ in range(200):
        size = pace.pictures
        busy_s = (pace.window * size + waiting) * SERVICE_S
        # The way is gone while another is served.
        pace.answered(max(busy_s, size * SERVICE_S + WAY_S), size)
    return pace.window


def test_beside_others_nothing_of_ours_waits() -> None:
    pace = Pace()

    assert settled(pace, waiting=0) == 1
    assert settled(pace, waiting=4) == 1
    assert pace.pictures == 1


def test_alone_the_server_has_some_to_join() -> None:
    pace = Pace()
    settled(pace, waiting=0)
    pace.share(others=False)

    assert 2 <= settled(pace, waiting=0) <= 3
    assert pace.pictures == 8


@pytest.mark.parametrize(
    ("single_s", "batch", "largest", "size"),
    [
        pytest.param(0.001, None, 64, 16, id="quick ones"),
        pytest.param(0.001, None, 4, 4, id="quick ones, of which the model takes four"),
        pytest.param(0.001, None, 7, 4, id="no odd number, which cores share badly"),
        pytest.param(0.06, None, 64, 4, id="slower ones"),
        pytest.param(0.5, None, 64, 1, id="slow ones"),
        pytest.param(0.5, 3, 64, 3, id="as the plan says"),
    ],
)
def test_a_request_holds_a_server_for_a_short_time(
    single_s: float, batch: int | None, largest: int, size: int
) -> None:
    pace = Pace(batch=batch, largest=largest)
    pace.answered(single_s, 1)
    pace.share(others=False)

    assert pace.pictures == size


def test_a_slow_first_answer_does_not_keep_requests_small() -> None:
    pace = Pace(largest=64)
    pace.share(others=False)
    pace.answered(0.1, 1)  # of a server that has to wake up
    assert pace.pictures == 2

    pace.answered(0.03, 2)

    assert pace.pictures == 16


def test_a_window_grows_no_further_than_allowed() -> None:
    pace = Pace()
    pace.share(others=False)
    for _ in range(500):
        pace.answered(0.1, 1)  # a server that never gets slower

    assert pace.window == MOST


def test_others_shrink_the_window_at_once() -> None:
    pace = Pace()
    pace.share(others=False)
    for _ in range(50):
        pace.answered(0.1, 1)

    pace.share(others=True)

    assert (pace.window, pace.pictures) == (1, 1)


def test_a_window_bounds_what_is_under_way() -> None:
    pace, inside, most = Pace(), itertools.count(), [0]
    now = threading.Semaphore(0)

    def enter() -> None:
        with pace:
            most[0] = max(most[0], next(inside) + 1)
            now.acquire()

    threads = [threading.Thread(target=enter) for _ in range(3)]
    for thread in threads:
        thread.start()
    time.sleep(0.1)
    assert most[0] == 1
    for _ in threads:
        now.release()
    for thread in threads:
        thread.join()


def asked(company: Company, requests: int) -> None:
    for _ in range(requests):
        company.ask()


def answered(company: Company, requests: int) -> None:
    for _ in range(requests):
        company.answer()


def test_our_own_requests_are_no_company() -> None:
    company = Company()
    asked(company, 8)

    assert not company.look(100)  # some of ours may be among these, or none
    asked(company, 4)
    answered(company, 12)
    assert not company.look(112)
    assert company.look(113)


def test_a_request_that_failed_hides_nobody() -> None:
    company = Company()
    assert not company.look(100)
    asked(company, 1)
    company.failed()

    assert company.look(101)


def test_a_server_that_begins_to_count_anew_has_no_company() -> None:
    company = Company()
    asked(company, 10)
    answered(company, 10)
    assert not company.look(5000)
    asked(company, 10)

    assert not company.look(10)
    assert not company.look(20)
    assert company.look(21)


@pytest.mark.parametrize("others", [False, True])
def test_a_run_holds_back_while_others_ask(tmp_path: Path, others: bool) -> None:
    serving = threading.Lock()

    def one_by_one(_: int) -> float:
        with serving:
            time.sleep(0.01)
        return 0.0

    begin_s, before = time.monotonic() + 1.5, 0  # by then the others were noticed
    with (
        Peer(faults=Faults(delay_s=one_by_one)) as server,
        Client(server.url) as client,
        Bulk(plan("0-9999", shard_size=5000), tmp_path, [server.url]) as making,
    ):
        for _ in making:
            if others:
                list(client.generate("dots", [7]))
            if time.monotonic() < begin_s:
                before = len(server.seeds)
            if time.monotonic() > begin_s + 1:
                break
        sizes = [len(seeds) for seeds in server.seeds[before:]]

    assert (max(sizes) == 1) == others
