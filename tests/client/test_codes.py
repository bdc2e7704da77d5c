"""Codes of W survive a file, belong to their model, and no file can do harm."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.client.peer import card

from nonesuch import Codes, InvalidRequest, Truncation
from nonesuch.errors import OutputError

SHAPES = st.tuples(st.integers(1, 3), st.integers(1, 4)) | st.tuples(
    st.integers(1, 3), st.integers(1, 3), st.integers(1, 4)
)


def codes(ws: NDArray[np.float32] | None = None, model_hash: str = "5eed") -> Codes:
    if ws is None:
        ws = np.arange(12, dtype=np.float32).reshape(3, 4)
    return Codes(ws=ws, model="dots", model_hash=model_hash)


@settings(max_examples=20)
@given(shape=SHAPES, seed=st.integers(0, 99), model=st.text(max_size=5))
def test_codes_come_back_from_their_file(
    tmp_path_factory: pytest.TempPathFactory, shape: tuple[int, ...], seed: int, model: str
) -> None:
    path = tmp_path_factory.mktemp("codes") / "w.npz"
    ws = np.random.default_rng(seed).standard_normal(shape, np.float32)
    model = model.rstrip("\0")  # numpy's texts end there

    Codes(ws=ws, model=model, model_hash="5eed").save(path)

    loaded = Codes.load(path)
    assert (loaded.model, loaded.model_hash, len(loaded)) == (model, "5eed", shape[0])
    assert (loaded.ws == ws).all()
    assert (np.load(path, allow_pickle=False)["ws"] == ws).all()  # any program can read them


def test_the_samples_of_codes_are_their_rows_with_the_settings() -> None:
    made = list(codes().samples(truncation=Truncation(psi=0.5), directions={"smile": 1}))

    assert np.array([sample.ws for sample in made]).tolist() == codes().ws.tolist()
    assert {sample.truncation for sample in made} == {Truncation(psi=0.5)}
    assert all(sample.directions == {"smile": 1} for sample in made)


def test_another_models_codes_are_refused() -> None:
    codes().check(card())

    with pytest.raises(InvalidRequest, match=r"codes are of dots \(0dd\), not of dots \(5eed\)"):
        codes(model_hash="0dd").check(card())


@pytest.mark.parametrize(
    ("ws", "said"),
    [
        pytest.param(np.ones(4), r"ws is \[4\], expected \[N, w_dim\] or \[N, num_ws", id="one"),
        pytest.param(np.array([[np.nan]]), "ws holds nan", id="nan"),
        pytest.param(np.ones((0, 4)), r"ws is \[0, 4\]", id="none"),
    ],
)
def test_what_is_no_code_is_refused(ws: NDArray[np.float32], said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        codes(ws)


def saved(tmp_path: Path, **members: bytes | NDArray[np.generic]) -> Path:
    """A file of codes with some members replaced, by arrays or by bytes as they are."""
    path = tmp_path / "w.npz"
    codes().save(path)
    with zipfile.ZipFile(path) as file:
        content = {name: file.read(name) for name in file.namelist()}
    for name, value in members.items():
        raw = io.BytesIO()
        if not isinstance(value, bytes):
            np.save(raw, value)
        content[f"{name}.npy"] = value if isinstance(value, bytes) else raw.getvalue()
    with zipfile.ZipFile(path, "w") as file:
        for name, part in content.items():
            file.writestr(name, part)
    return path


def _claims(shape: str, *, dtype: str = "<f4", version: int = 1) -> bytes:
    """The start of an .npy file that promises a shape, and 16 numbers."""
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}}}".ljust(117) + "\n"
    return b"\x93NUMPY%c\0\x76\0" % version + header.encode() + bytes(64)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        pytest.param(lambda p: p / "none.npz", "cannot read .*No such file", id="not there"),
        pytest.param(lambda p: p, "cannot read .*directory", id="folder"),
        pytest.param(lambda p: saved(p, ws=b""), "holds no codes of W: ", id="empty member"),
        pytest.param(
            lambda p: saved(p, ws=_claims("(1000000, 1000000)")),
            "ws would take 4000000000000 bytes, at most 1073741824 are read",
            id="a shape beyond all bounds",
        ),
        pytest.param(
            lambda p: saved(p, ws=_claims("(5, 4)")),
            "ws has not the 80 bytes that its header promises",
            id="shorter than promised",
        ),
        pytest.param(
            lambda p: saved(p, ws=_claims("(3, 4)")), "ws has not the 48 bytes", id="longer"
        ),
        pytest.param(
            lambda p: saved(p, ws=_claims("(4, 4)", version=3)),
            r"ws is of version \(3, 0\)",
            id="version",
        ),
        pytest.param(lambda p: saved(p, ws=_claims("(-4, 4)")), "ws would take -64", id="negative"),
        pytest.param(
            lambda p: saved(p, ws=_claims("(4, 4)", dtype="|O")), "ws is of object", id="pickle"
        ),
        pytest.param(lambda p: saved(p, ws=np.ones((2, 2), int)), "ws is of int64", id="integers"),
        pytest.param(lambda p: saved(p, model=np.ones(3)), "model is of float64", id="no name"),
        pytest.param(lambda p: saved(p, ws=np.full((1, 2), np.inf)), "ws holds inf", id="infinite"),
    ],
)
def test_a_file_that_holds_no_codes_is_refused(
    tmp_path: Path, make: Callable[[Path], Path], said: str
) -> None:
    with pytest.raises(InvalidRequest, match=said):
        Codes.load(make(tmp_path))


def test_a_file_of_something_else_says_what_is_missing(tmp_path: Path) -> None:
    np.savez(tmp_path / "w.npz", other=np.ones(3))

    with pytest.raises(InvalidRequest, match=r"w.npz holds no codes of W: .*'ws.npy'"):
        Codes.load(tmp_path / "w.npz")


@settings(max_examples=150)
@given(data=st.data())
def test_no_spoilt_file_gives_anything_but_a_refusal(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("spoilt") / "w.npz"
    codes().save(path)
    raw = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(raw[: data.draw(st.integers(0, len(raw)))])

    try:
        loaded = Codes.load(path)
    except InvalidRequest:
        return
    assert (loaded.ws == codes().ws).all()  # zip checks its contents: nothing else can open


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(OutputError, match=r"cannot write .*file/w\.npz"):
        codes().save(tmp_path / "file" / "w.npz")
