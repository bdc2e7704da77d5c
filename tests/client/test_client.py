"""Both clients against a real server on loopback, which may be slow, rude, wrong or gone."""

import asyncio
import json
import struct
import threading
import time
from collections.abc import Callable, Iterable
from itertools import count, islice
from typing import Any, Protocol

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.client.peer import Faults, Peer, card, draw, mapped

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
from nonesuch.latents import latent
from nonesuch.options import Format, Mix, Noise, Sample, Truncation

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
        assert (picture.array() == draw(picture.recipe["seed"], card())).all()
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


def test_all_seeds_there_are_take_no_more_room_than_a_few(generate: Generate, peer: Peer) -> None:
    pictures = generate(peer.url, range(2**32), take=6)

    assert [picture.seed for picture in pictures] == list(range(6))


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


class GenerateEach(Protocol):
    """Generate samples with either client: so many pictures."""

    def __call__(self, url: str, samples: Iterable[Sample], take: int) -> list[Picture]: ...


def each_blocking(url: str, samples: Iterable[Sample], take: int) -> list[Picture]:
    with Client(url) as client, client.generate_each("dots", samples, format=PNG) as pictures:
        return list(islice(pictures, take))


def each_awaiting(url: str, samples: Iterable[Sample], take: int) -> list[Picture]:
    async def run() -> list[Picture]:
        async with (
            AsyncClient(url) as client,
            client.generate_each("dots", samples, format=PNG) as pictures,
        ):
            return [await anext(pictures) for _ in range(take)]

    return asyncio.run(run(), debug=True)


@pytest.fixture(params=[each_blocking, each_awaiting], ids=["sync", "async"])
def generate_each(request: pytest.FixtureRequest) -> GenerateEach:
    chosen: GenerateEach = request.param
    return chosen


def test_each_sample_has_settings_of_its_own(generate_each: GenerateEach, peer: Peer) -> None:
    samples = [
        Sample(seed=5, truncation=Truncation(psi=0.5)),
        Sample(seed=6, truncation=Truncation(psi=0.25)),
        Sample(z=np.full(16, 7.0)),
        Sample(ws=np.full(16, 8.0), ws_offset=np.ones((4, 16))),
        Sample(seed=9, mix=Mix(z=np.ones(16), shares=(0.5,))),
    ]

    pictures = generate_each(peer.url, samples, len(samples))

    assert [picture.seed for picture in pictures] == [5, 6, None, None, 9]
    for picture, seed in zip(pictures, [5, 6, 7, 8, 9], strict=True):
        assert (picture.array() == draw(seed, card())).all()
    assert [picture.recipe["psi"] for picture in pictures] == [0.5, 0.25, 0.7, 0.7, 0.7]
    assert sorted(len(seeds) for seeds in peer.seeds) == [1, 1, 1, 2]  # may arrive in any order


def test_samples_without_end_are_taken_as_pictures_are(
    generate_each: GenerateEach, peer: Peer
) -> None:
    numbers = count()

    pictures = generate_each(peer.url, (Sample(seed=n) for n in numbers), 10)

    assert [picture.seed for picture in pictures] == list(range(10))
    assert next(numbers) <= 10 + card().max_batch * 6  # four under way, one answered, one begun


def test_a_sample_that_the_card_rules_out_ends_the_pictures(
    generate_each: GenerateEach, peer: Peer
) -> None:
    samples = [*[Sample(seed=n) for n in range(40)], Sample(seed=40, class_idx=1)]

    with pytest.raises(InvalidRequest, match=r"sample 40: dots is unconditional"):
        generate_each(peer.url, samples, 41)


def test_the_number_of_samples_is_known_where_they_are_counted(peer: Peer) -> None:
    samples = [Sample(seed=n) for n in range(3)]

    with Client(peer.url) as client:
        assert len(client.generate_each("dots", samples)) == 3
        with pytest.raises(TypeError, match="their number is not known"):
            len(client.generate_each("dots", iter(samples)))


def test_a_picture_of_another_latent_is_found_out(generate_each: GenerateEach) -> None:
    other = Sample(ws=np.ones(16))

    def lie(answer: Any) -> None:
        recipe = json.loads(answer.raw_output_contents[1][4:])
        text = json.dumps(recipe | {"ws": "AAAA"}).encode()
        answer.raw_output_contents[1] = struct.pack("<I", len(text)) + text

    with (
        Peer(faults=Faults(lie=lie)) as peer,
        pytest.raises(RemoteError, match="answered the picture of ws AAAA where AACAPwAA"),
    ):
        generate_each(peer.url, [other], 1)


class Map(Protocol):
    """Ask either client for w or scores."""

    def __call__(self, url: str, what: str, seeds: range, **label: Any) -> NDArray[np.float32]: ...


def map_blocking(url: str, what: str, seeds: range, **label: Any) -> NDArray[np.float32]:
    with Client(url, in_flight=3) as client:
        rows: NDArray[np.float32] = getattr(client, what)("dots", seeds, **label)
        return rows


def map_awaiting(url: str, what: str, seeds: range, **label: Any) -> NDArray[np.float32]:
    async def run() -> NDArray[np.float32]:
        async with AsyncClient(url, in_flight=3) as client:
            rows: NDArray[np.float32] = await getattr(client, what)("dots", seeds, **label)
            return rows

    return asyncio.run(run(), debug=True)


@pytest.fixture(params=[map_blocking, map_awaiting], ids=["sync", "async"])
def map_seeds(request: pytest.FixtureRequest) -> Map:
    chosen: Map = request.param
    return chosen


@pytest.mark.parametrize(("what", "size"), [("map", 16), ("scores", 1)])
@pytest.mark.parametrize(
    ("label", "c"),
    [
        pytest.param({}, [0, 0, 0], id="no class"),
        pytest.param({"class_idx": 2}, [0, 0, 1], id="class"),
        pytest.param({"class_weights": {0: 0.5, 1: 0.25}}, [0.5, 0.25, 0], id="soft class"),
    ],
)
def test_seeds_are_mapped_in_order(
    map_seeds: Map, what: str, size: int, label: dict[str, Any], c: list[float]
) -> None:
    of = card(c_dim=3, controls=("c", *card().controls))
    z = np.concatenate([latent(seed, 16) for seed in range(30)])
    labels = np.array([c] * 30, np.float32)
    slow_first = Faults(delay_s=lambda first: 0.2 if first == int(abs(z[0, 0])) else 0.0)

    with Peer(of, faults=slow_first) as peer:
        rows = map_seeds(peer.url, what, range(30), **label)

    assert rows.shape == (30, size)
    assert (rows == mapped("w" if what == "map" else what, z, labels, of)).all()
    assert max(map(len, peer.seeds)) <= of.max_batch
    assert peer.most_in_flight <= 3


def test_no_seeds_map_to_no_rows(map_seeds: Map, peer: Peer) -> None:
    assert map_seeds(peer.url, "map", range(0)).shape == (0, 16)


@pytest.mark.parametrize(
    ("what", "changes", "label", "said"),
    [
        pytest.param("map", {"w_dim": 0, "family": "progan"}, {}, "has no w, its z is", id="w"),
        pytest.param("scores", {"directions": ()}, {}, "dots has no directions", id="directions"),
        pytest.param("map", {}, {"class_idx": 1}, "dots is unconditional", id="class"),
        pytest.param("map", {"c_dim": 2}, {"class_weights": [1]}, "has 2 classes", id="weights"),
        pytest.param("scores", {}, {"class_idx": 1, "class_weights": [1]}, "not both", id="both"),
    ],
)
def test_what_cannot_be_mapped_is_not_sent(
    map_seeds: Map, what: str, changes: dict[str, Any], label: dict[str, Any], said: str
) -> None:
    with Peer(card(**changes)) as peer, pytest.raises(InvalidRequest, match=said):
        map_seeds(peer.url, what, range(3), **label)

    assert peer.requests == []


def test_a_model_without_a_name_is_refused(generate: Generate, peer: Peer) -> None:
    with pytest.raises(InvalidRequest, match="the model's name is empty"):
        generate(peer.url, range(1), model="")


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
