"""Regression: planted directions are found, and what cannot be found is said."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import families
from torch import eye, from_numpy

from nonesuch.errors import InvalidRequest
from nonesuch.latents import latent
from nonesuch_export import directions, network, population
from nonesuch_export.checkpoint import native
from nonesuch_export.cli import main
from nonesuch_export.population import Conditions
from nonesuch_export.regression import regress


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(1, 4),
    shift=st.floats(-100, 100),
    scale=st.floats(0.01, 100),
)
def test_regression_finds_the_ways_that_change_one_label_each(
    seed: int, count: int, shift: float, scale: float
) -> None:
    random = np.random.default_rng(seed)
    mixing = random.standard_normal((8, 8)) + 2 * np.eye(8)  # W is neither round nor aligned
    w = scale * (random.standard_normal((3000, 8)) @ mixing) + shift
    planted = np.linalg.qr(random.standard_normal((8, 8)))[0][:count]
    labels = w @ planted.T
    labels += 0.1 * labels.std(axis=0) * random.standard_normal((3000, count))

    fit = regress(w, labels, [str(i) for i in range(count)], np.cov(w.T))

    effects = (fit.moves @ planted.T) / labels.std(axis=0)
    np.testing.assert_allclose(effects, np.eye(count), atol=0.06)
    scores = (w - w.mean(axis=0)) @ fit.readouts.T
    standard = (labels - labels.mean(axis=0)) / labels.std(axis=0)
    np.testing.assert_allclose(scores.std(axis=0), standard.std(axis=0), atol=0.02)
    assert np.abs(scores - standard).std(axis=0).max() < 0.12
    assert min(fit.explained) > 0.98


def test_regression_stays_within_a_flat_w() -> None:
    random = np.random.default_rng(1)
    span = random.standard_normal((3, 16))
    w = random.standard_normal((500, 3)) @ span

    fit = regress(w, w[:, :1], ["a"], np.cov(w.T))

    for found in (fit.moves, fit.readouts):
        outside = found - found @ np.linalg.pinv(span) @ span
        assert np.abs(outside).max() < 1e-4


def test_fewer_samples_than_dimensions_are_enough_for_a_plain_label() -> None:
    random = np.random.default_rng(2)
    w = random.standard_normal((200, 512)) * np.linspace(3, 0.01, 512)
    slope = np.zeros(512)
    slope[:4] = 1.0
    label = w @ slope

    fit = regress(w, label[:, None], ["a"], np.diag(np.linspace(3, 0.01, 512) ** 2))

    aim = fit.moves[0] / np.linalg.norm(fit.moves[0])
    assert aim @ slope / 2 > 0.6  # chance: 0.04
    assert 0.3 < fit.explained[0] < 0.999


def test_what_is_left_out_is_what_is_told() -> None:
    """The closed form against fits without each sample in turn, at the same penalty."""
    random = np.random.default_rng(3)
    w = random.standard_normal((30, 5))
    label = w[:, 0] + 0.5 * random.standard_normal(30)

    fit = regress(w, label[:, None], ["a"], np.eye(5))

    def told(i: int, penalty: float) -> float:
        rest = np.arange(30) != i
        mean, centred = label[rest].mean(), w[rest] - w[rest].mean(axis=0)
        inner = centred.T @ centred + penalty * np.eye(5)
        slope = np.linalg.solve(inner, centred.T @ (label[rest] - mean))
        return float((w[i] - w[rest].mean(axis=0)) @ slope + mean)

    tried = [[told(i, 30 * 10.0**power) for i in range(30)] for power in np.arange(-8, 5, 0.5)]
    best = min(tried, key=lambda predictions: np.square(predictions - label).mean())
    assert fit.explained[0] == pytest.approx(np.corrcoef(best, label)[0, 1] ** 2, abs=0.01)


@pytest.mark.parametrize(
    ("label", "said"),
    [
        pytest.param(lambda w, _: w[:9, :1], "9 labelled samples, expected at least 10", id="few"),
        pytest.param(lambda w, _: w[:, :1] * 0 + 3, "label a is the same in all", id="constant"),
        pytest.param(lambda _, noise: noise, r"label a cannot be told from w.*R² is", id="noise"),
        pytest.param(
            lambda w, _: np.stack([w[:, 0], -2 * w[:, 0]], axis=1), "a and b say the same", id="two"
        ),
    ],
)  # fmt: skip
def test_labels_that_give_no_direction_are_refused(label: object, said: str) -> None:
    random = np.random.default_rng(4)
    w, noise = random.standard_normal((300, 40)), random.standard_normal((300, 1))
    labels = label(w, noise)  # type: ignore[operator]

    with pytest.raises(InvalidRequest, match=said):
        regress(w[: len(labels)], labels, "ab"[: labels.shape[1]], np.eye(40))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("small") / "small.safetensors"
    native.write(network.freeze(families.small("stylegan2"), "small"), path)
    return path


def fit(small: Path, out: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["directions", "fit", str(small), "--out", str(out), *words])


def test_the_command_fits_a_csv_file_at_its_class_and_psi(small: Path, tmp_path: Path) -> None:
    generator = families.small("stylegan2")
    w = population.shown(generator, range(300), Conditions(psi=0.5, class_idx=2))
    table = [f"{seed},{row[3]},{row[1] - row[5]}" for seed, row in enumerate(w)]
    (tmp_path / "labels.csv").write_text("\n".join(["seed,third,others", *table]))

    done = fit(
        small, tmp_path / "out.safetensors", "--labels", str(tmp_path / "labels.csv"),
        "--psi", "0.5", "--class", "2", "--layers", "coarse", "--layers", "others=3-4",
    )  # fmt: skip

    found = directions.read(tmp_path / "out.safetensors")
    assert done.exit_code == 0, done.output
    assert [(d.name, d.first, d.last) for d in found.named] == [("third", 0, 2), ("others", 3, 4)]
    moved = np.stack([found.vectors[:, 3], found.vectors[:, 1] - found.vectors[:, 5]])
    np.testing.assert_allclose(
        moved, np.diag([w[:, 3].std(), (w[:, 1] - w[:, 5]).std()]), atol=1e-4
    )


def test_pictures_are_drawn_from_the_w_that_is_fitted() -> None:
    generator = families.small("stylegan2")
    conditions = Conditions(psi=0.5, class_idx=1)
    seeds = (3, 70, 4, 1, 0, 9, 8, 7, 6)

    pictures = np.concatenate(list(population.drawn(generator, seeds, conditions)))

    w = population.shown(generator, seeds, conditions)
    ws = np.repeat(w[:, None], generator.num_ws, axis=1).astype(np.float32)
    noise = [stored[None, None] for stored in generator.noise_const]
    img = generator.synthesize(from_numpy(ws), noise)
    expected = (img * 127.5 + 128).clamp(0, 255).permute(0, 2, 3, 1).numpy()
    assert np.abs(pictures - expected).max() < 1.01


ATTRIBUTES = """
def brightness(pictures):
    assert pictures.dtype.name == "uint8" and pictures.shape[1:] == (16, 16, 3)
    half = pictures.shape[1] // 2
    return {
        "light": pictures.mean(axis=(1, 2, 3)),
        "sky": pictures[:, :half].mean(axis=(1, 2, 3)) - pictures[:, half:].mean(axis=(1, 2, 3)),
    }
"""


def test_the_command_fits_what_a_function_says_of_the_pictures(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "judge_of_light.py").write_text(ATTRIBUTES)
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "out.safetensors"

    done = fit(small, out, "--labels", "judge_of_light:brightness", "--seeds", "0-399")

    assert done.exit_code == 0, done.output
    found = directions.read(out)
    generator = families.small("stylegan2")
    w = population.shown(generator, range(1000, 1200), Conditions())
    scores = (w - found.centre) @ found.readouts.T
    pictures = np.concatenate(list(population.drawn(generator, range(1000, 1200), Conditions())))
    assert np.corrcoef(scores[:, 0], pictures.mean(axis=(1, 2, 3)))[0, 1] > 0.7
    assert [d.name for d in found.named] == ["light", "sky"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--labels", "no.csv"], "'no.csv', expected a CSV file that exists, or MODULE:FUNCTION"),
        (["--labels", "no_such_module:f"], "there is no no_such_module:f"),
        (["--labels", "json:no_such"], "there is no json:no_such"),
        (["--labels", "json:dumps", "--class", "3"], "the class is 3, expected 0 to 2"),
        (["--labels", "builtins:len", "--seeds", "0-9"], "the function answers a int, expected a"),
    ],
)
def test_what_cannot_be_fitted_is_refused(
    small: Path, words: list[str], said: str, tmp_path: Path
) -> None:
    done = fit(small, tmp_path / "out.safetensors", *words)

    assert done.exit_code == 2
    assert said in done.output
    assert not (tmp_path / "out.safetensors").exists()


def test_own_samples_are_the_seeds_w_of_all_classes() -> None:
    generator = families.small("stylegan2")
    assert generator.mapping is not None
    w = population.sample(generator, [5, 6, 7, 8])

    for i, seed in enumerate([5, 6, 7, 8]):
        alone = generator.mapping(from_numpy(latent(seed, 12)), eye(3)[i % 3][None])
        np.testing.assert_allclose(w[i], alone[0], atol=1e-5)
