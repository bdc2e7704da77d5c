"""Labels: read as they were written, refused by line or by attribute where something is wrong."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nonesuch.errors import InvalidRequest
from nonesuch_export import labels

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


@settings(max_examples=30, deadline=None)
@given(rows=st.dictionaries(st.integers(0, 2**32 - 1), st.tuples(NUMBERS, NUMBERS), min_size=1))
def test_a_csv_file_gives_what_was_written(
    rows: dict[int, tuple[float, float]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "labels.csv"
    lines = [f"{seed}, {a!r},{b!r}\r\n" for seed, (a, b) in rows.items()]
    path.write_text("\ufeffseed,smile, age\r\n\r\n" + "".join(lines), encoding="utf-8")

    found = labels.read(path)

    assert (found.seeds, found.names) == (tuple(rows), ("smile", "age"))
    assert (found.values == np.array(list(rows.values()))).all()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1: the header is '', expected seed,NAME"),
        ("smile,seed\n", "line 1: the header is 'smile,seed', expected seed,NAME"),
        ("seed\n1\n", "line 1: the header is 'seed'"),
        ("seed,a,a\n", "line 1: two directions are called 'a'"),
        ("seed,a=b\n", "line 1: 'a=b' is no name for a direction"),
        ("seed,a\n1,2\n2\n", "line 3: there are 1 values, expected 2"),
        ("seed,a\n1,2\n2,3,4\n", "line 3: there are 3 values, expected 2"),
        ("seed,a\n1,2\n\n1,3\n", "line 4: seed 1 has a line already"),
        ("seed,a\n-1,2\n", "line 2: the seed is '-1', expected a whole number"),
        ("seed,a\n1.5,2\n", "line 2: the seed is '1.5'"),
        ("seed,a\n4294967296,2\n", "line 2: seed is 4294967296"),
        ("seed,a\n1,high\n", "line 2: a is 'high', expected a number"),
        ("seed,a\n1,nan\n", "line 2: a is 'nan', expected a number"),
        ('seed,a\n1,"2\n', "line 2: unexpected end"),
    ],
)
def test_a_wrong_line_is_refused_by_its_number(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(InvalidRequest) as raised:
        labels.read(path)

    assert f"{path}, {said}" in str(raised.value)


def test_what_is_no_text_or_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_bytes(b"seed,a\n\xff,2\n")

    with pytest.raises(InvalidRequest, match="it is no UTF-8 text"):
        labels.read(tmp_path / "labels.csv")
    with pytest.raises(InvalidRequest, match="cannot be read: Is a directory"):
        labels.read(tmp_path)


def batches(*sizes: int) -> list[Any]:
    return [np.full((n, 2, 2, 3), i, np.uint8) for i, n in enumerate(sizes)]


def test_a_functions_answers_are_put_together() -> None:
    found = labels.judged(
        lambda p: {"shade": p.mean(axis=(1, 2, 3)), "one": [1] * len(p)}, range(5), batches(2, 3)
    )

    assert found.names == ("shade", "one")
    assert found.values.tolist() == [[0, 1], [0, 1], [1, 1], [1, 1], [1, 1]]


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda _: [1, 2], "answers a list, expected a dict"),
        (lambda _: {}, "answers a dict, expected"),
        (lambda p: {"a": [1.0] * (len(p) + 1)}, "the function's a is no list of 2 numbers"),
        (lambda p: {"a": [float("nan")] * len(p)}, "the function's a is no list of 2 numbers"),
        (lambda p: {"a": ["high"] * len(p)}, "the function's a is no list of 2 numbers"),
        (lambda p: {"a": None if len(p) == 2 else 1}, "the function's a is no list of 2 numbers"),
        (lambda p: {"a,b": [1.0] * len(p)}, "'a,b' is no name"),
        (lambda p: {f"a{len(p)}": [1.0] * len(p)}, "names a2 at first, others later"),
    ],
)
def test_a_function_that_answers_otherwise_is_refused(
    function: Callable[[Any], Any], said: str
) -> None:
    with pytest.raises(InvalidRequest, match=said):
        labels.judged(function, range(5), batches(2, 3))
