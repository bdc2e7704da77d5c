"""Training: what it is fed, that a run goes on and grows, and (slow) that faces appear."""

import csv
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from demo import space
from demo.attributes import INDEX
from demo.measure import generate, latents, styles
from demo.measure import readings as told
from demo.reader import load
from demo.train import Plan, Trainer, samples, train
from torch import Tensor

from nonesuch_export import network
from nonesuch_export.checkpoint import read

ROOT = Path(__file__).parents[2]
# A runner in the background hands down an ignored SIGINT.
_AS_IN_A_TERMINAL = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from demo.train import main; main()"
)


def small(out: Path, *, resolution: int = 32, images: int = 64) -> Plan:
    return Plan(out=out, resolution=resolution, images=images, batch=16, save_s=0)


def test_samples_show_what_their_rows_say(tmp_path: Path) -> None:
    config = small(tmp_path, resolution=64).config
    batch = samples(
        config, 8, small(tmp_path, resolution=64).groups, torch.Generator().manual_seed(0)
    )

    assert batch.ws.shape == (8, config.num_ws, space.W_DIM)
    assert batch.target.shape == (8, 3, 64, 64)
    assert [noise.shape[-1] for noise in batch.noise] == [4, 8, 8, 16, 16, 32, 32, 64, 64]
    assert batch.target.abs().max() <= 1


def test_samples_go_past_the_ends_of_attributes(tmp_path: Path) -> None:
    plan = small(tmp_path)

    ws = samples(plan.config, 256, plan.groups, torch.Generator().manual_seed(0)).ws

    attributes = (ws @ torch.linalg.pinv(space.W_DIRECTIONS) + 1) / 2
    assert attributes.min() < -0.4
    assert attributes.max() > 1.4
    assert ((attributes < -0.1) | (attributes > 1.1)).float().mean() < 0.05


def test_a_run_goes_on_where_it_ended(tmp_path: Path) -> None:
    whole, half = small(tmp_path, images=96), small(tmp_path, images=48)
    list(train(half, Trainer(half)))
    again = Trainer(whole)

    again.resume(tmp_path / "state.pt")
    rest = [now.images for now in train(whole, again)]

    assert rest == [64, 80, 96]
    assert read(tmp_path / "portraits.safetensors").family == "stylegan2"


def test_a_finished_run_has_nothing_to_do(tmp_path: Path) -> None:
    plan = small(tmp_path, images=16)
    trainer = Trainer(plan)
    list(train(plan, trainer))

    assert list(train(plan, trainer)) == []


def test_a_run_grows(tmp_path: Path) -> None:
    less, more = small(tmp_path, images=32), small(tmp_path, resolution=64, images=64)
    first = Trainer(less)
    list(train(less, first))
    grown = Trainer(more)

    grown.resume(tmp_path / "state.pt")

    assert grown.images == 32
    name = "synthesis.b32.conv1.weight"
    assert (grown.network.state_dict()[name] == first.network.state_dict()[name]).all()
    assert [now.images for now in train(more, grown)] == [48, 64]


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_stopped_ends_with_its_drawing_process(
    tmp_path: Path, signum: signal.Signals
) -> None:
    words = ["--out", str(tmp_path), "--resolution", "32", "--save-s", "0"]
    run = subprocess.Popen([sys.executable, "-c", _AS_IN_A_TERMINAL, *words], cwd=ROOT)
    try:
        end = time.monotonic() + 60
        while not (tmp_path / "curve.csv").exists():
            assert run.poll() is None
            assert time.monotonic() < end
            time.sleep(0.1)
        children = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()

        run.send_signal(signum)

        assert run.wait(timeout=20) != 0
        assert children
        assert not any(Path("/proc", pid).exists() for pid in children)
    finally:
        run.kill()
        run.wait()


@pytest.mark.slow
def test_faces_appear_in_five_minutes(tmp_path: Path) -> None:
    words = ["--out", str(tmp_path), "--resolution", "32", "--images", "30000", "--save-s", "15"]
    subprocess.run([sys.executable, "-m", "demo.train", *words], cwd=ROOT, check=True)

    with (tmp_path / "curve.csv").open(encoding="utf-8") as file:
        losses = [float(loss) for _, loss, _ in csv.reader(file)]
    assert losses[-1] < 0.6 * losses[0]
    told, true = readings(tmp_path / "portraits.safetensors")
    for name in ("skin", "roll", "hair_length", "hair_colour", "background_lightness"):
        column = INDEX[name]
        assert torch.corrcoef(torch.stack([told[:, column], true[:, column]]))[0, 1] > 0.7, name


def readings(path: Path) -> tuple[Tensor, Tensor]:
    """The attributes that pictures of seeds show, and those that they ought to."""
    generator = network.build(read(path))
    z = latents(range(128))
    pictures = generate(generator, styles(generator, z))
    shown = (F.interpolate(part, scale_factor=2, mode="bilinear") for part in pictures)
    return told(load(), shown), space.attributes_of(z)
