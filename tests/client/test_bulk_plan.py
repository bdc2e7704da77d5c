"""Plans of sets: what is in them, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.client.peer import Peer, card
from tests.client.shell import python

from nonesuch import InvalidRequest, Mix, Noise, Sample, Truncation, parse_seeds
from nonesuch.bulk import Plan, Vary
from nonesuch.bulk.plan import Cut, differences
from nonesuch.options import Format


def plan(seeds: str = "0-9", **changes: Any) -> Plan:
    return Plan(model="dots", seeds=parse_seeds(seeds), **changes)


def test_batches_are_the_shards_seeds_in_order() -> None:
    of = plan("5-9,0-3,20", shard_size=4)

    cut = Cut(of, [0, 2, 1])
    taken = [cut.take(most) for most in (3, 3, 1, 8, 2, 8, 8)]

    parts = [(0, (5, 6, 7)), (0, (8,)), (2, (3,)), (2, (20,)), (1, (9, 0)), (1, (1, 2))]
    assert [batch and (batch.shard, batch.seeds) for batch in taken] == [*parts, None]


@given(seed=st.integers(0, 2**32 - 1), low=st.floats(-10, 9), span=st.floats(0.01, 1))
def test_what_varies_stays_in_its_range_and_is_the_same_each_time(
    seed: int, low: float, span: float
) -> None:
    vary = Vary(name="smile", low=low, high=low + span)

    value = vary.value(seed)

    assert low - 1e-4 <= value <= low + span + 1e-4
    assert value == Vary(name="smile", low=low, high=low + span).value(seed)


def test_what_varies_fills_its_range_evenly() -> None:
    values = [Vary.parse("class=0..3").value(seed) for seed in range(4000)]

    assert {k for k in range(4) if 900 < values.count(k) < 1100} == {0, 1, 2, 3}


def test_a_sample_has_the_plans_settings_and_its_own() -> None:
    like = Sample(
        seed=0,
        truncation=Truncation(cutoff=2),
        directions={"age": 1.0},
        mix=Mix(seed=1, layers="0"),
    )
    of = plan(
        like=like,
        ranges=tuple(map(Vary.parse, ("psi=0.5..1", "smile=-2..2", "noise_seed=0..9"))),
    )

    sample = of.sample(7)

    assert (sample.seed, sample.mix) == (7, like.mix)
    assert sample.truncation == Truncation(psi=of.ranges[0].value(7), cutoff=2)
    assert sample.directions == {"age": 1.0, "smile": of.ranges[1].value(7)}
    assert sample.noise == Noise(mode="random", seed=int(of.ranges[2].value(7)))


def test_the_record_survives_json_and_names_what_differs() -> None:
    there = json.loads(json.dumps(plan().record(card())))

    wanted = plan("0-8", format=Format(name="png")).record(card())

    assert list(differences(there, plan().record(card()))) == []
    assert list(differences(there, wanted)) == [
        'seeds is "0-9" there and "0-8" here',
        'settings is {"format": ["jpeg"], "psi": [0.7], "cutoff": [-1]} there and '
        '{"format": ["png"], "psi": [0.7], "cutoff": [-1]} here',
    ]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seeds": "0-4,9,3"}, "seed 3 is in the list twice"),
        ({"layout": "zip"}, "layout is 'zip'"),
        ({"format": Format(name="raw")}, "made of files"),
        ({"shard_size": 0}, "the shard size is 0"),
    ],
)
def test_a_plan_is_valid_by_construction(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        plan(**changes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"ranges": (Vary.parse("grin=0..1"),)}, "no direction 'grin': did you mean"),
        ({"ranges": (Vary.parse("psi=0..1"),) * 2}, "psi varies twice"),
        (
            {
                "ranges": (Vary.parse("psi=0..1"),),
                "like": Sample(seed=0, truncation=Truncation(psi=0.5)),
            },
            "psi is set and varies",
        ),
        ({"ranges": (Vary.parse("class=0..1"),)}, "is unconditional"),
        ({"batch": 5}, "batch is 5, dots takes 1 to 4"),
    ],
)
def test_what_the_model_cannot_do_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        plan(**changes).check(card())


@pytest.mark.parametrize("text", ["psi", "psi=1..0.5", "psi=0.5", "psi=0..11", "class=0.5..2"])
def test_a_range_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        Vary.parse(text)


def test_a_million_seeds_begin_at_once_and_in_little_memory(peer: Peer, tmp_path: Path) -> None:
    code = f"""
import time
start = time.monotonic()
from pathlib import Path
from nonesuch import Client
with Client({peer.url!r}) as client, client.bulk("dots", range(10**6), Path("set")) as making:
    next(making)
    passed_s = time.monotonic() - start
status = Path("/proc/self/status").read_text()
print(passed_s, status.split("VmHWM:")[1].split()[0])  # the most that it ever held
"""
    run = python(f"import os; os.chdir({str(tmp_path)!r})\n" + code)

    seconds, kilobytes = map(float, run.stdout.split())
    assert seconds < 2
    assert kilobytes < 200_000
