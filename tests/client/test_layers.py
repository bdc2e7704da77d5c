"""Layers by name: groups by resolution, spans by number, refused in words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nonesuch import layers
from nonesuch.errors import InvalidRequest

FACES = [4, 8, 8, 16, 16, 32, 32, 64, 64, 64]  # rows of ws of a generator of 64 pixels

sizes = st.lists(st.sampled_from([4, 8, 16, 32, 36, 64, 128, 1024]), min_size=1).map(sorted)


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        ("all", range(10)),
        ("none", []),
        ("coarse", [0, 1, 2]),
        ("middle", [3, 4, 5, 6]),
        ("fine", [7, 8, 9]),
        ("4", [4]),
        ("4-7", [4, 5, 6, 7]),
        ("coarse, 9", [0, 1, 2, 9]),
        ("0-2,1-3,none", [0, 1, 2, 3]),
    ],
)
def test_a_text_names_layers(text: str, chosen: list[int]) -> None:
    assert layers.select(text, FACES) == [layer in chosen for layer in range(10)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("corse", "cannot read 'corse' as layers, expected all, none, coarse, middle, fine"),
        ("", "cannot read '' as layers"),
        ("1-", "cannot read '1-' as layers"),
        ("-1", "cannot read '-1' as layers"),
        ("٣", "cannot read '٣' as layers"),
        ("7-4", "the layers 7-4 run backwards, write 4-7"),
        ("8-10", "there is no layer 10: they are 0 to 9"),
    ],
)
def test_what_names_no_layers_is_refused(text: str, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        layers.select(text, FACES)


def test_a_group_that_a_model_lacks_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="no fine layers, the largest is 32 px"):
        layers.select("fine", [4, 8, 16, 32])


@given(sizes)
def test_the_groups_part_the_layers(resolutions: list[int]) -> None:
    found = layers.groups(resolutions)

    chosen = [layers.select(name, resolutions) for name in found]
    assert [sum(column) for column in zip(*chosen, strict=True)] == [1] * len(resolutions)
    for name, (first, last) in found.items():
        assert layers.select(name, resolutions) == layers.select(f"{first}-{last}", resolutions)
