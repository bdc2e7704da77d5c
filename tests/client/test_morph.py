"""Ways from keyframe to keyframe, as arithmetic."""

import base64
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tests.client.peer import card

from nonesuch import Codes, Noise, Sample, Truncation
from nonesuch.errors import InvalidRequest
from nonesuch.latents import Seeds, latent
from nonesuch.morph import Frames, Morph, Points, Through, ease, recipe, slerp, walk

shares = st.floats(0, 1)
vectors = arrays(np.float64, 6, elements=st.floats(-5, 5, width=32))
ways = st.builds(
    Morph,
    frames=st.integers(1, 7),
    through=st.sampled_from(["z", "w", "spline"]),
    ease=st.booleans(),
    loop=st.booleans(),
)
keyframes = st.integers(2, 5).flatmap(
    lambda count: arrays(np.float64, (count, 6), elements=st.floats(-5, 5, width=32))
)


def angle(one: Points, two: Points) -> float:
    cosine = one @ two / (np.linalg.norm(one) * np.linalg.norm(two))
    return float(np.arccos(np.clip(cosine, -1, 1)))


def apart(one: Points, two: Points) -> bool:
    """Whether there is an arc between the two that rounding leaves alone."""
    long = min(np.linalg.norm(one), np.linalg.norm(two)) > 0.1
    return bool(long) and 0.1 < angle(one, two) < 3.0


@given(vectors, vectors)
def test_an_arc_begins_and_ends_at_its_ends_to_the_bit(one: Points, two: Points) -> None:
    assert (slerp(one, two, 0.0) == one).all()
    assert (slerp(one, two, 1.0) == two).all()


@given(vectors, vectors)
def test_an_arc_turns_at_constant_speed(one: Points, two: Points) -> None:
    assume(apart(one, two))

    points = [slerp(one, two, share) for share in np.linspace(0, 1, 9)]

    turns = [angle(a, b) for a, b in pairwise(points)]
    np.testing.assert_allclose(turns, angle(one, two) / 8, atol=1e-6)


@given(vectors, vectors, shares)
def test_the_length_on_an_arc_changes_evenly(one: Points, two: Points, share: float) -> None:
    assume(apart(one, two))

    expected = (1 - share) * np.linalg.norm(one) + share * np.linalg.norm(two)
    assert np.linalg.norm(slerp(one, two, share)) == pytest.approx(expected)


@given(vectors, st.floats(-3, 3), shares)
def test_an_arc_between_vectors_on_one_line_is_that_line(
    one: Points, factor: float, share: float
) -> None:
    point = slerp(one, factor * one, share)

    along = ((1 - share) + share * factor) * one
    np.testing.assert_allclose(point, along, atol=1e-4 * (1 + np.abs(one).max()))


@given(keyframes, ways)
def test_a_walk_has_its_length_and_hits_every_keyframe(points: Points, way: Morph) -> None:
    frames = list(walk(points, way))

    assert len(frames) == way.length(len(points))
    hit = frames[:: way.frames]
    expected = [*points, points[0]] if way.loop else points
    assert (np.array(hit) == np.array(expected)).all()


@given(keyframes, ways)
def test_a_loop_ends_where_it_began(points: Points, way: Morph) -> None:
    assume(way.loop)

    first, *_, last = walk(points, way)

    assert (first == last).all()


@given(shares, shares)
def test_easing_goes_forward_only_and_mirrors_itself(one: float, two: float) -> None:
    assert (one <= two) == (ease(one) <= ease(two)) or abs(one - two) < 1e-6
    assert ease(one) + ease(1 - one) == pytest.approx(1)
    assert (ease(0.0), ease(1.0)) == (0, 1)


def test_an_eased_leg_begins_and_ends_slowly() -> None:
    points = np.array([[0.0], [1.0]])

    steps = np.diff(np.ravel(list(walk(points, Morph(frames=10, through="w", ease=True)))))

    assert steps[0] == pytest.approx(0.028)
    assert steps[0] == pytest.approx(steps[-1])
    assert steps.max() == pytest.approx(0.1485, abs=1e-3)


@given(arrays(np.float64, (4, 3), elements=st.floats(-5, 5, width=32)), st.integers(1, 9))
def test_the_curve_is_that_of_catmull_and_rom(points: Points, frames: int) -> None:
    """In its matrix form, over the leg between the second and the third of four points."""
    basis = np.array([[0, 2, 0, 0], [-1, 0, 1, 0], [2, -5, 4, -1], [-1, 3, -3, 1]]) / 2
    powers = (np.arange(frames) / frames)[:, None] ** np.arange(4)

    walked = list(walk(points, Morph(frames=frames, through="spline", loop=True)))

    np.testing.assert_allclose(walked[frames : 2 * frames], powers @ basis @ points, atol=1e-9)


@settings(max_examples=25)
@given(keyframes, st.booleans())
def test_the_curve_has_no_corners(points: Points, loop: bool) -> None:
    frames = 500
    walked = np.array(list(walk(points, Morph(frames=frames, through="spline", loop=loop))))

    speeds = np.diff(walked, axis=0) * frames
    before, after = speeds[frames - 1 :: frames], speeds[frames::frames]
    if loop:
        after = np.concatenate([after, speeds[:1]])
    np.testing.assert_allclose(before[: len(after)], after, atol=0.4)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        pytest.param(lambda: Morph(frames=0), "frames is 0, expected", id="no frames"),
        pytest.param(lambda: Morph(noises=-1), "noises is -1, expected", id="noises"),
        pytest.param(lambda: Morph(through="x"), "expected z, w or spline", id="through"),  # type: ignore[arg-type]
        pytest.param(lambda: Morph().length(1), "two keyframes or more, got 1", id="one keyframe"),
    ],
)
def test_what_is_no_morph_is_refused(make: Callable[[], Any], said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        make()


def of_seeds(way: Morph, through: Through = "z", **settings: Any) -> list[Sample]:
    w = None if through == "z" else np.ones((2, 16), np.float32)
    like = Sample(seed=0, **settings)
    return list(Frames.of_seeds(Seeds.of([3, 4]), w, way, like, card()))


def test_seeds_through_z_keep_their_settings_and_their_z() -> None:
    psi = Truncation(psi=0.4)

    samples = of_seeds(Morph(frames=2), truncation=psi, class_idx=1, directions={"smile": 1})

    assert [sample.seed for sample in samples] == [None] * 3
    assert {(sample.truncation, sample.class_idx) for sample in samples} == {(psi, 1)}
    for sample, seed in ((samples[0], 3), (samples[2], 4)):
        assert (sample.z == latent(seed, 16)[0]).all()


def test_w_of_seeds_is_truncated_as_the_seeds_would_be_and_needs_no_class() -> None:
    samples = of_seeds(Morph(frames=1, through="w"), "w", class_idx=1)
    asked = of_seeds(Morph(frames=1, through="w"), "w", truncation=Truncation(psi=1.0))

    assert {(s.truncation, s.class_idx) for s in samples} == {(Truncation(psi=0.7), None)}
    assert {s.truncation for s in asked} == {Truncation(psi=1.0)}


def test_noises_are_taken_in_turn_and_come_back_to_the_first() -> None:
    noise = Noise(mode="random", seed=7, scale=0.5)

    samples = of_seeds(Morph(frames=6, noises=3), noise=noise)

    assert [sample.noise.seed for sample in samples] == [7, 7, 8, 8, 9, 9, 7]
    assert {sample.noise.scale for sample in samples} == {0.5}


@pytest.mark.parametrize(
    ("noise", "said"),
    [
        pytest.param(Noise(), "5 noises in turn begin at a noise seed", id="stored noise"),
        pytest.param(
            Noise(mode="random", seed=2**32 - 4), "last noise seed is 4294967296", id="end"
        ),
    ],
)
def test_noises_that_are_not_there_are_refused(noise: Noise, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        of_seeds(Morph(noises=5), noise=noise)


def codes(model_hash: str = "5eed") -> Codes:
    ws = np.random.default_rng(0).standard_normal((2, 4, 16)).astype(np.float32)
    return Codes(ws=ws, model="dots", model_hash=model_hash)


def test_codes_are_drawn_as_they_are() -> None:
    frames = Frames.of_codes(codes(), Morph(frames=2, through="w"), Sample(seed=0), card())

    samples = list(frames)

    assert len(frames) == len(samples) == 3
    assert {sample.truncation for sample in samples} == {None}
    middle = samples[1].ws
    assert middle is not None
    np.testing.assert_allclose(middle, codes().ws.mean(0), atol=1e-6)


def test_codes_of_another_model_and_codes_through_z_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="these codes are of dots"):
        Frames.of_codes(codes("0ther"), Morph(through="w"), Sample(seed=0), card())
    with pytest.raises(InvalidRequest, match="have no z, go through w or spline"):
        Frames.of_codes(codes(), Morph(), Sample(seed=0), card())


def test_a_recipe_says_how_a_morph_is_made_again() -> None:
    first = {"model": "dots", "psi": 0.7, "z": "AAAA", "format": "jpeg"}
    way = Morph(frames=5, through="spline", loop=True)

    of_seeds = recipe(first, Seeds.of([1, 5]), way)
    of_codes = recipe(first, codes(), way)

    expected = {"frames": 5, "through": "spline", "ease": False, "loop": True, "noises": 1}
    assert of_seeds == {"model": "dots", "psi": 0.7, "morph": {"seeds": "1,5", **expected}}
    kept = np.frombuffer(base64.b64decode(of_codes["morph"]["ws"]), "<f4")
    assert (kept.reshape(of_codes["morph"]["shape"]) == codes().ws).all()
