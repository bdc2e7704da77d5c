"""`nonesuch web` before servers that are slow, full or gone; clients that leave or ask a lot."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import grpc
import pytest
from tests.client.browse import Web, web
from tests.client.peer import Faults, Peer, card
from tests.client.shell import COMMAND, Run, python

IMAGE = "/v1/models/dots/image?seed="
SLOW_S = 0.2
IN_FLIGHT = 4  # unless told otherwise


def eventually(holds: Callable[[], bool], within_s: float = 10.0) -> None:
    end_s = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < end_s
        time.sleep(0.02)


def _delay_s(seed: int) -> float:
    return 5.0 if seed >= 2000 else SLOW_S if seed >= 1000 else 0.0


@pytest.fixture(scope="module")
def faulty() -> Iterator[Web]:
    """Before a peer that is slow for seeds from 1000 on, and fails for some others.

    From 2000 on it is so slow that nobody's turn comes.
    """
    refused = {
        1: (grpc.StatusCode.INVALID_ARGUMENT, "in ensemble 'dots', seed 1 is unlucky"),
        2: (grpc.StatusCode.UNAVAILABLE, "Exceeds maximum queue size"),
        3: (grpc.StatusCode.INTERNAL, "out of paint"),
        4: (grpc.StatusCode.DEADLINE_EXCEEDED, "too late"),
    }
    faults = Faults(delay_s=_delay_s, refused=refused)
    with Peer(faults=faults) as peer, web(peer.url, "--client-rate", "100000") as running:
        yield running


@pytest.mark.parametrize(
    ("seed", "status", "said"),
    [
        pytest.param(1, 400, "seed 1 is unlucky", id="refused"),
        pytest.param(2, 503, "Exceeds maximum queue size", id="full"),
        pytest.param(3, 502, "out of paint", id="failed inside"),
        pytest.param(4, 504, "no answer within 60 s", id="late"),
    ],
)
def test_the_servers_errors_are_problems_in_our_sentences(
    faulty: Web, seed: int, status: int, said: str
) -> None:
    answer = faulty.get(f"{IMAGE}{seed}")

    assert (answer.status, answer.json["status"]) == (status, status)
    assert answer.headers["content-type"] == "application/problem+json"
    assert said in answer.json["detail"]
    assert ("retry-after" in answer.headers) == (status == 503)


def books(web: Web) -> dict[str, float]:
    """What became of the requests for pictures, and what was drawn."""
    return {
        "answered": web.answers(200),
        "left": web.answers(499),
        "unseen": web.figure("unseen_total"),
        "drawn": web.figure("pictures_total"),
    }


def test_pages_that_are_left_leave_no_work_behind(faulty: Web) -> None:
    """A hundred reloads at fifty a second, at a server that draws twenty."""
    before, held_up = books(faulty), 0
    start_s = due_s = time.monotonic()
    for seed in range(1000, 1100):
        sent_s = time.monotonic()
        faulty.send(f"{IMAGE}{seed}").close()
        held_up += time.monotonic() - sent_s > SLOW_S
        due_s += 0.02
        time.sleep(max(0.0, due_s - time.monotonic()))
    asked = faulty.figure("pictures_total")

    answer = faulty.get(f"{IMAGE}1100")

    ahead = faulty.figure("pictures_total") - asked - 1
    eventually(lambda: faulty.figure("waiting") + faulty.figure("under_way") == 0)
    spent_s = time.monotonic() - start_s
    now = {name: figure - before[name] for name, figure in books(faulty).items()}
    assert answer.status == 200
    assert now["left"] + now["answered"] == 101
    # Who gets a picture was there for as long as it took: this test was kept from leaving.
    assert now["answered"] <= 1 + held_up
    assert now["drawn"] == now["answered"] + now["unseen"]
    assert now["unseen"] <= IN_FLIGHT * (1 + spent_s / SLOW_S)  # what Triton can have taken on
    assert ahead <= 2 * IN_FLIGHT  # those that Triton had, and those before their leaving was seen


def test_a_client_that_leaves_amid_its_body_has_left(faulty: Web) -> None:
    rest = "Content-Type: application/json\r\nContent-Length: 99\r\n"

    faulty.send("/v1/models/dots/images", "POST", rest).close()

    eventually(lambda: faulty.answers(499, "images") == 1)


def test_more_than_may_wait_is_sent_away_with_a_time_to_come_back(faulty: Web) -> None:
    with ExitStack() as lines:
        asked = [
            lines.enter_context(faulty.send(f"{IMAGE}{seed}"))
            for seed in range(2000, 2000 + IN_FLIGHT + 256 + 32)
        ]
        eventually(lambda: faulty.answers(503) > 0)
        found = [faulty.received(line, within_s=0.01) for line in reversed(asked)]

    answer = next(filter(None, found))
    assert answer.status == 503
    assert "are waiting already, try again later" in answer.json["detail"]
    assert answer.headers["retry-after"] == "2"
    eventually(lambda: faulty.figure("waiting") == 0)


def test_a_film_that_is_left_is_drawn_no_further() -> None:
    with Peer(faults=Faults(delay_s=lambda _: SLOW_S)) as peer, web(peer.url) as running:
        line = running.send("/v1/models/dots/morph.mp4?seeds=1,2&frames=200")
        peer.busy(requests=1)
        line.close()
        eventually(lambda: running.answers(499, "film") == 1)
        time.sleep(3 * SLOW_S)

    assert len(peer.requests) <= 2


def test_a_server_that_is_gone_is_told_and_one_that_comes_back_is_used() -> None:
    with Peer() as peer, web(peer.url) as running:
        assert running.get(f"{IMAGE}5").status == 200
        peer.vanish()
        gone = running.get(f"{IMAGE}6")
        health = running.get("/healthz")
        with Peer(port=int(peer.url.rpartition(":")[2])):
            eventually(lambda: running.get(f"{IMAGE}6").status == 200)

    assert (gone.status, gone.json["error"]) == (503, "ServerUnreachable")
    assert gone.headers["retry-after"] == "2"
    assert health.status in {200, 503}  # what it knows is a few seconds old


def test_a_model_that_is_exchanged_is_noticed() -> None:
    with Peer() as peer, web(peer.url) as running:
        before = running.get("/v1/models/dots")
        peer.cards["dots"] = card(model_hash="0ther")
        eventually(lambda: running.get("/v1/models/dots").json["model_hash"] == "0ther")
        after = running.get("/v1/models/dots", if_none_match=before.headers["etag"])

    assert after.status == 200


def test_a_client_may_have_so_many_pictures_and_no_more(peer: Peer) -> None:
    with web(peer.url, "--client-rate", "1.5") as running:
        answers = [running.get(f"{IMAGE}{seed}") for seed in range(20)]

    statuses = [answer.status for answer in answers]
    assert statuses[:6] == [200] * 6  # four seconds' worth
    refused = answers[statuses.index(429)]
    assert "more than 1.5 pictures a second" in refused.json["detail"]
    assert int(refused.headers["retry-after"]) >= 1


def test_what_a_client_has_already_is_not_drawn_again(peer: Peer) -> None:
    with web(peer.url) as running:
        first = running.get(f"{IMAGE}7&psi=0.5")
        asked = len(peer.requests)
        again = running.get(f"{IMAGE}7&psi=0.5", if_none_match=first.headers["etag"])
        other = running.get(f"{IMAGE}7&psi=0.6", if_none_match=first.headers["etag"])

    assert (again.status, again.body) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert other.status == 200
    assert len(peer.requests) == asked + 1


def test_a_port_that_is_taken_ends_the_command_in_one_line(run: Run, peer: Peer) -> None:
    port = peer.url.rpartition(":")[2]

    result = run("web", "--url", peer.url, "--port", port)

    assert result.exit_code == 3
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in result.stderr


def test_without_the_extra_the_command_says_what_to_install() -> None:
    done = python(f"import sys; sys.modules['starlette'] = None; {COMMAND}", "web")

    assert done.returncode == 3
    assert "pip install 'nonesuch[web]'" in done.stderr
