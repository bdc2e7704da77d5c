"""Building: five models that Triton can serve, all of them or none."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from google.protobuf import text_format
from tests import families
from tests.conftest import GOLDEN
from tests.export import forge
from tests.export.test_network import SMALL
from tritonclient.grpc import model_config_pb2 as pb

from nonesuch import contract
from nonesuch.card import Card
from nonesuch.errors import ExportError, InvalidRequest, ParityError
from nonesuch_export import network, parity, repository
from nonesuch_export.checkpoint import Checkpoint
from nonesuch_export.network import StyleGAN2
from nonesuch_export.repository import Plan, build
from nonesuch_export.stages import __file__ as stages_file

MODELS = ["faces", "faces_encoder", "faces_generator", "faces_mapping", "faces_sampler"]


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return network.freeze(forge.shaped(SMALL), "small")


@pytest.fixture(scope="module")
def built(checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built")
    build(checkpoint, Plan(name="faces", repository=folder, max_batch=4))
    return folder


def _config(folder: Path, name: str) -> pb.ModelConfig:
    text = (folder / name / "config.pbtxt").read_text(encoding="utf-8")
    config: pb.ModelConfig = text_format.Parse(text, pb.ModelConfig())
    return config


def test_there_are_five_models_and_nothing_else(built: Path) -> None:
    assert sorted(p.name for p in built.iterdir()) == MODELS
    for name in MODELS:
        assert _config(built, name).name == name
        assert _config(built, name).max_batch_size == 4


@pytest.mark.parametrize(("resolution", "most"), [(128, 16), (256, 8)])
def test_small_pictures_have_larger_batches_unless_told_otherwise(
    resolution: int, most: int
) -> None:
    widths = (2,) * (resolution.bit_length() - 2)

    drawn = forge.shaped(replace(SMALL, resolution=resolution, widths=widths))

    assert repository.usual_batch(drawn) == most


def test_the_configuration_names_what_the_contract_names(built: Path) -> None:
    ensemble, sampler = _config(built, "faces"), _config(built, "faces_sampler")

    assert [i.name for i in ensemble.input] == [t.name for t in contract.REQUEST]
    assert all(i.optional for i in (*ensemble.input, *sampler.input))
    assert [o.name for o in ensemble.output] == [t.name for t in contract.ANSWER]
    assert [i.name for i in _config(built, "faces_generator").input] == [
        t.name for t in contract.GRAPH if t.name not in {"c", "modes", "transform"}
    ]


def test_no_model_says_where_it_runs(built: Path) -> None:
    for name in MODELS:
        for group in _config(built, name).instance_group:
            assert group.kind == pb.ModelInstanceGroup.KIND_AUTO


def test_the_card_is_beside_the_model_and_in_its_configuration(
    built: Path, checkpoint: Checkpoint
) -> None:
    text = (built / "faces" / "1" / "card.json").read_text(encoding="utf-8")
    card = Card.from_json(text)

    assert card.model_hash == checkpoint.digest()
    assert (card.width, card.num_ws, card.num_noise, card.max_batch) == (16, 6, 5, 4)
    assert card.parity["passed"] is True
    for name in ("faces", "faces_sampler"):
        assert Card.from_json(_config(built, name).parameters["card"].string_value) == card


def test_the_stages_are_copies_that_import_nothing_of_ours(built: Path) -> None:
    for stage in ("sampler", "encoder"):
        source = Path(stages_file).with_name(f"{stage}.py").read_text(encoding="utf-8")
        assert (built / f"faces_{stage}" / "1" / "model.py").read_text(encoding="utf-8") == source
        assert "import nonesuch" not in source
        assert "from nonesuch" not in source


def test_building_again_replaces_the_models(checkpoint: Checkpoint, tmp_path: Path) -> None:
    plan = Plan(name="faces", repository=tmp_path)
    build(checkpoint, plan)
    (tmp_path / "faces_generator" / "1" / "left.over").touch()
    other = network.freeze(forge.shaped(SMALL, seed=7), "other")

    card = build(other, plan).card

    assert card.model_hash == other.digest() != checkpoint.digest()
    assert sorted(p.name for p in tmp_path.iterdir()) == MODELS
    assert not (tmp_path / "faces_generator" / "1" / "left.over").exists()


def test_a_model_that_is_gone_in_the_new_build_goes_from_the_repository(tmp_path: Path) -> None:
    plan = Plan(name="faces", repository=tmp_path)
    (tmp_path / "faces_mapping").mkdir()

    built = build(network.freeze(families.small("progan"), "small"), plan)

    without = [name for name in MODELS if name != "faces_mapping"]
    assert sorted(p.name for p in tmp_path.iterdir()) == without
    assert sorted(p.name for p in built.models) == without
    assert (built.card.num_ws, built.card.controls) == (0, ("z", "c"))


def test_an_engine_out_of_tolerance_is_not_published(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    strict = parity.Tolerance(max_level=-1, share=0.0)
    monkeypatch.setitem(parity.TOLERANCES, "fp32", strict)

    with pytest.raises(ParityError, match=r"differs from the reference by up to \d+ level"):
        build(checkpoint, Plan(name="faces", repository=tmp_path))

    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_the_repository_as_it_was(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    build(checkpoint, Plan(name="faces", repository=tmp_path))
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    code = (
        "import resource, sys; from nonesuch_export.cli import main; "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000)); main()"
    )

    done = subprocess.run(
        [sys.executable, "-c", code, "build", str(GOLDEN / "sg2_cond_32.pkl"), "--name", "faces",
         "--repository", str(tmp_path)],
        capture_output=True, text=True, check=False,
        env={"PYTHONPATH": ":".join(p for p in sys.path if p), "PYTHONWARNINGS": "ignore"},
    )  # fmt: skip

    assert done.returncode == 1, done.stderr
    assert "cannot be written: File too large" in done.stderr
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before


def test_moving_that_is_broken_off_puts_the_old_models_back(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = Plan(name="faces", repository=tmp_path)
    old = build(checkpoint, plan).card
    rename, count = Path.rename, iter(range(100))

    def interrupted(self: Path, target: Path) -> Path:
        if next(count) == 5:  # in the middle of the third model
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        build(network.freeze(forge.shaped(SMALL, seed=7), "other"), plan)
    monkeypatch.undo()

    text = (tmp_path / "faces" / "1" / "card.json").read_text(encoding="utf-8")
    assert sorted(p.name for p in tmp_path.iterdir()) == MODELS
    assert Card.from_json(text) == old
    assert parity.compare(
        network.build(checkpoint), tmp_path / "faces_generator" / "1" / "model.onnx"
    ).passed


@pytest.mark.parametrize("name", ["", "a/b", "faces_sampler", "-x", "ü", "x" * 64])
def test_names_that_cannot_be_folders_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="is no model name"):
        Plan(name=name, repository=tmp_path)


def test_a_repository_that_is_a_file_is_one_sentence(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(ExportError, match="file cannot be written"):
        build(checkpoint, Plan(name="faces", repository=tmp_path / "file"))


def test_parity_counts_levels(checkpoint: Checkpoint, built: Path) -> None:
    engine = built / "faces_generator" / "1" / "model.onnx"
    generator = network.build(checkpoint)
    assert isinstance(generator, StyleGAN2)
    report = parity.compare(generator, engine, seeds=range(7))
    with torch.no_grad():
        generator.synthesis.blocks[-1].torgb.bias += 2 / 127.5  # type: ignore[union-attr]
    shifted = parity.compare(generator, engine, seeds=range(7))

    assert report.passed
    assert {row.settings for row in report.rows} == {
        "neutral", "psi 0.7", "mixed from row 3", "noise off", "noise seed 4", "z of zeros"
    }  # fmt: skip
    assert not shifted.passed
    assert shifted.max_level in {2, 3}
    assert shifted.psnr is not None
    assert 42 < shifted.psnr < 48  # 2 levels everywhere are 42.1 dB; what is clipped cannot move
    assert "NOT within" in shifted.table()
    assert json.loads(shifted.to_json())["passed"] is False


def test_configs_are_the_same_for_the_same_card(built: Path) -> None:
    card = Card.from_json((built / "faces" / "1" / "card.json").read_text(encoding="utf-8"))
    sizes = {"z_dim": 24, "w_dim": 20, "num_ws": 6, "num_noise": 5, "c_dim": 0,
             "height": 16, "width": 16, "channels": 3}  # fmt: skip

    for config in repository.configs(card, sizes):
        assert config == _config(built, config.name)
