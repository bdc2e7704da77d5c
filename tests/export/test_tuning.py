"""Equal forms of a layer draw equal pictures, and a build takes the fastest of them."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner
from tests.conftest import GOLDEN
from tests.export import forge, rounded
from tests.export.test_network import SMALL, VARIANTS, variant

from nonesuch.card import Card
from nonesuch_export import graph, network, parity, precision, repository
from nonesuch_export.checkpoint import native
from nonesuch_export.cli import main
from nonesuch_export.network import StyleGAN2
from nonesuch_export.network.upconvolution import FORMS, Form
from nonesuch_export.tuning import Alone, Trial, compile_forms

CARD = Path("faces/1/card.json")


def _formed(generator: StyleGAN2, form: str) -> StyleGAN2:
    generator.use_forms(dict.fromkeys(generator.forms, form))
    return generator


@pytest.mark.parametrize("form", FORMS[1:])
@pytest.mark.parametrize("name", VARIANTS)
def test_each_form_draws_the_same_picture(name: str, form: Form) -> None:
    generator = forge.shaped(variant(name))
    ws = torch.randn(2, generator.num_ws, generator.config.w_dim)
    noise = [stored[None, None] for stored in generator.noise_const]
    for tile in (None, "x"):
        generator.frame(None, tile)

        expected = _formed(generator, "transposed").synthesize(ws, noise)
        img = _formed(generator, form).synthesize(ws, noise)

        torch.testing.assert_close(img, expected, atol=5e-5, rtol=0)
        assert expected.std() > 0.1


@pytest.mark.parametrize("form", FORMS)
def test_each_form_keeps_parity_in_fp32_and_fp16(form: Form, tmp_path: Path) -> None:
    generator = _formed(forge.shaped(SMALL), form)
    # Styles that fp16 cannot hold times the weights, unless both are divided.
    for layer in generator.upconvolutions.values():
        layer.weight.data *= 3000
        layer.affine.bias.data += 40
    plain, half = tmp_path / "model.onnx", tmp_path / "half.onnx"

    graph.export(generator, plain)
    precision.lower(plain, half, "fp16")

    assert parity.compare(generator, plain).passed
    given, _ = parity.settings(generator, range(4))
    feeds = {name: value.numpy() for name, value in given.items()}
    image, _ = rounded.session(half).run(None, feeds)
    reference = graph.Pipeline(generator)(*given.values()).numpy()
    assert abs(reference.astype(int) - image).mean() < 1


@pytest.mark.parametrize("form", FORMS[1:])
def test_parities_are_shuffled_in_one_piece(form: Form, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"

    graph.export(_formed(forge.shaped(SMALL), form), path)

    nodes = [node for node in onnx.load(path).graph.node if node.op_type == "DepthToSpace"]
    modes = [a.s for node in nodes for a in node.attribute if a.name == "mode"]
    assert modes == [b"DCR", b"DCR"]  # one a layer that doubles


def test_the_engines_of_a_layer_compute_what_it_does(tmp_path: Path) -> None:
    generator = forge.shaped(SMALL)
    layer = generator.upconvolutions[16]
    alone = Alone(generator.config, layer).eval()
    given = alone.example(16, 3)
    feeds = {name: value.numpy() for name, value in given.items()}

    expected = alone(*given.values()).detach().numpy()
    engines = compile_forms(alone, given, ("openvino", "fp32"), tmp_path)

    for engine in engines.values():  # all are compiled before the first runs
        np.testing.assert_allclose(engine.run(feeds), expected, atol=1e-4)
    assert expected.std() > 0.1


def test_a_form_must_be_clearly_faster_to_be_taken() -> None:
    near = Trial(layer="8", times_s={"transposed": 1.0, "subpixel": 0.97, "merged": 4.0})
    better = Trial(layer="8", times_s={"transposed": 1.0, "subpixel": 0.8, "merged": 0.9})

    assert near.best == "transposed"
    assert better.best == "subpixel"
    assert str(better).endswith("subpixel 800.00 ms *, merged 900.00 ms")


def test_a_build_is_tuned_and_later_builds_keep_it(tmp_path: Path) -> None:
    file = tmp_path / "small.safetensors"
    native.write(network.freeze(forge.shaped(SMALL), "small"), file)
    words = ["build", str(file), "--name", "faces", "--repository", str(tmp_path)]

    tuned = CliRunner().invoke(main, [*words, "--tune"])
    card = json.loads((tmp_path / CARD).read_text(encoding="utf-8"))
    chosen = {"8": "merged", "16": "subpixel"}
    (tmp_path / CARD).write_text(json.dumps(card | {"forms": chosen}), encoding="utf-8")
    again = CliRunner().invoke(main, words)

    assert tuned.exit_code == again.exit_code == 0, tuned.output + again.output
    assert "layer of 16 pixels: transposed" in tuned.stderr
    assert set(card["forms"]) == {"8", "16"}
    kept = json.loads((tmp_path / CARD).read_text(encoding="utf-8"))["forms"]
    assert kept == chosen


@pytest.mark.parametrize(
    "card",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b'{"name": "faces"', id="cut off"),
        pytest.param(b"\xff\xfe", id="no text"),
    ],
)
def test_a_card_that_cannot_be_read_does_not_stop_a_build(card: bytes, tmp_path: Path) -> None:
    checkpoint = network.freeze(forge.shaped(SMALL), "small")
    (tmp_path / CARD).parent.mkdir(parents=True)
    (tmp_path / CARD).write_bytes(card)

    built = repository.build(checkpoint, repository.Plan(name="faces", repository=tmp_path))

    assert built.card.forms == {"8": "transposed", "16": "transposed"}
    assert Card.from_json((tmp_path / CARD).read_text(encoding="utf-8")) == built.card


def test_a_family_without_forms_is_not_tuned(tmp_path: Path) -> None:
    file = GOLDEN / "progan-64.pkl"
    words = ["build", str(file), "--name", "old", "--repository", str(tmp_path / "r"), "--tune"]

    refused = CliRunner().invoke(main, words)

    assert refused.exit_code == 2
    assert "progan has one form of each layer; leave out --tune" in refused.output
    assert not (tmp_path / "r").exists()
