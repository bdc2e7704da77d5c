"""Messages: what is sent, against tritonclient's own, and what may come back."""

import json
from collections.abc import Callable
from itertools import count, pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.client.peer import card, draw
from tritonclient.grpc import InferInput
from tritonclient.grpc import service_pb2 as pb

from nonesuch import wire
from nonesuch.card import Card
from nonesuch.contract import REQUEST
from nonesuch.errors import InvalidRequest, RemoteError
from nonesuch.latents import Seeds
from nonesuch.options import Format, FormatName, Mix, Noise, Sample, Transform, Truncation
from nonesuch.tensors import pack, put, unpack

RAW = Format(name="raw")


def sent(wanted: Format = RAW, **settings: Any) -> dict[str, tuple[str, Any]]:
    """Return what a request for seeds 0 to 2 sends, by name, as datatype and values."""
    able = card(c_dim=3, modes=4, controls=("c", "transform", "modes", *card().controls))
    samples = [Sample(seed=seed, **settings) for seed in range(3)]
    (exchange,) = wire.each("dots", samples, wanted, card=able)
    return read(exchange.request)


def read(message: Any) -> dict[str, tuple[str, Any]]:
    """The inputs of a message by name, as datatype and values."""
    kinds = {"FP32": "f4", "INT32": "i4", "INT64": "i8"}
    return {
        t.name: (
            t.datatype,
            [word.decode() for word in unpack(raw)]
            if t.datatype == "BYTES"
            else np.frombuffer(raw, kinds[t.datatype]).reshape(t.shape).tolist(),
        )
        for t, raw in zip(message.inputs, message.raw_input_contents, strict=True)
    }


def encoded(sample: Sample, of: Card, wanted: Format = RAW) -> Any:
    """The message for one sample of a model."""
    return wire.encode("dots", [wire.settings(sample, wanted, of)], wanted)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        pytest.param({}, {}, id="nothing set"),
        pytest.param({"wanted": Format()}, {"format": ("BYTES", ["jpeg"] * 3)}, id="default"),
        pytest.param(
            {"wanted": Format(name="webp", quality=7)},
            {"format": ("BYTES", ["webp"] * 3), "quality": ("INT32", [[7]] * 3)},
            id="quality",
        ),
        pytest.param(
            {"truncation": Truncation(psi=0.5)},
            {"psi": ("FP32", [[0.5]] * 3), "cutoff": ("INT32", [[-1]] * 3)},
            id="psi alone overrides the recommended cutoff too",
        ),
        pytest.param(
            {"truncation": Truncation(cutoff=4)},
            {"psi": ("FP32", [[1.0]] * 3), "cutoff": ("INT32", [[4]] * 3)},
            id="cutoff",
        ),
        pytest.param(
            {"mix": Mix(seed=2**32 - 1, crossover=3)},
            {"mix_seed": ("INT64", [[2**32 - 1]] * 3), "mix": ("FP32", [[0, 0, 0, 1]] * 3)},
            id="crossover",
        ),
        pytest.param(
            {"mix": Mix(seed=5, shares=(0.25,))},
            {"mix_seed": ("INT64", [[5]] * 3), "mix": ("FP32", [[0.25]] * 3)},
            id="one share",
        ),
        pytest.param(
            {"mix": Mix(seed=5, layers="coarse")},
            {"mix_seed": ("INT64", [[5]] * 3), "mix_layers": ("BYTES", ["coarse"] * 3)},
            id="layers",
        ),
        pytest.param(
            {"directions": {"smile": 1.5}},
            {"directions": ("BYTES", ['{"smile": 1.5}'] * 3)},
            id="directions",
        ),
        pytest.param(
            {"noise": Noise(layers="1-2", scale=2)},
            {"noise_scale": ("FP32", [[2]] * 3), "noise_layers": ("BYTES", ["1-2"] * 3)},
            id="noise in some layers",
        ),
        pytest.param(
            {"noise": Noise(mode="none")},
            {"noise_scale": ("FP32", [[0]] * 3)},
            id="no noise",
        ),
        pytest.param(
            {"noise": Noise(mode="random", seed=6, scale=2)},
            {"noise_scale": ("FP32", [[2]] * 3), "noise_seed": ("INT64", [[6]] * 3)},
            id="random noise",
        ),
        pytest.param(
            {"truncation": Truncation(psi=0.5, modes=True)},
            {
                "psi": ("FP32", [[0.5]] * 3),
                "cutoff": ("INT32", [[-1]] * 3),
                "modes": ("INT32", [[1]] * 3),
            },
            id="modes",
        ),
        pytest.param(
            {"mix": Mix(z=np.arange(16.0), shares=(0.25,))},
            {"mix_z": ("FP32", [list(range(16))] * 3), "mix": ("FP32", [[0.25]] * 3)},
            id="a latent to mix in",
        ),
        pytest.param(
            {"ws_offset": np.ones(16)},
            {"ws_offset": ("FP32", [[[1] * 16]] * 3)},
            id="offset for all rows",
        ),
        pytest.param(
            {"ws_offset": np.ones((4, 16))},
            {"ws_offset": ("FP32", [[[1] * 16] * 4] * 3)},
            id="offset",
        ),
        pytest.param({"class_idx": 2}, {"class": ("INT32", [[2]] * 3)}, id="class"),
        pytest.param(
            {"class_weights": {2: 0.5, 0: 0.25}},
            {"c": ("FP32", [[0.25, 0, 0.5]] * 3)},
            id="weights of some classes",
        ),
        pytest.param(
            {"class_weights": (0, 1, -1)},
            {"c": ("FP32", [[0, 1, -1]] * 3)},
            id="weights of all classes",
        ),
        pytest.param(
            {"transform": Transform(translate=(0.5, -0.25))},
            {"transform": ("FP32", [[[1, 0, -0.5], [0, 1, 0.25], [0, 0, 1]]] * 3)},
            id="transform",
        ),
    ],
)
def test_only_what_is_set_is_sent(
    settings: dict[str, Any], expected: dict[str, tuple[str, Any]]
) -> None:
    assert sent(**settings) == {"seed": ("INT64", [[0], [1], [2]]), **expected}


@given(st.integers(0, 4))
def test_mixing_takes_each_row_from_exactly_one_parent(crossover: int) -> None:
    _, rows = sent(mix=Mix(seed=1, crossover=crossover))["mix"]

    assert rows == [[0.0] * crossover + [1.0] * (4 - crossover)] * 3


@pytest.mark.parametrize(("name", "wanted"), [("raw", "image"), ("png", "encoded")])
def test_a_file_or_pixels_are_asked_for_and_the_recipe(name: FormatName, wanted: str) -> None:
    message = encoded(Sample(seed=1), card(), Format(name=name))

    assert [output.name for output in message.outputs] == [wanted, "recipe"]
    assert message.model_name == "dots"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        pytest.param({"class_idx": 0}, r"dots is unconditional, remove the class \(0\)", id="no c"),
        pytest.param({"truncation": Truncation(cutoff=5)}, "cutoff is 5, dots has 4", id="cutoff"),
        pytest.param({"mix": Mix(seed=0, crossover=5)}, "crossover is 5, dots has 4", id="mix"),
        pytest.param({"mix": Mix(seed=0, shares=(0, 1))}, "2 shares, dots expects 1 or 4", id="w"),
        pytest.param({"class_weights": {0: 1.0}}, "dots is unconditional", id="no soft c"),
        pytest.param({"class_weights": (1.0,)}, "dots .* takes no c, remove", id="no c vector"),
        pytest.param({"transform": Transform()}, "dots .* takes no transform", id="transform"),
        pytest.param({"mix": Mix(seed=0, layers="fine")}, "no fine layers", id="no fine layers"),
        pytest.param({"noise": Noise(layers="3")}, "no layer 3: they are 0 to 2", id="layer"),
        pytest.param({"truncation": Truncation(modes=True)}, "takes no modes", id="modes"),
        pytest.param({"mix": Mix(z=np.ones(3), layers="all")}, "has 3 values, dots", id="mix_z"),
        pytest.param(
            {"ws_offset": np.ones((3, 16))},
            r"ws_offset is \[3, 16\], dots expects \[16\] or \[4, 16\]",
            id="offset",
        ),
        pytest.param({"directions": {"smle": 1}}, "no direction 'smle': did you", id="direction"),
    ],
)
def test_what_the_model_cannot_do_is_refused_before_sending(
    settings: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidRequest, match=said):
        encoded(Sample(seed=1, **settings), card())


def test_a_class_past_the_last_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="class is 3, dots expects 0 to 2"):
        encoded(Sample(seed=1, class_idx=3), card(c_dim=3))


def test_class_weights_that_are_not_one_a_class_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="there are 2 class weights, dots has 3 classes"):
        encoded(Sample(seed=1, class_weights=(1, 0)), card(c_dim=3))


def test_a_setting_for_which_the_model_has_no_input_is_refused() -> None:
    progan = card(family="progan", controls=("z",), num_ws=0, ws_resolutions=())

    with pytest.raises(InvalidRequest, match=r"dots \(progan\) takes no psi"):
        encoded(Sample(seed=1, truncation=Truncation(cutoff=4)), progan)
    with pytest.raises(InvalidRequest, match=r"dots \(progan\) takes no mix_seed"):
        encoded(Sample(seed=1, mix=Mix(seed=1, crossover=2)), progan)


@pytest.mark.parametrize(
    ("sample", "changes", "said"),
    [
        pytest.param(Sample(z=np.ones(3)), {}, "z has 3 values, dots expects 16", id="z"),
        pytest.param(Sample(ws=np.ones(3)), {}, r"ws is \[3\], dots expects \[16\] or", id="w_dim"),
        pytest.param(Sample(ws=np.ones((5, 16))), {}, r"ws is \[5, 16\], dots", id="num_ws"),
        pytest.param(
            Sample(ws=np.ones(16)),
            {"controls": ("z", "mix_z", "mix", "ws_offset")},
            r"dots \(stylegan2\) has no average w to reach a ws from, give a seed or z",
            id="no w_avg",
        ),
    ],
)
def test_a_latent_that_does_not_fit_the_model_is_refused(
    sample: Sample, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidRequest, match=said):
        wire.settings(sample, RAW, card(**changes))


SAMPLES = st.sampled_from(
    [
        Sample(seed=1),
        Sample(seed=2),
        Sample(seed=3, truncation=Truncation(psi=0.5)),
        Sample(z=np.ones(16)),
        Sample(ws=np.ones(16)),
        Sample(ws=np.ones((4, 16))),
    ]
)


@given(st.lists(SAMPLES, max_size=40), st.integers(1, 8))
def test_neighbours_that_carry_the_same_share_a_request(
    samples: list[Sample], max_batch: int
) -> None:
    of = card(max_batch=max_batch)
    alone = [wire.settings(sample, RAW, of) for sample in samples]

    parts = list(wire.gathered(samples, RAW, of))

    assert str([values for part in parts for values in part]) == str(alone)
    for part in parts:
        assert 1 <= len(part) <= max_batch
        assert len({_carried(values) for values in part}) == 1
    for part, following in pairwise(parts):
        assert len(part) == max_batch or _carried(part[0]) != _carried(following[0])


def _carried(values: wire.Settings) -> tuple[Any, ...]:
    return tuple((name, np.shape(value)) for name, value in values.items())


def test_samples_are_taken_no_further_than_the_request_that_they_fill() -> None:
    endless = (Sample(seed=seed) for seed in count())

    first = next(wire.gathered(endless, RAW, card(max_batch=3)))

    assert [values["seed"] for values in first] == [[0], [1], [2]]
    assert next(endless).seed == 3


def test_a_sample_that_cannot_be_is_named_by_its_number() -> None:
    samples = [Sample(seed=0), Sample(seed=1, class_idx=3)]

    with pytest.raises(InvalidRequest, match=r"^sample 1: dots is unconditional, remove"):
        list(wire.gathered(samples, RAW, card()))
    with pytest.raises(InvalidRequest, match="sample 0 is '7', expected a Sample"):
        list(wire.gathered([7], RAW, card()))  # type: ignore[list-item]


@given(st.lists(st.text()))
def test_byte_strings_are_written_as_tritonclient_writes_them(words: list[str]) -> None:
    theirs = InferInput("x", [len(words)], "BYTES")
    theirs.set_data_from_numpy(np.array([word.encode() for word in words], object))

    packed = pack(word.encode() for word in words)

    assert packed == (theirs._get_content() or b"")
    assert unpack(packed) == [word.encode() for word in words]


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1))
def test_numbers_are_written_as_tritonclient_writes_them(numbers: list[int]) -> None:
    theirs = InferInput("seed", [len(numbers), 1], "INT64")
    theirs.set_data_from_numpy(np.array(numbers)[:, None])
    ours = pb.ModelInferRequest()

    put(ours, REQUEST[0], [[n] for n in numbers])

    assert ours.raw_input_contents[0] == theirs._get_content()
    assert ours.inputs[0] == theirs._get_tensor()


@given(st.integers(0, 300), st.integers(1, 16), st.integers(1, 8))
def test_batches_part_the_seeds_evenly_and_in_order(n: int, max_batch: int, in_flight: int) -> None:
    parts = list(wire.batches(Seeds([range(n)]), max_batch=max_batch, in_flight=in_flight))

    assert [seed for part in parts for seed in part] == list(range(n))
    assert all(1 <= len(part) <= max_batch for part in parts)
    assert max(map(len, parts), default=0) - min(map(len, parts), default=0) <= 1
    assert len(parts) >= min(n, in_flight)


def answer(*, raw: bool = False, seeds: tuple[int, ...] = (7, 8)) -> Any:
    """Return a right answer, with an `image` or with `encoded` files that are their seed."""
    message = pb.ModelInferResponse(model_name="dots")
    images = np.stack([draw(seed, card()) for seed in seeds])
    files = [str(seed).encode() for seed in seeds]
    first = ("image", "UINT8", images.shape, images.tobytes())
    outputs = [first if raw else ("encoded", "BYTES", (len(seeds), 1), pack(files))]
    recipes = [json.dumps({"seed": seed, "format": "png"}).encode() for seed in seeds]
    outputs.append(("recipe", "BYTES", (len(seeds), 1), pack(recipes)))
    for name, kind, shape, content in outputs:
        message.outputs.add(name=name, datatype=kind, shape=shape)
        message.raw_output_contents.append(content)
    return message


PART: list[wire.Settings] = [{"seed": [7]}, {"seed": [8]}]
FILES = [values | {"format": ["png"]} for values in PART]


def test_an_answer_becomes_pictures_in_the_order_of_the_seeds() -> None:
    first, second = wire.decode(answer(), "dots", FILES, card())

    assert (first.seed, second.seed) == (7, 8)
    assert (first.encoded, second.encoded) == (b"7", b"8")
    assert second.recipe == {"seed": 8, "format": "png"}
    assert second.suffix == ".png"


def test_raw_pixels_come_as_an_array_and_no_file() -> None:
    first, second = wire.decode(answer(raw=True), "dots", PART, card())

    assert first.encoded is None
    assert (second.array() == draw(8, card())).all()


def _cut(message: Any, at: int) -> None:
    message.raw_output_contents[at] = message.raw_output_contents[at][:-1]


@pytest.mark.parametrize(
    ("raw", "spoil", "said"),
    [
        pytest.param(True, lambda a: a.outputs.pop(0), "without image", id="no image"),
        pytest.param(False, lambda a: a.outputs.pop(), "without recipe", id="no recipe"),
        pytest.param(
            False, lambda a: a.raw_output_contents.pop(), "without recipe", id="no content"
        ),
        pytest.param(
            True,
            lambda a: a.outputs[0].shape.__setitem__(1, 7),
            r"image as UINT8 \[2, 7, 8, 3\], expected UINT8 \[2, 6, 8, 3\]",
            id="shape",
        ),
        pytest.param(
            True,
            lambda a: setattr(a.outputs[0], "datatype", "FP32"),
            "image as FP32",
            id="datatype",
        ),
        pytest.param(True, lambda a: _cut(a, 0), "287 bytes of image, expected 288", id="short"),
        pytest.param(False, lambda a: _cut(a, 0), "encoded with its last string cut", id="cut"),
        pytest.param(
            False,
            lambda a: a.raw_output_contents.__setitem__(0, b"\x01\x00"),
            "encoded with its last length cut",
            id="cut length",
        ),
        pytest.param(
            False,
            lambda a: a.raw_output_contents.__setitem__(0, pack([b"1"])),
            "1 strings of encoded, expected 2",
            id="too few files",
        ),
        pytest.param(
            False,
            lambda a: a.raw_output_contents.__setitem__(1, pack([b"{", b"{}"])),
            "a recipe that is none",
            id="broken recipe",
        ),
        pytest.param(
            False,
            lambda a: a.raw_output_contents.__setitem__(1, pack([b'{"seed": 8}', b"{}"])),
            "the picture of seed 8 where 7 was asked for",
            id="other seed",
        ),
    ],
)
def test_an_answer_that_breaks_the_contract_is_an_error(
    raw: bool, spoil: Callable[[Any], None], said: str
) -> None:
    spoilt = answer(raw=raw)
    spoil(spoilt)

    with pytest.raises(RemoteError, match=said):
        wire.decode(spoilt, "dots", PART if raw else FILES, card())
