"""Trains the demo generator: a StyleGAN2 that draws what `demo.portraits` draws.

Supervised, not adversarial: w is a linear code of a portrait's attributes (`demo.space`), the
target of each w is the portrait itself. Each group of layers gets the w of another portrait
often enough that coarse layers learn pose and hair, middle layers features and fine layers
colour, and the noise that the network gets is the noise that draws the target's texture.
"""

import csv
import math
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import click
import torch
import torch.multiprocessing as multiprocessing
import torch.nn.functional as F  # noqa: N812
from demo import space
from demo.attributes import ATTRIBUTES, random
from demo.portraits import Texture, render
from torch import Tensor

from nonesuch.files import save
from nonesuch.images import encode, grid
from nonesuch_export.checkpoint import native
from nonesuch_export.graph import to_uint8
from nonesuch_export.network import StyleGAN2, freeze
from nonesuch_export.network.config import Config

ABOUT = (
    "Drawn portraits, no photographs and no real people. Trained with supervision by the program "
    "that draws them (regression of each layer group on its attributes), not adversarially; the "
    "mapping network is constructed, so attributes have known directions in w."
)
_SAME = 0.35  # share of samples whose three layer groups show one portrait
_TURNED = 1.5  # attributes of a sample that a dial has turned, on average
_LOOKS = 32  # held-out portraits for the figures, half of them mixed


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to train, and how long."""

    out: Path
    resolution: int = 64
    images: int = 300_000
    batch: int = 16
    rate: float = 0.01  # of Adam, at its highest
    seed: int = 0
    device: str = "cpu"
    save_s: float = 150.0  # between saved states

    @property
    def config(self) -> Config:
        return Config(
            resolution=self.resolution,
            widths=tuple(min(128, 3072 // r) for r in (4 * 2**i for i in range(self._blocks))),
            z_dim=space.Z_DIM,
            w_dim=space.W_DIM,
            mapping_widths=space.MAPPING_WIDTHS,
            conv_clamp=None,
        )

    @property
    def groups(self) -> list[int]:
        """The group of each row of ws."""
        return layer_groups(StyleGAN2(self.config).ws_resolutions)

    @property
    def _blocks(self) -> int:
        return self.resolution.bit_length() - 2


@dataclass(frozen=True)
class Batch:
    """Training samples: the code of each row of ws, the noise, and the picture to be drawn."""

    ws: Tensor  # [N, num_ws, W_DIM], centred at zero
    noise: list[Tensor]  # [N, 1, r, r] for each layer
    target: Tensor  # [N, 3, R, R] in [-1, 1]


def layer_groups(ws_resolutions: Sequence[int]) -> list[int]:
    """Which of coarse (0), middle (1), fine (2) each row of ws belongs to, by its resolution.

    Below 64 pixels the largest layers are the fine ones.
    """
    largest = min(max(ws_resolutions), 64)
    return [0 if r <= 8 else 1 if r < largest else 2 for r in ws_resolutions]


def samples(config: Config, count: int, groups: list[int], source: torch.Generator) -> Batch:
    """Draw `count` training samples on the generator's device."""
    own = random(3 * count, source).reshape(count, 3, -1) * 1.1 - 0.05  # a little beyond the ends
    same = torch.rand(count, generator=source, device=source.device) < _SAME
    own[same] = own[same][:, :1]
    order = {"coarse": 0, "middle": 1, "fine": 2}
    picks = [order[attribute.group] for attribute in ATTRIBUTES]
    own[:, picks, range(len(picks))] += _turns(count, source)
    seen = own[:, picks, range(len(picks))].clamp(0, 1)
    sizes = [4, *(r for r in config.block_resolutions[1:] for _ in range(2))]
    noise = [torch.randn(count, 1, r, r, generator=source, device=source.device) for r in sizes]
    by_size = dict(zip(sizes, noise, strict=True))  # the last layer of each resolution
    texture = Texture(
        strands=by_size[config.resolution],
        skin=by_size[config.resolution // 2],
        background=by_size[16],
    )
    target = render(seen, config.resolution, texture=texture)
    return Batch(space.w_of(own)[:, groups], noise, target)


def _turns(count: int, source: torch.Generator) -> Tensor:
    """What dials add to attributes, [count, A]: a few are turned, up to two deviations far.

    So the generator learns that beyond its end an attribute stays as it is there.
    """
    shape, device = (count, len(ATTRIBUTES)), source.device
    turned = torch.rand(shape, generator=source, device=device) < _TURNED / len(ATTRIBUTES)
    weights = 4 * torch.rand(shape, generator=source, device=device) - 2
    return torch.where(turned, weights * 12**-0.5, 0.0)  # the deviation of an even spread


def _fill(queue: "multiprocessing.Queue[Batch]", plan: Plan, seed: int) -> None:
    torch.set_num_threads(1)
    config, groups = plan.config, plan.groups
    source = torch.Generator().manual_seed(seed)
    with torch.inference_mode():
        while True:
            queue.put(samples(config, plan.batch, groups, source))


def batches(plan: Plan, seed: int) -> Iterator[Batch]:
    """Training samples without end; on a CPU a second process draws them."""
    if plan.device != "cpu":
        config, groups = plan.config, plan.groups
        source = torch.Generator(plan.device).manual_seed(seed)
        while True:
            with torch.no_grad():
                yield samples(config, plan.batch, groups, source)
    multiprocessing.set_sharing_strategy("file_system")  # type: ignore[no-untyped-call]
    queue: multiprocessing.Queue[Batch] = multiprocessing.Queue(maxsize=32)
    drawer = multiprocessing.Process(target=_fill, args=(queue, plan, seed), daemon=True)
    drawer.start()
    try:
        while True:
            yield queue.get()
    finally:
        # Not `terminate`: the process, forked, has our way of ending, which waits for a reader of
        # what it has put into the queue.
        drawer.kill()
        drawer.join()


class Loss:
    """Distance of two pictures; eyes, mouth and ears weigh more, and it hardens with time."""

    def __init__(self, resolution: int, device: str) -> None:
        line = (torch.arange(resolution, device=device) + 0.5) / (resolution / 2) - 1
        x, y = line[None], line[:, None]
        face = torch.exp(-(x**2 + (y - 0.06) ** 2) / (2 * 0.28**2))
        mouth = torch.exp(-((x / 0.24) ** 2) / 2 - ((y - 0.34) / 0.15) ** 2 / 2)
        ears = torch.exp(-(((x.abs() - 0.5) / 0.1) ** 2) / 2 - ((y - 0.22) / 0.1) ** 2 / 2)
        self._weight = 0.5 + 3.5 * face + 3.5 * mouth + 3.0 * ears

    def __call__(self, image: Tensor, target: Tensor, progress: float) -> Tensor:
        width = 0.25 * max(0.0, 1 - 2 * progress) + 0.02
        d = image - target
        loss = (_charbonnier(d, width) * self._weight).mean()
        steps = (d.diff(dim=3).abs() * self._weight[:, 1:]).mean()
        steps = steps + (d.diff(dim=2).abs() * self._weight[1:]).mean()
        loss = loss + (0.1 + 0.6 * min(1.0, progress / 0.6)) * steps
        for size, share in ((2, 0.5), (4, 0.5), (16, 0.3)):
            loss = loss + share * _charbonnier(F.avg_pool2d(d, size), width).mean()
        return loss


def _charbonnier(d: Tensor, width: float) -> Tensor:
    return (d.square() + width**2).sqrt() - width


class Trainer:
    """A network in training, its moving average, and what is needed to go on later."""

    def __init__(self, plan: Plan) -> None:
        torch.manual_seed(plan.seed)
        self.plan = plan
        self.network = StyleGAN2(plan.config).to(plan.device)
        for weight in self.network.synthesis.parameters():
            if weight.ndim == 4:
                weight.data = weight.data.to(memory_format=torch.channels_last)
        self.average = deepcopy(self.network).eval().requires_grad_(False)
        self.images = 0
        self._loss = Loss(plan.resolution, plan.device)
        self._optimizer = torch.optim.Adam(
            self.network.synthesis.parameters(), lr=plan.rate, betas=(0.9, 0.99), fused=True
        )
        source = torch.Generator().manual_seed(99)
        groups = plan.groups
        with torch.no_grad():
            self._held_out = samples(plan.config, _LOOKS, groups, source)

    @property
    def progress(self) -> float:
        return self.images / self.plan.images

    def step(self, batch: Batch) -> float:
        """Learn from one batch; returns its loss."""
        device = self.plan.device
        warm = min(1.0, (self.images + 1) / (100 * self.plan.batch))
        rate = self.plan.rate * warm * (0.5 + 0.5 * math.cos(math.pi * min(1.0, self.progress)))
        for group in self._optimizer.param_groups:
            group["lr"] = rate + 1e-5
        with torch.autocast(device, torch.bfloat16):
            image = self.network.synthesize(
                batch.ws.to(device), [n.to(device) for n in batch.noise]
            )
        loss = self._loss(image.float(), batch.target.to(device), self.progress)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.synthesis.parameters(), 5.0)
        self._optimizer.step()
        self.images += len(batch.ws)
        self._follow()
        return loss.item()

    def _follow(self) -> None:
        """Let the average follow the weights, faster in the beginning."""
        decay = min(0.998, (self.images + 8) / (self.images + 160))
        with torch.no_grad():
            torch._foreach_lerp_(
                list(self.average.synthesis.parameters()),
                list(self.network.synthesis.parameters()),
                1 - decay,
            )

    def look(self) -> tuple[float, Tensor]:
        """PSNR (dB, of the picture's range) on held-out portraits, and pairs drawn | learnt."""
        held, device = self._held_out, self.plan.device
        with torch.no_grad():
            image = self.average.synthesize(held.ws.to(device), [n.to(device) for n in held.noise])
        image = image.float().cpu()
        error = ((image - held.target) / 2).square().mean().item()
        return -10 * math.log10(error), torch.cat([held.target, image], dim=3)

    def state(self) -> dict[str, object]:
        return {
            "images": self.images,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self._optimizer.state_dict(),
        }

    def resume(self, path: Path) -> None:
        """Go on from a state that was saved, or grow it: layers that it lacks begin anew."""
        state = torch.load(path, weights_only=True, map_location=self.plan.device)
        self.images = state["images"]
        grown = len(state["network"]) < len(self.network.state_dict())
        self.network.load_state_dict(state["network"], strict=not grown)
        self.average.load_state_dict(state["average"], strict=not grown)
        if not grown:
            self._optimizer.load_state_dict(state["optimizer"])


def finished(average: StyleGAN2) -> StyleGAN2:
    """The generator as it is shipped: with its mapping, and with W where the mapping puts it."""
    whole = deepcopy(average).cpu()
    weights = {**whole.state_dict(), **space.mapping_weights(whole.config.lr_multiplier)}
    for name in [n for n in weights if n.endswith("affine.weight")]:
        weight = weights[name] / math.sqrt(space.W_DIM)
        bias = name.replace("weight", "bias")
        weights[bias] = weights[bias] - space.SHIFT * weight.sum(dim=1)
    whole.load_state_dict(weights)
    return whole


@dataclass(frozen=True)
class Progress:
    """Where the training is after a step."""

    images: int
    loss: float  # averaged over about a hundred steps
    psnr: float | None = None  # dB on held-out portraits, where a state was saved


def train(plan: Plan, trainer: Trainer) -> Iterator[Progress]:
    """Train to the end, a step each time; saves a state and samples every `plan.save_s`."""
    if trainer.images >= plan.images:
        return
    loss, saved_s = 0.0, time.monotonic()
    for batch in batches(plan, plan.seed + 1 + trainer.images):
        now = trainer.step(batch)
        loss = now if not loss else 0.99 * loss + 0.01 * now
        done = trainer.images >= plan.images
        if done or time.monotonic() - saved_s > plan.save_s:
            saved_s = time.monotonic()
            psnr, pairs = trainer.look()
            _keep(plan, trainer, pairs)
            yield Progress(trainer.images, loss, psnr)
        else:
            yield Progress(trainer.images, loss)
        if done:
            return


def _keep(plan: Plan, trainer: Trainer, pairs: Tensor) -> None:
    plan.out.mkdir(parents=True, exist_ok=True)
    aside = plan.out / "state.pt.part"
    torch.save(trainer.state(), aside)
    aside.replace(plan.out / "state.pt")
    save(plan.out / "pairs.png", encode(grid(list(to_uint8(pairs).numpy()), 4), "png"))
    checkpoint = freeze(finished(trainer.average), "portraits", about=ABOUT, licence="Apache-2.0")
    native.write(checkpoint, plan.out / "portraits.safetensors")


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default="build/portraits")
@click.option("--resolution", default=64, show_default=True, help="Pixels.")
@click.option("--images", default=300_000, show_default=True, help="How many to learn from.")
@click.option("--batch", default=16, show_default=True)
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda.")
@click.option("--save-s", default=150.0, show_default=True, help="Between saved states.")
@click.option("--threads", default=1, show_default=True, help="Of the trainer, on a CPU.")
def main(*, threads: int, **plan: object) -> None:
    """Train the demo generator; goes on where an earlier run in the same folder ended.

    A folder with an earlier run at a smaller resolution is grown: layers that it lacks begin anew.

    \b
    Examples:
      python -m demo.train --resolution 64 --images 170000
      python -m demo.train --resolution 128 --images 420000
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # ends the drawing process as well
    torch.set_num_threads(threads)
    wanted = Plan(**plan)  # type: ignore[arg-type]  # click has checked the types
    trainer = Trainer(wanted)
    if (wanted.out / "state.pt").exists():
        trainer.resume(wanted.out / "state.pt")
    start_s, first = time.monotonic(), trainer.images
    for now in _watched(train(wanted, trainer), wanted, first):
        if now.psnr is None:
            continue
        rate = (now.images - first) / (time.monotonic() - start_s)
        click.echo(
            f"{now.images:>8} images, {rate:.0f}/s, loss {now.loss:.4f}, PSNR {now.psnr:.2f} dB"
        )
        with (wanted.out / "curve.csv").open("a", encoding="utf-8") as file:
            csv.writer(file).writerow([now.images, f"{now.loss:.4f}", f"{now.psnr:.2f}"])


def _watched(steps: Iterator[Progress], plan: Plan, first: int) -> Iterator[Progress]:
    """The same steps, with a bar on a terminal."""
    if not sys.stderr.isatty():
        yield from steps
        return
    length = plan.images - first
    with click.progressbar(length=length, file=sys.stderr, show_pos=True) as bar:
        for now in steps:
            bar.update(min(plan.batch, length - bar.pos))
            yield now


if __name__ == "__main__":
    main()
