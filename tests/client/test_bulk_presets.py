"""What lies beside the pictures of a set, and what is told of the whole."""

import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tests.client.peer import Faults, Peer, card, draw
from tests.client.shell import Run
from tests.client.test_bulk import hashes, make, plan, rows

from nonesuch import InvalidRequest
from nonesuch.balance import Balance
from nonesuch.bulk import Bulk
from nonesuch.bulk.likeness import NEAR, Seen, dhash
from nonesuch.bulk.texture import normals
from nonesuch.images import decode
from nonesuch.tensors import pack, unpack

TILES = card(tile="both", width=8, height=8)


def png(pixels: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


def one_picture(answer: Any) -> None:
    """Make every picture of an answer the same; of seeds below 5 let them be."""
    if len(answer.outputs) == 2:
        files, recipes = map(unpack, answer.raw_output_contents)
        late = [json.loads(recipe)["seed"] >= 5 for recipe in recipes]
        same = png(draw(0, card()))
        files = [same if is_late else file for file, is_late in zip(files, late, strict=True)]
        answer.raw_output_contents[0] = pack(files)


def test_a_texture_has_its_normals_and_mips_beside_it(tmp_path: Path) -> None:
    with Peer(TILES) as server:
        make(plan("0-2", preset="texture", layout="files"), tmp_path, server.url)

    first = rows(tmp_path)[0]
    beside = sorted((tmp_path / first["path"]).parent.iterdir())
    sizes = {p.name[10:]: decode(p.read_bytes()).shape for p in beside if p.suffix == ".png"}
    assert sizes == {
        ".png": (8, 8, 3),
        ".normal.png": (8, 8, 3),
        ".mip1.png": (4, 4, 3),
        ".mip2.png": (2, 2, 3),
        ".mip3.png": (1, 1, 3),
    }


def test_normals_of_a_slope_lean_against_it() -> None:
    slope = np.broadcast_to(np.arange(0, 160, 10).astype(np.uint8), (16, 16))[:, :, None]

    along_x = normals(slope, "y")[8, 8].astype(int)
    along_y = normals(slope.transpose(1, 0, 2), "x")[8, 8].astype(int)

    assert along_x[0] < 120  # rising to the right, it looks to the left
    assert along_x[1] == 128
    assert along_y[1] > 135  # rising downwards, it looks up
    assert (normals(np.full((4, 4, 3), 9, np.uint8), "both") == (128, 128, 255)).all()


@given(shift=st.integers(1, 7))
def test_normals_of_a_tile_have_no_seam(shift: int) -> None:
    tile = np.random.default_rng(4).integers(0, 256, (8, 8, 3), np.uint8)

    rolled = normals(np.roll(tile, shift, (0, 1)), "both")

    assert (rolled == np.roll(normals(tile, "both"), shift, (0, 1))).all()


@pytest.mark.parametrize(
    ("of", "said"),
    [
        (card(), "does not tile"),
        (card(tile="both"), "8x6, textures have powers of two"),
    ],
)
def test_what_is_no_texture_is_refused(of: Any, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        plan(preset="texture").check(of)


def test_characters_have_a_crop_and_grids(tmp_path: Path) -> None:
    with Peer(card(channels=4)) as server:
        make(plan("0-19", preset="character", shard_size=20), tmp_path, server.url)

    grids = sorted((tmp_path / "sheets").iterdir())
    assert [decode(path.read_bytes()).shape for path in grids] == [(24, 32, 4), (6, 32, 4)]


def test_a_contact_page_names_every_sheet_and_its_seeds(run: Run, tmp_path: Path) -> None:
    with Peer() as server:
        words = ["--seeds", "0-99,200-219", "--shard-size", 100, "--contact", "--out", "set"]
        done = run("bulk", "dots", *words, "--url", server.url)

    assert done.exit_code == 0, done.stderr
    page = (tmp_path / "set" / "index.html").read_text("utf-8")
    found = re.search(r"const sheets = (\[.*?\]\]),", page)
    assert found
    assert json.loads(found[1]) == [
        ["contact/000000-000.jpg", "0-79"],
        ["contact/000000-001.jpg", "80-99"],
        ["contact/000001-000.jpg", "200-219"],
    ]
    assert all((tmp_path / "set" / path).exists() for path, _ in json.loads(found[1]))


def test_what_looks_like_an_earlier_picture_is_left_out(tmp_path: Path) -> None:
    of = plan(dedupe=True)
    with Peer(faults=Faults(lie=one_picture)) as server:
        make(of, tmp_path / "whole", server.url)
        with Bulk(of, tmp_path / "left", [server.url]) as making:
            for _, _row in zip(range(17), making, strict=False):
                pass
        make(of, tmp_path / "left", server.url)

    doubles = {row["seed"]: row.get("duplicate_of") for row in rows(tmp_path / "whole")}
    assert doubles == dict.fromkeys(range(5)) | dict.fromkeys(range(5, 25), 0)
    assert hashes(tmp_path / "left") == hashes(tmp_path / "whole")


def test_the_report_counts_and_compares(tmp_path: Path) -> None:
    faults = Faults(lie=one_picture)
    balance = Balance(direction="smile", shares=(1, 3))
    with Peer(faults=faults) as server:
        make(plan(balances=(balance,)), tmp_path, server.url)

    found = json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert (found["pictures"], found["alike"], found["missing"]) == (25, 20, 0)
    assert found["pairs"][0] == [5, 0]
    assert found["size_bytes"] == sum(row["size_bytes"] for row in rows(tmp_path))
    assert found["balances"]["smile"]["asked"] == [0.25, 0.75]
    assert sum(found["balances"]["smile"]["reached"]) == pytest.approx(1)
    assert found["spreads"][0]["pictures"] == 25


def test_seeds_can_be_found_by_their_balance(run: Run, tmp_path: Path) -> None:
    with Peer() as server:
        words = ["--balance", "smile=1,1", "--count", 30, "--out", "set", "--url", server.url]
        done = run("bulk", "dots", *words)

    assert done.exit_code == 0, done.stderr
    assert "smile: asked 50 / 50 %, reached 50 / 50 %" in done.stderr
    assert len(rows(tmp_path / "set")) == 30


@given(bits=st.sets(st.integers(0, 127), max_size=4), start=st.integers(0, 2**128 - 1))
def test_hashes_that_differ_in_few_bits_are_found(bits: set[int], start: int) -> None:
    seen = Seen()
    seen.add(7, f"{start:032x}")

    changed = start ^ sum(1 << bit for bit in bits)

    assert (seen.like(f"{changed:032x}") == 7) == (len(bits) <= NEAR)


def test_of_many_hashes_the_first_that_is_near_is_found() -> None:
    seen = Seen()
    hashes = [f"{n * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128:032x}" for n in range(25_000)]
    for seed, found in enumerate([*hashes, hashes[3]]):
        seen.add(seed, found)

    flipped = [f"{int(hashes[n], 16) ^ 0b101:032x}" for n in (3, 12_000, 24_999)]

    assert [seen.like(found) for found in flipped] == [3, 12_000, 24_999]
    assert seen.like(f"{2**128 - 1:032x}") is None


def test_a_hash_outlives_a_jpeg_and_tells_pictures_apart() -> None:
    pixels = np.kron(draw(1, card(width=8, height=8)), np.ones((16, 16, 1), np.uint8))
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "jpeg", quality=90)
    other = np.kron(draw(2, card(width=8, height=8)), np.ones((16, 16, 1), np.uint8))

    found, again, different = (
        int(dhash(f), 16) for f in (png(pixels), file.getvalue(), png(other))
    )

    assert (found ^ again).bit_count() <= 4
    assert (found ^ different).bit_count() > 20
