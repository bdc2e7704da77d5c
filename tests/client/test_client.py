"""Both clients against a real server on loopback, which may be slow, rude, wrong or gone."""

import asyncio
import json
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

import grpc
import pytest
from tests.client.peer import Faults, Peer, card, draw

from nonesuch import AsyncClient, Client
from nonesuch.errors import (
    DeadlineExceeded,
    InvalidRequest,
    ModelNotFound,
    NonesuchError,
    RemoteError,
    ServerUnreachable,
)
from nonesuch.images import Picture
from nonesuch.options import Format, Mix, Noise, Truncation

PNG = Format(name="png")
NOBODY = "127.0.0.1:1"  # a port on which nothing listens


class Held(Peer):
    """Answers the request with seed 0 once four are under way, and the others far too late."""

    def __init__(self, **refused: Any) -> None:
        super().__init__(faults=Faults(delay_s=self._delay_s, **refused))

    def _delay_s(self, seed: int) -> float:
        if seed != 0:
            return 8.0
        self.busy(requests=4)
        return 0.0


class Generate(Protocol):
    """Generate with either client: all pictures, or so many and then leave."""

    def __call__(
        self, url: str, seeds: range, *, take: int | None = None, **settings: Any
    ) -> list[Picture]: ...


def blocking(url: str, seeds: range, *, take: int | None = None, **settings: Any) -> list[Picture]:
    connection = {key: settings.pop(key) for key in ("timeout_s", "in_flight") & settings.keys()}
    with (
        Client(url, **connection) as client,
        client.generate(settings.pop("model", "dots"), seeds, **settings) as pictures,
    ):
        assert len(pictures) == len(seeds)
        return [picture for picture, _ in zip(pictures, seeds[:take], strict=False)]


def awaiting(url: str, seeds: range, *, take: int | None = None, **settings: Any) -> list[Picture]:
    connection = {key: settings.pop(key) for key in ("timeout_s", "in_flight") & settings.keys()}

    async def run() -> list[Picture]:
        async with (
            AsyncClient(url, **connection) as client,
            client.generate(settings.pop("model", "dots"), seeds, **settings) as pictures,
        ):
            assert len(pictures) == len(seeds)
            found = [await anext(pictures) for _ in seeds[:take]]
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return found

    return asyncio.run(run(), debug=True)


@pytest.fixture(params=[blocking, awaiting], ids=["sync", "async"])
def generate(request: pytest.FixtureRequest) -> Generate:
    chosen: Generate = request.param
    return chosen


@pytest.mark.parametrize("name", ["png", "raw"])
def test_pictures_come_back_as_they_were_drawn(generate: Generate, peer: Peer, name: Any) -> None:
    pictures = generate(peer.url, range(10), format=Format(name=name))

    assert [picture.seed for picture in pictures] == list(range(10))
    for picture in pictures:
        assert (picture.array() == draw(picture.seed, card())).all()
        assert picture.recipe["model_hash"] == "5eed"


def test_all_settings_arrive(generate: Generate, peer: Peer) -> None:
    (picture,) = generate(
        peer.url,
        range(1),
        truncation=Truncation(psi=0.5, cutoff=2),
        mix=Mix(seed=9, crossover=2),
        noise=Noise(mode="random", seed=8, scale=0.5),
        format=Format(name="webp", quality=50),
    )

    assert picture.recipe == {
        "model": "dots",
        "model_hash": "5eed",
        "seed": 0,
        "psi": 0.5,
        "cutoff": 2,
        "mix_seed": 9,
        "mix": [0, 0, 1, 1],
        "noise_seed": 8,
        "noise_scale": 0.5,
        "format": "webp",
        "quality": 50,
    }


def test_the_order_holds_when_later_answers_come_first(generate: Generate) -> None:
    faults = Faults(delay_s=lambda seed: 0.2 if seed == 0 else 0.0)
    with Peer(faults=faults) as peer:
        pictures = generate(peer.url, range(40))

    assert [picture.seed for picture in pictures] == list(range(40))


@pytest.mark.parametrize("in_flight", [1, 3])
def test_no_more_requests_are_under_way_than_allowed(generate: Generate, in_flight: int) -> None:
    with Peer(faults=Faults(delay_s=lambda _seed: 0.02)) as peer:
        generate(peer.url, range(40), in_flight=in_flight)

    assert peer.most_in_flight == in_flight
    assert max(map(len, peer.seeds)) == card().max_batch


def test_no_seeds_give_no_pictures(generate: Generate, peer: Peer) -> None:
    assert generate(peer.url, range(0)) == []


def test_a_late_answer_is_an_error_that_names_the_time(generate: Generate) -> None:
    with (
        Peer(faults=Faults(delay_s=lambda seed: 5.0 if seed > 10 else 0.0)) as peer,
        pytest.raises(DeadlineExceeded, match=f"{peer.url}: no answer within 0.5 s"),
    ):
        generate(peer.url, range(20), timeout_s=0.5)


def test_a_server_that_goes_away_in_the_middle_is_an_error(generate: Generate) -> None:
    with Peer(faults=Faults(delay_s=lambda seed: 5.0 if seed > 10 else 0.0)) as peer:
        threading.Timer(0.3, peer.vanish).start()

        with pytest.raises(ServerUnreachable, match=peer.url):
            generate(peer.url, range(20))


def test_leaving_early_cancels_what_is_under_way(generate: Generate) -> None:
    with Held() as peer:
        pictures = generate(peer.url, range(40), take=1)
        peer.settled()

    assert [picture.seed for picture in pictures] == [0]
    assert peer.cancelled >= 3
    assert len(peer.requests) <= 5


def test_a_failure_cancels_what_is_under_way(generate: Generate) -> None:
    with Held(refused={0: (grpc.StatusCode.INTERNAL, "out of paint")}) as peer:
        with pytest.raises(RemoteError, match=f"{peer.url}: out of paint"):
            generate(peer.url, range(40))
        peer.settled()

    assert peer.cancelled == 3


def test_a_refusal_comes_in_the_servers_own_words(generate: Generate) -> None:
    said = "in ensemble 'dots', psi is 11, expected -10 to 10"
    with (
        Peer(faults=Faults(refused={6: (grpc.StatusCode.INVALID_ARGUMENT, said)})) as peer,
        pytest.raises(InvalidRequest, match=r"^psi is 11, expected -10 to 10$"),
    ):
        generate(peer.url, range(8))


def test_a_server_that_lies_about_a_shape_is_found_out(generate: Generate) -> None:
    def lie(answer: Any) -> None:
        answer.outputs[0].shape[1] = 99

    with (
        Peer(faults=Faults(lie=lie)) as peer,
        pytest.raises(RemoteError, match=r"dots answered image as UINT8 \[1, 99, 8, 3\]"),
    ):
        generate(peer.url, range(1), format=Format(name="raw"))


@pytest.mark.parametrize("model", ["dolls", "dots_generator", "dots_sampler"])
def test_a_model_that_is_not_there_is_answered_with_those_that_are(
    generate: Generate, model: str
) -> None:
    with Peer(card("dots"), card("stripes")) as peer:
        said = f"{peer.url} has no model '{model}'; it has: dots, stripes"
        with pytest.raises(ModelNotFound, match=f"^{said}$"):
            generate(peer.url, range(4), model=model)


def test_what_the_card_rules_out_is_not_sent(generate: Generate, peer: Peer) -> None:
    with pytest.raises(InvalidRequest, match=r"dots is unconditional, remove the class \(3\)"):
        generate(peer.url, range(4), class_idx=3)

    assert peer.requests == []


def test_nobody_at_the_address_is_an_error_that_names_it(generate: Generate) -> None:
    with pytest.raises(ServerUnreachable, match=rf"{NOBODY}: .*refused"):
        generate(NOBODY, range(4))


def test_dropping_the_pictures_cancels_as_closing_does() -> None:
    with (
        Held() as peer,
        Client(peer.url) as client,
    ):
        for _picture in client.generate("dots", range(40)):
            break
        peer.settled()

    assert peer.cancelled >= 3


def test_leaving_a_loop_cancels_in_an_event_loop_as_well() -> None:
    async def run(url: str) -> None:
        async with AsyncClient(url) as client:
            async for _picture in client.generate("dots", range(40)):
                break

    with Held() as peer:
        asyncio.run(run(peer.url), debug=True)
        peer.settled()

    assert peer.cancelled >= 3


def test_a_cancelled_task_cancels_its_requests() -> None:
    async def run(url: str) -> None:
        async with AsyncClient(url) as client, asyncio.timeout(0.3):
            await anext(client.generate("dots", range(40)))

    with Peer(faults=Faults(delay_s=lambda _seed: 8.0)) as peer:
        with pytest.raises(TimeoutError):
            asyncio.run(run(peer.url), debug=True)
        peer.settled()

    assert peer.cancelled == len(peer.requests)


def test_a_client_closed_meanwhile_ends_its_pictures_with_an_error() -> None:
    with Peer(faults=Faults(delay_s=lambda _seed: 8.0)) as peer, Client(peer.url) as client:
        pictures = client.generate("dots", range(40))
        threading.Timer(0.2, client.close).start()

        with pytest.raises(RemoteError, match="Channel closed"):
            next(pictures)


def test_the_card_is_fetched_once(peer: Peer) -> None:
    with Client(peer.url) as client:
        first, second = client.info("dots"), client.info("dots")

    assert first == second == card()
    assert peer.calls == ["ModelConfig"]


def test_models_are_the_ensembles_with_a_card() -> None:
    async def run(url: str) -> list[str]:
        async with AsyncClient(url) as client:
            return await client.models()

    with Peer(card("stripes"), card("dots")) as peer, Client(peer.url) as client:
        assert client.models() == asyncio.run(run(peer.url)) == ["dots", "stripes"]


def test_a_card_that_cannot_be_read_is_the_servers_fault() -> None:
    class Torn(Peer):
        def ModelConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
            answer = super().ModelConfig(request, context)
            text = json.loads(answer.config.parameters["card"].string_value)
            del text["num_ws"]
            answer.config.parameters["card"].string_value = json.dumps(text)
            return answer

    with (
        Torn() as peer,
        Client(peer.url) as client,
        pytest.raises(RemoteError, match=r"the card of 'dots' cannot be read, .*num_ws"),
    ):
        client.info("dots")


def wait_blocking(url: str, model: str, timeout_s: float) -> None:
    with Client(url) as client:
        client.wait_ready(model, timeout_s)


def wait_awaiting(url: str, model: str, timeout_s: float) -> None:
    async def run() -> None:
        async with AsyncClient(url) as client:
            await client.wait_ready(model, timeout_s)

    asyncio.run(run(), debug=True)


Wait = Callable[[str, str, float], None]


@pytest.fixture(params=[wait_blocking, wait_awaiting], ids=["sync", "async"])
def wait_ready(request: pytest.FixtureRequest) -> Wait:
    chosen: Wait = request.param
    return chosen


def test_waiting_ends_when_the_model_is_ready(wait_ready: Wait) -> None:
    with Peer(faults=Faults(unready=3)) as peer:
        wait_ready(peer.url, "dots", 10.0)

    assert peer.calls == ["ModelReady"] * 4


@pytest.mark.parametrize(
    ("model", "error", "said"),
    [
        pytest.param(
            "dots",
            DeadlineExceeded,
            r"model 'dots' was not ready after 0\.2 s \(ready\)",
            id="never ready",
        ),
        pytest.param("dolls", ModelNotFound, "no model 'dolls'; it has: dots", id="unknown"),
    ],
)
def test_waiting_in_vain_says_for_what(
    wait_ready: Wait, model: str, error: type[NonesuchError], said: str
) -> None:
    with Peer(faults=Faults(unready=1000)) as peer, pytest.raises(error, match=said):
        wait_ready(peer.url, model, 0.2)


def test_waiting_for_nobody_takes_the_time_given_and_no_longer(wait_ready: Wait) -> None:
    start_s = time.monotonic()

    with pytest.raises(ServerUnreachable, match=rf"after 0\.3 s of waiting, {NOBODY}"):
        wait_ready(NOBODY, "dots", 0.3)

    assert 0.3 <= time.monotonic() - start_s < 3


def test_a_server_that_starts_late_is_waited_for(wait_ready: Wait) -> None:
    with Peer() as first:
        url = first.url
    late = Peer(port=int(url.rpartition(":")[2]))
    threading.Timer(0.5, late.__enter__).start()

    wait_ready(url, "dots", 20.0)

    late.vanish()
    assert late.calls == ["ModelReady"]
