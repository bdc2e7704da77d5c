"""Which configuration of a model is best here? Each is built, served alone, and measured.

Building and serving are the work of the sister commands `nonesuch-export` and `nonesuch-server`,
which must be installed on this machine; the model repository that is given is only read, unless
the winner is to be written back.
"""

import itertools
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from nonesuch import files
from nonesuch.card import Card
from nonesuch.contract import CARD
from nonesuch.errors import InvalidRequest, NonesuchError, SetupError
from nonesuch_loadtest import result
from nonesuch_loadtest.bare import read_card
from nonesuch_loadtest.result import Point, Result
from nonesuch_loadtest.words import setting

_STEPS = ("sampler", "generator", "encoder", "mapping")
_COMMAND_S = 3600.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """One configuration of a model's generator."""

    engine: str
    precision: str
    max_batch: int  # pictures in one run of the engine at most
    instances: int
    delay_us: int  # that a request may wait for others to join its batch


@dataclass(frozen=True, kw_only=True, slots=True)
class Axes:
    """All values to be tried; () = what the model has now."""

    engines: tuple[str, ...] = ()
    precisions: tuple[str, ...] = ()
    max_batches: tuple[int, ...] = ()
    instances: tuple[int, ...] = ()
    delays_us: tuple[int, ...] = ()

    def choices(self, now: Choice) -> list[Choice]:
        """Every combination, that of now first if it is among them."""
        found = [
            Choice(engine=e, precision=p, max_batch=b, instances=i, delay_us=d)
            for e, p, b, i, d in itertools.product(
                self.engines or (now.engine,),
                self.precisions or (now.precision,),
                self.max_batches or (now.max_batch,),
                self.instances or (now.instances,),
                self.delays_us or (now.delay_us,),
            )
        ]
        return sorted(found, key=lambda choice: choice != now)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sweep:
    """Where the model is, and how each configuration is measured."""

    model: str
    repository: Path
    checkpoint: Path | None  # needed for other engines and precisions
    arguments: tuple[str, ...]  # of `nonesuch-loadtest run` for the scenario


def now(repository: Path, model: str) -> Choice:
    """The configuration that a model has; raises InvalidRequest where there is no such model."""
    card = read_card(repository, model)
    config = _read(_generator(repository, model))
    return Choice(
        engine=card.engine,
        precision=card.precision,
        max_batch=config.max_batch_size,
        instances=sum(group.count for group in config.instance_group) or 1,
        delay_us=config.dynamic_batching.max_queue_delay_microseconds,
    )


def measure(sweep: Sweep, choices: Sequence[Choice]) -> Iterator[tuple[Choice, Result | str]]:
    """Each configuration with its result, or with the reason why it cannot be served here."""
    for choice in choices:
        try:
            with laid(sweep, choice) as folder:
                yield choice, _measured(sweep, folder)
        except NonesuchError as exc:
            yield choice, str(exc)


def joined(found: Sequence[tuple[Choice, Result]]) -> Result:
    """All results as one, a point for each; `answer` is the best.

    Best is most images per second, of those without failures that keep the objective.
    """
    first = found[0][1]
    points = [replace(r.points[0], setting=asdict(choice)) for choice, r in found]
    best = max(points, key=lambda p: _worth(p, first))
    answer = best.setting if _worth(best, first) > 0 else {}
    return replace(first, points=tuple(points), answer=answer)


def _worth(found: Point, of: Result) -> float:
    total, objective = found.total, of.scenario.objective
    missed = objective and not total.percentile(objective.percentile) <= objective.limit_s
    return 0.0 if missed or total.failures else total.rate_hz


@contextmanager
def laid(sweep: Sweep, choice: Choice) -> Iterator[Path]:
    """A model repository with the model alone, configured so; gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="nonesuch-sweep-") as folder:
        repository = Path(folder)
        for name in _parts(sweep.model, sweep.repository):
            shutil.copytree(sweep.repository / name, repository / name)
        configure(sweep, choice, repository)
        yield repository


def reason(found: Result) -> str:
    """Why the answer of a sweep is the best, in lines for a configuration."""
    scenario, machine = found.scenario, found.hardware
    lines = []
    for point in sorted(found.points, key=lambda point: -point.total.rate_hz):
        total = point.total
        told = f"{setting(point.setting)}: {total.rate_hz:.1f} images/s"
        told += f", p99 {1000 * total.percentile(99):.0f} ms"
        told += f", {total.failures} failed" if total.failures else ""
        lines.append(told + (" (chosen)" if point.setting == found.answer else ""))
    callers = f"{scenario.concurrency} callers, {scenario.windows} x {scenario.window_s:g} s each"
    if (objective := scenario.objective) is not None:
        callers += f", p{objective.percentile:g} under {1000 * objective.limit_s:g} ms"
    head = f"Measured by nonesuch-loadtest sweep, {found.started[:10]}: {callers}, on"
    return "\n".join([head, f"{machine.cpu}, {machine.cores} cores:", *lines])


def configure(sweep: Sweep, choice: Choice, repository: Path, why: str = "") -> None:
    """Give the model of a repository this configuration, its engine rebuilt where it is another.

    why is written above the generator's configuration, in place of what stands there.
    """
    card = read_card(repository, sweep.model)
    other = (choice.engine, choice.precision) != (card.engine, card.precision)
    # A plan of TensorRT is for so many pictures and no more.
    if other or (card.engine == "tensorrt" and choice.max_batch > card.max_batch):
        _rebuild(sweep, choice, repository)
    for name in _parts(sweep.model, repository):
        _resize(repository / name / "config.pbtxt", choice.max_batch)
    path = _generator(repository, sweep.model)
    config = _read(path)
    # Its kind, CPU or GPU, is the engine's.
    kind = (
        config.instance_group[0].kind if config.instance_group else pb.ModelInstanceGroup.KIND_AUTO
    )
    del config.instance_group[:]
    config.instance_group.add(count=choice.instances, kind=kind)
    config.dynamic_batching.max_queue_delay_microseconds = choice.delay_us
    _write(config, path, why)


def _resize(path: Path, max_batch: int) -> None:
    """Let a model take so many pictures at once; an ensemble may take no more than its steps."""
    config = _read(path)
    config.max_batch_size = max_batch
    _tell(config, max_batch=max_batch)
    _write(config, path)


def _tell(config: Any, **facts: Any) -> None:
    """Change facts on the card of a configuration, where it carries one."""
    if CARD in config.parameters:
        card = Card.from_json(config.parameters[CARD].string_value)
        config.parameters[CARD].string_value = replace(card, **facts).to_json()


def _parts(model: str, repository: Path) -> list[str]:
    names = (model, *(f"{model}_{step}" for step in _STEPS))
    return [name for name in names if (repository / name).exists()]


def _rebuild(sweep: Sweep, choice: Choice, repository: Path) -> None:
    """Take the generator of another build of the checkpoint; the cards tell its engine."""
    if sweep.checkpoint is None:
        raise InvalidRequest(
            f"{choice.engine} {choice.precision} must be built first, give the --checkpoint of "
            f"{sweep.model}"
        )
    old = read_card(repository, sweep.model)
    with tempfile.TemporaryDirectory(prefix="nonesuch-build-") as folder:
        built = Path(folder)
        words = ["--name", sweep.model, "--repository", folder, "--engine", choice.engine]
        words += ["--precision", choice.precision, "--max-batch", str(choice.max_batch)]
        words += [f"--crop={old.crop}"] if old.crop else []
        words += [f"--tile={old.tile}"] if old.tile else []
        words += [f"--modes={old.modes}"] if old.modes else []
        if said := _command("nonesuch_export", ["build", str(sweep.checkpoint), *words]):
            raise SetupError(said)
        fresh = read_card(built, sweep.model)
        if (fresh.model_hash, fresh.controls) != (old.model_hash, old.controls):
            raise InvalidRequest(f"{sweep.checkpoint} is not the checkpoint of {sweep.model}")
        generator = repository / f"{sweep.model}_generator"
        shutil.rmtree(generator)
        shutil.move(built / generator.name, generator)
    for name in _parts(sweep.model, repository):
        path = repository / name / "config.pbtxt"
        config = _read(path)
        _tell(config, engine=fresh.engine, precision=fresh.precision, parity=fresh.parity)
        _write(config, path)


def _measured(sweep: Sweep, repository: Path) -> Result:
    out = repository.parent / f"{repository.name}-result"
    driver = [sys.executable, "-m", "nonesuch_loadtest.cli", "run", sweep.model]
    ports = [word for name in ("grpc", "http", "metrics") for word in (f"--{name}-port", "0")]
    served = ["run", "--repository", str(repository), *ports, "--", *driver, *sweep.arguments]
    try:
        said = _command("nonesuch_server", [*served, "--out", str(out)])
        if not (out / "result.json").exists():
            raise SetupError(said)
        return result.read(out / "result.json")  # of a run that may have had failures
    finally:
        shutil.rmtree(out, ignore_errors=True)


def _command(package: str, words: list[str]) -> str:
    """Run a sister command; returns its last words, "" where all went well."""
    done = subprocess.run(
        [sys.executable, "-m", f"{package}.cli", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=_COMMAND_S,
    )
    if not done.returncode:
        return ""
    lines = (done.stderr or done.stdout).strip().splitlines() or ["it said nothing"]
    return lines[-1].removeprefix("Error: ")


def _generator(repository: Path, model: str) -> Path:
    return repository / f"{model}_generator" / "config.pbtxt"


def _read(path: Path) -> Any:
    return text_format.Parse(path.read_text(encoding="utf-8"), pb.ModelConfig())


def _write(config: Any, path: Path, why: str = "") -> None:
    """Write a configuration, below the comment that stands above it, or another."""
    comment = "".join(f"# {line}\n" for line in why.splitlines()) or _comment(path)
    files.save(path, f"{comment}{text_format.MessageToString(config, as_utf8=True)}".encode())


def _comment(path: Path) -> str:
    with path.open(encoding="utf-8") as file:
        return "".join(itertools.takewhile(lambda line: line.startswith("#"), file))
