"""The sampler's own arithmetic, without a server: what it makes of a request's tensors."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from tests.export.stage import loaded

from nonesuch.contract import GRAPH

CONTROLS = tuple(tensor.name for tensor in GRAPH if tensor.name not in {"c", "transform"})
W_AVG = np.linspace(-1, 1, 8, dtype=np.float32)
CARD: dict[str, Any] = {
    "name": "dots",
    "model_hash": "5eed",
    "crop": None,
    "tile": None,
    "z_dim": 8,
    "w_dim": 8,
    "c_dim": 0,
    "num_ws": 4,
    "channels": 3,
    "ws_resolutions": [4, 8, 8, 16],
    "noise_resolutions": [4, 8],
    "controls": CONTROLS,
    "directions": [],
    "psi": 0.7,
    "cutoff": 2,
    "w_avg": W_AVG,
    "vectors": (),
}
NUMBERS = st.floats(-100, 100, width=32)

SAMPLER = loaded("sampler")


def drawn_from(tensors: dict[str, NDArray[Any]], w: NDArray[np.float32]) -> NDArray[np.float32]:
    """The ws that the graph makes of w [N, w_dim]: truncation, then offset."""
    psi = tensors["psi"][:, :, None]
    ws: NDArray[np.float32] = W_AVG + psi * (w[:, None] - W_AVG) + tensors["ws_offset"]
    return ws


@given(
    ws=arrays(np.float32, (2, 4, 8), elements=NUMBERS)
    | arrays(np.float32, (2, 1, 8), elements=NUMBERS),
    psi=st.none() | st.floats(-2, 2, width=32),
    cutoff=st.integers(-1, 4),
    anything=NUMBERS,
)
def test_a_ws_reaches_synthesis_whatever_w_there_was(
    ws: NDArray[np.float32], psi: float | None, cutoff: int, anything: float
) -> None:
    sent = {"ws": ws, "cutoff": np.array([[cutoff]] * 2)}
    if psi is not None:
        sent["psi"] = np.array([[psi]] * 2, np.float32)

    tensors, _recipes = SAMPLER.sample(CARD, sent)

    factor = np.ones((4, 1), np.float32)
    factor[: 4 if cutoff < 0 else cutoff] = 1.0 if psi is None else psi
    expected = W_AVG + factor * (ws - W_AVG)
    reached = drawn_from(tensors, np.full((2, 8), anything, np.float32))
    np.testing.assert_allclose(reached, expected, atol=1e-3)
    assert tuple(tensors) == CONTROLS


def test_the_cards_recommendation_is_for_seeds_and_not_for_ws() -> None:
    ((of_seed,), (of_ws,)) = (
        SAMPLER.sample(CARD, sent)[1]
        for sent in ({"seed": np.array([[5]])}, {"ws": np.ones((1, 1, 8), np.float32)})
    )

    assert (of_seed["psi"], of_seed["cutoff"]) == (0.7, 2)
    assert (of_ws["psi"], of_ws["cutoff"]) == (1.0, -1)


@pytest.mark.parametrize(
    ("sent", "modes", "noted"),
    [
        pytest.param({}, [[0], [0]], [None, None], id="absent"),
        pytest.param({"modes": np.array([[1], [0]])}, [[1], [0]], [1, None], id="by sample"),
    ],
)
def test_modes_reach_the_generator_and_the_recipe(
    sent: dict[str, Any], modes: list[list[int]], noted: list[int | None]
) -> None:
    tensors, recipes = SAMPLER.sample(CARD, {"seed": np.array([[5], [6]]), **sent})

    assert (tensors["modes"].tolist(), tensors["modes"].dtype) == (modes, np.float32)
    assert [recipe.get("modes") for recipe in recipes] == noted


def test_modes_are_a_switch() -> None:
    sent = {"seed": np.array([[5]]), "modes": np.array([[2]])}

    with pytest.raises(SAMPLER.RefusedError, match="modes is 2, expected 0 to 1"):
        SAMPLER.sample(CARD, sent)


@pytest.mark.parametrize("modes", [0, 1])
def test_modes_do_not_go_with_a_ws(modes: int) -> None:
    sent = {"ws": np.ones((1, 1, 8), np.float32), "modes": np.array([[modes]])}

    with pytest.raises(SAMPLER.RefusedError, match="towards the one average w; leave out modes"):
        SAMPLER.sample(CARD, sent)


def test_without_an_average_w_a_ws_is_refused_with_the_reason() -> None:
    card = CARD | {"controls": tuple(c for c in CONTROLS if c != "psi"), "w_avg": None}

    with pytest.raises(SAMPLER.RefusedError, match="dots has no average w to reach a ws from"):
        SAMPLER.sample(card, {"ws": np.ones((1, 1, 8), np.float32)})
