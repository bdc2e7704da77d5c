"""What an address or a body asks for is what the command line would."""

import json

import pytest
from tests.client.peer import Arrays, Peer, card
from tests.client.shell import Run

from nonesuch import Client
from nonesuch.controls import MIXING, SETTINGS, Control
from nonesuch.errors import InvalidRequest
from nonesuch.web import query

ALL = card(c_dim=2, controls=("c", "transform", "modes", *card().controls), modes=3)
BESIDE = {
    "modes": {"psi": "0.5"},
    "mix_layers": {"mix_seed": "4"},
    "crossover": {"mix_seed": "4"},
    "mix_shares": {"mix_seed": "4"},
    "mix_seed": {"mix_layers": "all"},
}


def option(name: str, value: str) -> list[str]:
    if name == "psi":
        return ["--truncation", value]
    return [f"--{name.replace('_', '-')}", *([] if value == "true" else [value])]


def plain(request: Arrays) -> dict[str, object]:
    return {name: values.tolist() for name, values in request.items()}


@pytest.mark.parametrize("control", [*SETTINGS, *MIXING], ids=lambda control: control.name)
def test_a_parameter_asks_for_what_the_option_of_that_name_does(run: Run, control: Control) -> None:
    given = {control.name: control.example, **BESIDE.get(control.name, {})}
    words = [word for name, value in given.items() for word in option(name, value)]
    sample, wanted = query.picture([("seed", "1"), *given.items()], lambda: "jpeg")

    with Peer(ALL) as peer, Client(peer.url) as client:
        done = run("generate", "dots", "--seeds", "1", "--url", peer.url, *words)
        assert done.exit_code == 0, done.stderr
        for _ in client.generate_each("dots", [sample], format=wanted):
            pass

    by_option, by_parameter = map(plain, peer.requests)
    assert by_option == by_parameter
    assert len(by_parameter) > 2  # more than seed and format


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("sed=1", "there is no parameter 'sed': did you mean seed", id="unknown"),
        pytest.param("psi=1", "there is no seed, give one", id="no seed"),
        pytest.param("seed=1&seed=2", "seed is given twice", id="twice"),
        pytest.param("seed=one", "seed: cannot read 'one', expected a whole number", id="word"),
        pytest.param("seed=-1", "seed is -1, expected a whole number from 0", id="seed"),
        pytest.param("seed=1&psi=nan", "psi is nan, expected -10 to 10", id="nan"),
        pytest.param("seed=1&psi=", "psi: cannot read '', expected a number", id="empty"),
        pytest.param("seed=1&cutoff=3", "a cutoff goes with a truncation", id="cutoff"),
        pytest.param("seed=1&modes=yes", "modes: cannot read 'yes', expected true", id="flag"),
        pytest.param("seed=1&noise=loud", "noise is 'loud', expected one of const", id="choice"),
        pytest.param("seed=1&mix_seed=2", "a mix seed goes with one of", id="half a mix"),
        pytest.param("seed=1&mix_seed=2&mix_shares=2", "share 0 of the mix is 2", id="share"),
        pytest.param("seed=1&directions=smile", "cannot read 'smile'", id="direction"),
        pytest.param("seed=1&format=gif", "format is 'gif', expected one of jpeg", id="format"),
    ],
)
def test_a_wrong_parameter_is_refused_in_one_sentence(text: str, said: str) -> None:
    pairs = [(name, value) for name, _, value in (part.partition("=") for part in text.split("&"))]

    with pytest.raises(InvalidRequest, match=said):
        query.picture(pairs, lambda: "jpeg")


def test_a_body_holds_numbers_lists_and_objects_as_well_as_texts() -> None:
    numbers = {"seed": 1, "psi": 0.5, "directions": {"smile": -1}, "noise_layers": [1, 2]}
    texts = {"seed": "1", "psi": "0.5", "directions": "smile=-1", "noise_layers": "1,2"}
    text = json.dumps({"samples": [numbers, texts], "format": "png"}).encode()

    (one, other), wanted = query.body(text, channels=3)

    assert (one.seed, one.truncation, one.directions, one.noise) == (
        (other.seed, other.truncation, other.directions, other.noise)
    )
    assert wanted.name == "png"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("{", "the body is no JSON", id="no json"),
        pytest.param("[" * 10_000, "the body is no JSON", id="deep"),
        pytest.param('{"seed": 1}', "no object with samples", id="no samples"),
        pytest.param('{"samples": []}', "there are 0 samples, expected 1 to 64", id="none"),
        pytest.param('{"samples": [1]}', "sample 0: expected an object", id="no object"),
        pytest.param('{"samples": [{"seed": 1.5}]}', "sample 0: seed: cannot", id="half a seed"),
        pytest.param('{"samples": [{"seed": null}]}', "sample 0: seed holds null", id="null"),
        pytest.param('{"samples": [{"seed": 1}], "x": 1}', "no parameter 'x'", id="unknown"),
    ],
)
def test_a_wrong_body_is_refused_in_one_sentence(text: str, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        query.body(text.encode(), channels=3)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param([("frames", "9")], "there are no seeds", id="no seeds"),
        pytest.param([("seeds", "1")], "two keyframes or more", id="one seed"),
        pytest.param([("seeds", "0-600"), ("frames", "1")], "ask for at most 600", id="long"),
    ],
)
def test_a_wrong_film_is_refused_in_one_sentence(text: list[tuple[str, str]], said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        query.film(text)
