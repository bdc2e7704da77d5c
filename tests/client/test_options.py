"""Options are valid by construction, and say what they refuse."""

import math
import re
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nonesuch.contract import LATENT
from nonesuch.errors import InvalidRequest
from nonesuch.latents import Seeds
from nonesuch.options import (
    Connection,
    Format,
    Mix,
    Noise,
    Sample,
    Transform,
    Truncation,
    parse_directions,
    parse_translate,
)

NAN = math.nan
W = np.ones(3)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        pytest.param(lambda: Truncation(psi=NAN), "psi is nan, expected -10 to 10", id="nan"),
        pytest.param(lambda: Truncation(psi=-10.5), "psi is -10.5", id="psi"),
        pytest.param(lambda: Truncation(cutoff=-1), "cutoff is -1", id="cutoff"),
        pytest.param(lambda: Truncation(psi="a"), "psi is 'a', expected -10 to 10", id="text"),  # type: ignore[arg-type]
        pytest.param(lambda: Truncation(cutoff=1.5), "cutoff is 1.5", id="half a row"),  # type: ignore[arg-type]
        pytest.param(lambda: Mix(seed=1.5, crossover=1), "mix seed is 1.5", id="half a seed"),  # type: ignore[arg-type]
        pytest.param(lambda: Mix(seed=1, crossover=0.5), "crossover is 0.5", id="half crossover"),  # type: ignore[arg-type]
        pytest.param(lambda: Mix(seed=1, shares=("a",)), "share 0 .* is 'a'", id="share of text"),  # type: ignore[arg-type]
        pytest.param(lambda: Mix(seed=-1, crossover=1), "mix seed is -1", id="mix seed"),
        pytest.param(
            lambda: Mix(seed=1),
            "takes either layers, a crossover or shares, got none",
            id="mix of 0",
        ),
        pytest.param(
            lambda: Mix(seed=1, crossover=1, layers="fine"), "got fine, 1", id="mix of both"
        ),
        pytest.param(lambda: Mix(seed=1, crossover=-2), "crossover is -2", id="crossover"),
        pytest.param(lambda: Mix(seed=1, shares=()), "shares is empty", id="no shares"),
        pytest.param(lambda: Mix(seed=1, shares=(0, 1.1)), "share 1 of the mix is 1.1", id="share"),
        pytest.param(lambda: Mix(seed=1, shares=(NAN,)), "share 0 of the mix is nan", id="nan mix"),
        pytest.param(lambda: Mix(seed=1, layers="top"), "read 'top' as layers", id="mix layers"),
        pytest.param(lambda: Noise(layers="9-1"), "write 1-9", id="noise layers"),
        pytest.param(lambda: Noise(mode="none", layers="fine"), "takes no layers", id="no layers"),
        pytest.param(lambda: parse_directions("smile"), "NAME=WEIGHT", id="direction"),
        pytest.param(lambda: parse_directions("smile=99"), "weight of smile is 99", id="weight"),
        pytest.param(
            lambda: Sample(seed=0, directions={"age": NAN}), "weight of age is nan", id="nan weight"
        ),
        pytest.param(lambda: Noise(mode="loud"), "noise mode is 'loud'", id="noise mode"),  # type: ignore[arg-type]
        pytest.param(lambda: Noise(mode="random"), "needs a noise seed", id="unseeded noise"),
        pytest.param(lambda: Noise(seed=1), "const takes no noise seed", id="seeded const"),
        pytest.param(lambda: Noise(mode="none", seed=1), "none takes no noise seed", id="none"),
        pytest.param(lambda: Noise(mode="none", scale=0.5), "takes no scale", id="scaled none"),
        pytest.param(lambda: Noise(scale=11), "noise scale is 11", id="noise scale"),
        pytest.param(lambda: Noise(mode="random", seed=-4), "noise seed is -4", id="noise seed"),
        pytest.param(lambda: Format(name="gif"), "one of jpeg, png, webp, raw", id="format"),  # type: ignore[arg-type]
        pytest.param(lambda: Format(quality=0), "quality is 0, expected 1 to 100", id="quality"),
        pytest.param(lambda: Format(quality=1.5), "quality is 1.5, expected 1", id="half quality"),  # type: ignore[arg-type]
        pytest.param(lambda: Format(name="png", quality=9), "png loses nothing", id="png quality"),
        pytest.param(lambda: Format(name="raw", quality=9), "raw loses nothing", id="raw quality"),
        pytest.param(lambda: Sample(seed=0, class_idx=-1), "class is -1", id="class"),
        pytest.param(
            lambda: Sample(seed=0, class_idx=1.5),  # type: ignore[arg-type]
            r"class is 1\.5, expected a whole number",
            id="half a class",
        ),
        pytest.param(
            lambda: Sample(seed=0, class_idx=1, class_weights={1: 1.0}),
            "either a class or class weights",
            id="class twice",
        ),
        pytest.param(
            lambda: Sample(seed=0, class_weights={-1: 1.0}),
            "class is -1",
            id="weight of no class",
        ),
        pytest.param(
            lambda: Sample(seed=0, class_weights=[0.5, NAN]),
            "the weight of class 1 is nan",
            id="nan class weight",
        ),
        pytest.param(lambda: Sample(), "one of seed, z and ws, got none of them", id="no latent"),
        pytest.param(lambda: Sample(seed=1, ws=W), "got seed and ws", id="two latents"),
        pytest.param(lambda: Sample(seed=-1), "seed is -1", id="seed"),
        pytest.param(
            lambda: Sample(z=W[None]), r"z is \[1, 3\], expected \[z_dim\]", id="z of two"
        ),
        pytest.param(
            lambda: Sample(ws=W[None, None]),
            r"ws is \[1, 1, 3\], expected \[w_dim\] or \[num_ws, w_dim\]",
            id="ws of three axes",
        ),
        pytest.param(lambda: Sample(ws=W[:0]), r"ws is \[0\], expected", id="empty ws"),
        pytest.param(
            lambda: Sample(z=np.array(["a"])),
            r"z holds str\d+, expected numbers, \[z_dim\]",
            id="z of text",
        ),
        pytest.param(lambda: Sample(z=[[1.0], [1.0, 2.0]]), "z is no array", id="ragged z"),  # type: ignore[arg-type]
        pytest.param(lambda: Sample(z=W * NAN), "z holds nan, expected values from", id="nan z"),
        pytest.param(
            lambda: Sample(seed=1, ws_offset=W + 1e7),
            r"ws_offset holds 1e\+07, expected values from -1e\+06 to 1e\+06",
            id="offset",
        ),
        pytest.param(lambda: Sample(ws=W, class_idx=1), "remove the class", id="class of ws"),
        pytest.param(lambda: Sample(ws=W, class_weights=[1]), "remove the class", id="c of ws"),
        pytest.param(
            lambda: Sample(ws=W, mix=Mix(seed=1, crossover=0)), "remove the mix", id="mix of ws"
        ),
        pytest.param(
            lambda: Sample(ws=W, truncation=Truncation(modes=True)), "remove modes", id="modes"
        ),
        pytest.param(lambda: Mix(crossover=1), "either a seed or a z, and not both", id="no mix"),
        pytest.param(lambda: Mix(seed=1, z=W, crossover=1), "and not both", id="mix of two"),
        pytest.param(lambda: Mix(z=W[None], crossover=1), "the z of the mix is", id="z of mix"),
        pytest.param(lambda: Transform(translate=(0, 11)), "translate y is 11", id="translate"),
        pytest.param(lambda: Transform(translate=(0, 1, 2)), "expected x and y", id="three axes"),  # type: ignore[arg-type]
        pytest.param(lambda: Transform(rotate=NAN), "rotate is nan", id="rotate"),
        pytest.param(lambda: parse_translate("1"), "cannot read '1'", id="one axis"),
        pytest.param(lambda: parse_translate("1,nan"), "translate y is nan", id="nan shift"),
        pytest.param(lambda: Seeds.of([1.5]), "seed is 1.5, expected a whole", id="half seed"),  # type: ignore[list-item]
        pytest.param(lambda: Connection(url="h:0"), "is 0, expected 1 to 65535", id="port 0"),
        pytest.param(lambda: Connection(url="h:99999"), "is 99999, expected 1 to", id="port"),
        pytest.param(lambda: Connection(timeout_s="a"), "timeout_s is 'a'", id="timeout of text"),  # type: ignore[arg-type]
        pytest.param(lambda: Connection(in_flight=1.5), "in_flight is 1.5", id="half in flight"),  # type: ignore[arg-type]
        pytest.param(lambda: Connection(url="http://h:1"), "expected HOST:PORT", id="scheme"),
        pytest.param(lambda: Connection(url="localhost"), "expected HOST:PORT", id="no port"),
        pytest.param(lambda: Connection(timeout_s=0), "timeout_s is 0", id="timeout"),
        pytest.param(lambda: Connection(timeout_s=NAN), "timeout_s is nan", id="nan timeout"),
        pytest.param(lambda: Connection(in_flight=0), "in_flight is 0", id="in flight"),
    ],
)
def test_a_value_out_of_range_is_refused(make: Callable[[], object], said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        make()


@given(st.lists(st.floats(-LATENT, LATENT, width=32), min_size=1))
def test_a_sample_keeps_its_latents_as_they_were_when_it_was_made(values: list[float]) -> None:
    given = np.array(values)
    sample = Sample(ws=given, ws_offset=given[None])

    given += 1

    assert sample.ws is not None
    assert sample.ws_offset is not None
    assert sample.ws.dtype == sample.ws_offset.dtype == np.dtype("f4")
    assert sample.ws.tolist() == sample.ws_offset[0].tolist() == values
    with pytest.raises(ValueError, match="read-only"):
        sample.ws[0] = 0


@given(x=st.floats(-10, 10), y=st.floats(-10, 10), degrees=st.floats(-360, 360))
def test_a_transform_is_the_inverse_of_the_motion(x: float, y: float, degrees: float) -> None:
    turn = math.tau * degrees / 360
    cos, sin = math.cos(turn), math.sin(turn)
    motion = np.array([[cos, sin, x], [-sin, cos, y], [0, 0, 1]])

    matrix = np.array(Transform(translate=(x, y), rotate=degrees).matrix)

    np.testing.assert_allclose(matrix, np.linalg.inv(motion), atol=1e-12)


def test_numbers_of_numpy_are_numbers() -> None:
    assert Truncation(psi=np.float32(0.5), cutoff=np.int64(3)) == Truncation(psi=0.5, cutoff=3)  # type: ignore[arg-type]
    assert Format(quality=np.uint8(50)) == Format(quality=50)  # type: ignore[arg-type]
    assert Seeds.of(np.arange(3)) == Seeds([range(3)])


@given(st.floats(-10, 10), st.none() | st.integers(0, 18))
def test_truncation_written_out_reads_back_the_same(psi: float, cutoff: int | None) -> None:
    text = repr(psi) if cutoff is None else f"{psi!r}:{cutoff}"

    assert Truncation.parse(text) == Truncation(psi=psi, cutoff=cutoff)


@pytest.mark.parametrize("text", ["", "x", "0.7:", "0.7:8:9", "0.7:1.5"])
def test_what_is_no_truncation_is_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidRequest, match=re.escape(f"cannot read '{text}' as truncation")):
        Truncation.parse(text)


def test_what_reads_well_but_is_out_of_range_says_the_range() -> None:
    with pytest.raises(InvalidRequest, match=r"psi is 11\.0, expected -10 to 10"):
        Truncation.parse("11")
