"""The client against the real server with real generators: `faces` and, with classes, `classes`."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest
from click.testing import CliRunner

from nonesuch import (
    AsyncClient,
    Client,
    Format,
    Mix,
    Noise,
    Picture,
    Sample,
    Transform,
    Truncation,
)
from nonesuch.cli import main
from nonesuch.errors import InvalidRequest, ModelNotFound
from nonesuch.images import decode

pytestmark = pytest.mark.triton

RAW = Format(name="raw")


class Served(Protocol):
    """A server that is ready."""

    url: str  # of gRPC


@pytest.fixture
def client(served: Served) -> Iterator[Client]:
    with Client(served.url) as connected:
        yield connected


def levels_apart(some: Picture, other: Picture) -> int:
    return int(np.abs(some.array().astype(int) - other.array()).max())


def one(client: Client, seed: int = 3, *, model: str = "faces", **settings: Any) -> Picture:
    (picture,) = client.generate(model, [seed], **{"format": RAW, **settings})
    return picture


def test_the_cards_say_what_is_served(client: Client) -> None:
    faces, classes = client.info("faces"), client.info("classes")

    assert (faces.width, faces.height, faces.num_ws, faces.c_dim) == (64, 64, 10, 0)
    assert (classes.width, classes.height, classes.num_ws, classes.c_dim) == (32, 32, 8, 10)


def test_the_models_are_those_that_generate_each_named_once(
    client: Client, repository: Path
) -> None:
    folders = sorted(path.name for path in repository.iterdir())
    parts = ("_sampler", "_generator", "_encoder", "_mapping")

    assert client.models() == [name for name in folders if not name.endswith(parts)]
    assert {"ada", "classes", "faces"} <= set(client.models())


def test_many_seeds_come_in_order_each_with_its_recipe(client: Client) -> None:
    pictures = list(client.generate("faces", range(40)))

    assert [picture.recipe["seed"] for picture in pictures] == list(range(40))
    assert {picture.recipe["model_hash"] for picture in pictures} == {
        client.info("faces").model_hash
    }
    assert all(picture.array().shape == (64, 64, 3) for picture in pictures)


def test_a_picture_does_not_depend_on_what_shares_its_batch(client: Client) -> None:
    together = list(client.generate("faces", range(16), format=RAW))

    assert max(levels_apart(one(client, p.recipe["seed"]), p) for p in together) <= 1


def test_lossless_formats_hold_the_raw_pixels(client: Client) -> None:
    assert levels_apart(one(client), one(client, format=Format(name="png"))) <= 1


@pytest.mark.parametrize("name", ["jpeg", "webp"])
def test_lossy_formats_are_close_and_smaller_with_less_quality(client: Client, name: Any) -> None:
    fine = one(client, format=Format(name=name, quality=95))
    coarse = one(client, format=Format(name=name, quality=10))

    difference = np.abs(fine.array().astype(int) - one(client).array())
    assert difference.mean() < 40
    assert len(coarse.encoded or b"") < len(fine.encoded or b"")


def test_psi_0_gives_the_average_picture_for_every_seed(client: Client) -> None:
    average = Truncation(psi=0.0)
    first, second = client.generate("faces", [1, 2], truncation=average, format=RAW)

    assert levels_apart(first, second) <= 1
    assert levels_apart(one(client, 1), one(client, 2)) > 1


def test_no_truncation_is_what_the_card_recommends(client: Client) -> None:
    card = client.info("faces")
    same = Truncation(psi=card.psi, cutoff=card.cutoff)

    assert levels_apart(one(client), one(client, truncation=same)) <= 1


def test_a_cutoff_of_0_truncates_nothing(client: Client) -> None:
    untouched = one(client, truncation=Truncation(psi=1.0))

    assert levels_apart(one(client, truncation=Truncation(psi=0.2, cutoff=0)), untouched) <= 1


def test_mixing_all_rows_gives_the_second_parent_and_none_the_first(client: Client) -> None:
    assert levels_apart(one(client, 3, mix=Mix(seed=4, crossover=0)), one(client, 4)) <= 1
    assert levels_apart(one(client, 3, mix=Mix(seed=4, crossover=10)), one(client, 3)) <= 1
    assert levels_apart(one(client, 3, mix=Mix(seed=4, shares=(1.0,))), one(client, 4)) <= 1
    assert levels_apart(one(client, 3, mix=Mix(seed=4, crossover=5)), one(client, 3)) > 1


def test_layers_go_by_name_or_by_number(client: Client) -> None:
    coarse, rest = Mix(seed=4, layers="coarse"), Mix(seed=3, layers="3-9")
    none, fine = Noise(mode="none"), Noise(layers="fine")

    assert levels_apart(one(client, 3, mix=coarse), one(client, 4, mix=rest)) <= 1
    assert levels_apart(one(client, 3, mix=Mix(seed=4, layers="none")), one(client, 3)) <= 1
    assert levels_apart(one(client, noise=fine), one(client, noise=Noise(layers="7,8"))) == 0
    assert levels_apart(one(client, noise=Noise(layers="none")), one(client, noise=none)) == 0
    assert levels_apart(one(client, noise=fine), one(client, noise=none)) > 0


def test_directions_move_a_picture_and_add_up(client: Client) -> None:
    smile, both = one(client, directions={"smile": 0.5}), {"smile": 0.5, "age": -0.25}

    assert levels_apart(smile, one(client)) > 1
    assert levels_apart(one(client, directions=both), smile) > 1
    assert levels_apart(one(client, directions={"age": 0.0}), one(client)) <= 1
    assert smile.recipe["directions"] == {"smile": 0.5}
    assert smile.recipe["directions_hash"] == client.info("faces").directions_hash
    with pytest.raises(InvalidRequest, match="faces has no direction 'smiel': did you mean smile"):
        client.generate("faces", [1], directions={"smiel": 1})


def test_noise_is_stored_left_out_or_seeded(client: Client) -> None:
    stored, without = one(client), one(client, noise=Noise(mode="none"))
    seeded = [one(client, noise=Noise(mode="random", seed=seed)) for seed in (5, 5, 6)]

    assert levels_apart(stored, without) > 0
    assert levels_apart(seeded[0], seeded[1]) == 0
    assert levels_apart(seeded[0], seeded[2]) > 0
    assert levels_apart(one(client, noise=Noise(scale=0.0)), without) == 0


def test_the_recipe_holds_all_that_was_set(client: Client) -> None:
    recipe = one(
        client,
        format=Format(name="webp", quality=50),
        truncation=Truncation(psi=0.5, cutoff=4),
        mix=Mix(seed=9, crossover=5),
        noise=Noise(mode="random", seed=8),
    ).recipe

    assert {key: recipe[key] for key in ("model", "seed", "psi", "cutoff", "mix_seed")} == {
        "model": "faces",
        "seed": 3,
        "psi": 0.5,
        "cutoff": 4,
        "mix_seed": 9,
    }
    assert recipe["mix"] == [0.0] * 5 + [1.0] * 5
    assert (recipe["noise_seed"], recipe["format"], recipe["quality"]) == (8, "webp", 50)


def test_classes_differ_and_are_checked(client: Client) -> None:
    first, second = (one(client, model="classes", class_idx=k) for k in (0, 7))

    assert first.array().shape[:2] == (32, 32)
    assert levels_apart(first, second) > 1
    with pytest.raises(InvalidRequest, match="class is 10, classes expects 0 to 9"):
        one(client, model="classes", class_idx=10)


def test_an_unknown_model_is_answered_with_those_there_are(client: Client, served: Served) -> None:
    said = f"{served.url} has no model 'dolls'; it has: {', '.join(client.models())}"

    with pytest.raises(ModelNotFound, match=f"^{said}$"):
        client.generate("dolls", [1])
    with pytest.raises(ModelNotFound, match=f"^{said}$"):
        client.wait_ready("dolls", 0.3)


def test_both_clients_get_the_same(client: Client, served: Served) -> None:
    async def run() -> list[bytes | None]:
        async with AsyncClient(served.url) as connected:
            await connected.wait_ready("faces", 10.0)
            png = Format(name="png")
            return [p.encoded async for p in connected.generate("faces", range(8), format=png)]

    ours = [p.array() for p in client.generate("faces", range(8), format=Format(name="png"))]

    theirs = [decode(file or b"") for file in asyncio.run(run(), debug=True)]
    assert np.abs(np.array(ours, int) - np.array(theirs)).max() <= 1


def test_leaving_early_leaves_the_server_well(client: Client) -> None:
    with client.generate("faces", range(200)) as pictures:
        next(pictures)

    assert one(client).seed == 3


def test_the_command_makes_files_and_a_grid(served: Served, tmp_path: Path) -> None:
    out, sheet = tmp_path / "out", tmp_path / "grid.png"
    words = ["generate", "faces", "--seeds", "0-8", "--truncation", "0.7"]

    result = CliRunner().invoke(
        main, [*words, "--url", served.url, "--out", str(out), "--grid", str(sheet)]
    )

    assert result.exit_code == 0, result.stderr
    assert len(list(out.glob("seed*.jpg"))) == 9
    assert decode(sheet.read_bytes()).shape == (192, 192, 3)


EVERYTHING = [
    pytest.param("faces", {"seed": 3, "mix": Mix(seed=9, crossover=5)}, id="crossover"),
    pytest.param("faces", {"seed": 3, "mix": Mix(seed=9, layers="coarse")}, id="layers"),
    pytest.param("faces", {"seed": 3, "mix": Mix(z=np.ones(64), shares=(0.3,))}, id="shares"),
    pytest.param("faces", {"z": np.ones(64), "directions": {"smile": 0.7}}, id="directions"),
    pytest.param("faces", {"ws": np.full(64, 0.1)}, id="ws, one row"),
    pytest.param(
        "faces", {"ws": np.full((10, 64), 0.1), "truncation": Truncation(psi=0.3)}, id="ws"
    ),
    pytest.param("faces", {"seed": 3, "ws_offset": np.full(64, 0.1)}, id="offset"),
    pytest.param("faces", {"seed": 3, "noise": Noise(scale=0.3, layers="fine")}, id="noise"),
    pytest.param("classes", {"seed": 3, "class_idx": 4}, id="class"),
    pytest.param("classes", {"seed": 3, "class_weights": {1: 0.5, 2: 0.5}}, id="classes"),
    pytest.param(
        "stylegan3", {"seed": 3, "transform": Transform(translate=(0.1, 0), rotate=9)}, id="turned"
    ),
    pytest.param("ada", {"seed": 3, "truncation": Truncation(psi=0.3, modes=True)}, id="modes"),
    pytest.param("cars", {"seed": 3}, id="cropped, with alpha"),
    pytest.param("bricks", {"seed": 3}, id="tiled"),
    pytest.param("progan", {"seed": 3}, id="without w"),
]


@pytest.mark.parametrize(("model", "settings"), EVERYTHING)
def test_every_recipe_makes_its_file_again(
    client: Client, tmp_path: Path, model: str, settings: dict[str, Any]
) -> None:
    form = Format(name="webp", quality=70)
    (first,) = client.generate_each(model, [Sample(**settings)], format=form)
    (tmp_path / "a.webp").write_bytes(first.encoded or b"")

    kept = Picture.read(tmp_path / "a.webp")
    again = client.remake(kept.recipe)

    assert kept.recipe == first.recipe
    assert (again.encoded, again.recipe) == (first.encoded, first.recipe)


def test_a_recipe_made_again_by_the_asynchronous_client_is_the_same(served: Served) -> None:
    async def both() -> tuple[Picture, Picture]:
        async with AsyncClient(served.url) as client:
            (first,) = [picture async for picture in client.generate("faces", [3])]
            return first, await client.remake(first.recipe)

    first, again = asyncio.run(both())

    assert again.encoded == first.encoded
