"""`nonesuch-export`: inspect, convert, build and compare checkpoints."""

import json
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import click

from nonesuch.command import CommandGroup, Parsed
from nonesuch.errors import printable
from nonesuch.latents import Seeds, parse_seeds
from nonesuch_export.cli_directions import directions
from nonesuch_export.crop import Crop
from nonesuch_export.identity import Hardware, Settings
from nonesuch_export.seam import Tile

_FILE = click.argument("file", type=click.Path(path_type=Path))
_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
_CROP = click.option(
    "--crop",
    type=Parsed(Crop.parse),
    metavar="WIDTHxHEIGHT[+LEFT+TOP]",
    help="Cut this out of the network's picture; from the middle, if not told otherwise.",
)

_TILE = click.option(
    "--tile",
    type=click.Choice(get_args(Tile)),
    help="Let pictures repeat without a seam along these axes, for textures.",
)


# The words of `engine.ENGINES` and their precisions, which are not imported to say --help.
ENGINES = ("onnxruntime", "onnxruntime-cuda", "openvino", "tensorrt")
PRECISIONS = ("fp32", "bf16", "fp16")


def _engine_options(command: Callable[..., Any]) -> Callable[..., Any]:
    precision = click.option(
        "--precision",
        type=click.Choice(PRECISIONS),
        default=PRECISIONS[0],
        help="Arithmetic of the convolutions; the engine must know it.",
    )
    engine = click.option(
        "--engine", type=click.Choice(ENGINES), default=ENGINES[0], help="What runs the network."
    )
    return engine(precision(command))


@click.group(cls=CommandGroup, extra="export")
@click.version_option(package_name="nonesuch", message="%(version)s")
def main() -> None:
    """Turn a trained generator's checkpoint into a model repository for Triton."""


@main.command()
@_FILE
@_JSON
def inspect(file: Path, *, as_json: bool) -> None:
    """Say what a checkpoint holds, without running anything in it.

    \b
    Examples:
      nonesuch-export inspect network-snapshot.pkl
      nonesuch-export inspect network-snapshot.pkl --json | jq .resolution
    """
    from nonesuch_export.checkpoint import read
    from nonesuch_export.summary import summarize

    facts = summarize(read(file)).to_dict()
    if as_json:
        click.echo(json.dumps(facts))
        return
    for name, value in facts.items():
        lines = value or ["nothing"] if name == "unusual" else [value]
        words = "\n".join("-" if v is None or v == "" else printable(str(v)) for v in lines)
        click.echo(f"{name.replace('_', ' '):<16} {words}")


@main.command()
@_FILE
@click.argument("out", type=click.Path(path_type=Path))
def convert(file: Path, out: Path) -> None:
    """Write a checkpoint in nonesuch's own format: safetensors with the configuration inside.

    \b
    Examples:
      nonesuch-export convert network-snapshot.pkl faces.safetensors
      nonesuch-export convert ffhq.pkl models/ffhq.safetensors
    """
    from nonesuch_export import network
    from nonesuch_export.checkpoint import native, read

    checkpoint = read(file)
    network.check(checkpoint)
    native.write(checkpoint, out)
    click.echo(f"{out}: {checkpoint.family}, {checkpoint.parameters:,} values", err=True)


@main.command()
@_FILE
@click.option("--name", required=True, help="Name of the served model.")
@click.option(
    "--repository",
    type=click.Path(path_type=Path),
    default="model_repository",
    help="Folder of the model repository.",
)
@_engine_options
@click.option(
    "--max-batch",
    type=click.IntRange(0, 1024),
    default=0,
    help="Samples in one run of the engine at most; 0 = 16 up to 128x128 pixels, 8 above.",
)
@_CROP
@_TILE
@click.option(
    "--directions",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    multiple=True,
    help="File with named directions of this model; repeatable.",
)
@click.option(
    "--modes",
    type=click.IntRange(0),
    default=0,
    help="Centres of w to truncate towards, in each group of layers; 0 = the average only.",
)
@click.option(
    "--tune",
    is_flag=True,
    help="Measure equal forms of layers on this machine first, and take the fastest.",
)
@_JSON
def build(*, file: Path, as_json: bool, **plan: Any) -> None:
    """Export a checkpoint, compare it with the reference and place it for Triton.

    \b
    Examples:
      nonesuch-export build network-snapshot.pkl --name faces
      nonesuch-export build ffhq.pkl --name ffhq --engine openvino --precision bf16 --tune
      nonesuch-export build ffhq.pkl --name ffhq --directions dials.safetensors --modes 256
      nonesuch-export build stylegan2-car-config-f.pkl --name cars --crop 512x384
      nonesuch-export build bricks.safetensors --name bricks --tile both
    """
    from nonesuch_export import repository
    from nonesuch_export.checkpoint import read

    start = time.perf_counter()
    wanted = repository.Plan(**plan)  # click has checked the types
    with _clean_end():
        built = repository.build(read(file), wanted)
    seconds = time.perf_counter() - start
    for trial in built.trials:
        click.echo(str(trial), err=True)
    if as_json:
        models = [str(path) for path in built.models]
        click.echo(json.dumps({**asdict(built.card), "models": models, "seconds": seconds}))
        return
    for path in built.models:
        click.echo(str(path))
    worst = "equal" if built.report.psnr is None else f"{built.report.psnr:.1f} dB"
    click.echo(
        f"{wanted.name}: {wanted.engine} {wanted.precision}, off the reference by at most "
        f"{built.report.max_level} of 255 levels ({worst}), built in {seconds:.1f} s",
        err=True,
    )


@main.command()
@_FILE
@click.option(
    "--seeds",
    type=Parsed(parse_seeds),
    default="0-7",
    metavar="LIST",
    help="Golden seeds, e.g. 0-7,12.",
)
@click.option(
    "--engine-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    default=None,
    help="An engine built before; by default one is made for the comparison.",
)
@_engine_options
@_CROP
@_TILE
@_JSON
def parity(  # noqa: PLR0913 - an argument for each option
    file: Path,
    *,
    seeds: Seeds,
    engine_file: Path | None,
    engine: str,
    precision: str,
    crop: Crop | None,
    tile: Tile | None,
    as_json: bool,
) -> None:
    """Compare an engine's pictures with the torch reference; exit status 1 beyond tolerance.

    \b
    Examples:
      nonesuch-export parity network-snapshot.pkl
      nonesuch-export parity ffhq.pkl --engine openvino --precision bf16
      nonesuch-export parity ffhq.pkl --engine-file models/ffhq_generator/1/model.onnx --json
    """
    from nonesuch_export import graph, network
    from nonesuch_export.checkpoint import read
    from nonesuch_export.engine import runtime
    from nonesuch_export.parity import compare

    made_by = runtime(engine, precision)
    made_by.available()
    generator = network.build(read(file))
    generator.frame(crop, tile)
    with tempfile.TemporaryDirectory() as folder:
        plan = engine_file
        if plan is None:
            plan, onnx = Path(folder) / made_by.FILE, Path(folder) / "graph.onnx"
            graph.export(generator, onnx)
            made_by.compile(onnx, plan, precision=precision, max_batch=len(seeds))
        report = compare(generator, plan, engine, precision, list(seeds))
    click.echo(report.to_json() if as_json else report.table())
    raise SystemExit(0 if report.passed else 1)


@main.command()
@click.argument("graph", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--out", type=click.Path(path_type=Path), help="[default: GRAPH, ending in .plan]")
@click.option("--precision", type=click.Choice(["fp32", "fp16"]), default="fp32")
@click.option(
    "--batch",
    type=click.IntRange(1, 1024),
    nargs=3,
    default=(1, 8, 8),
    metavar="LEAST BEST MOST",
    help="Samples in one run: the range, and the number to be fastest at.",
)
@click.option(
    "--level", type=click.IntRange(0, 5), default=3, help="Of the search for fast kernels."
)
@click.option(
    "--workspace-mib",
    type=click.IntRange(min=1),
    help="Memory that kernels may take.  [default: (all that the GPU has)]",
)
@click.option(
    "--timing-cache",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File of measurements on this GPU, read and written.",
)
@click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="SM86",
    help="Build for such GPUs instead, without one (TensorRT for RTX only).",
)
@click.option(
    "--hardware",
    type=click.Choice(get_args(Hardware)),
    default="none",
    help="Let other GPUs run the plan too, more slowly.",
)
@click.option(
    "--version-compatible", is_flag=True, help="Let later versions of TensorRT run it too."
)
def plan(graph: Path, out: Path | None, timing_cache: Path | None, **settings: Any) -> None:
    """Build a TensorRT plan of an exported GRAPH for the GPU of this machine.

    `build --engine tensorrt` does this too; here it is done anew, on the machine that serves.

    \b
    Examples:
      nonesuch-export plan models/faces_generator/1/model.onnx --precision fp16
      nonesuch-export plan model.onnx --batch 1 4 16 --timing-cache h100.timing
      nonesuch-export plan model.onnx --target SM86 --target SM89
    """
    from nonesuch_export.engine import tensorrt

    made = out or graph.with_suffix(".plan")
    drawn = _draw if sys.stderr.isatty() else None
    wanted = Settings(**settings)  # click has checked the types
    tensorrt.build(graph, made, wanted, timing_cache=timing_cache, progress=drawn)
    click.echo("\r\033[K" if drawn else "", nl=False, err=True)
    click.echo(str(made))


def _draw(phase: str, done: int, steps: int) -> None:
    click.echo(f"\r\033[K{phase[:60]}: {done} of {steps}", nl=False, err=True)


@main.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--resolution",
    type=click.Choice([2**i for i in range(2, 13)]),
    default=256,
    help="Pixels.",
)
@click.option(
    "--classes",
    type=click.IntRange(0, 10_000),
    default=0,
    help="Number of classes; 0 = unconditional.",
)
@click.option(
    "--channel-base",
    type=click.IntRange(min=4096),
    help="Channels at resolution r are this / r.  [default: 16384; from 512 pixels on 32768]",
)
@click.option(
    "--channel-max", type=click.IntRange(1, 4096), default=512, help="… but at most this."
)
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, help="Of the weights.")
def random(*, out: Path, seed: int, **shape: Any) -> None:
    """Write an untrained StyleGAN2 of a given size, to measure a machine before there are weights.

    \b
    Examples:
      nonesuch-export random random256.safetensors
      nonesuch-export random random1024.safetensors --resolution 1024
    """
    from nonesuch_export import network
    from nonesuch_export.checkpoint import native
    from nonesuch_export.network.config import Config

    generator = network.untrained("stylegan2", Config.sized(**shape), seed)
    native.write(network.freeze(generator, "random"), out)
    click.echo(f"{out}: {shape['resolution']} pixels, random weights", err=True)


main.add_command(directions)


@contextmanager
def _clean_end() -> Iterator[None]:
    """Clean up on SIGTERM as after Ctrl-C, then end with status 143.

    torch's exporter takes an exit for an error of its own, so the signal is remembered.
    """
    signals = []

    def end(number: int, _: object) -> None:
        signals.append(number)
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, end)
    try:
        yield
    except Exception:
        if not signals:
            raise
    if signals:
        sys.exit(128 + signals[0])


if __name__ == "__main__":
    main()
