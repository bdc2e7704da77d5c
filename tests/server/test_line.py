"""The line in which samples wait for the engine's threads, without a server and an engine."""

import threading
import time
import types
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.server import shim
from tests.server.shim import WAIT_S, Asked


@pytest.fixture(scope="module")
def answers() -> Iterator[Any]:
    with shim.loaded("answers", beside={}) as module:
        yield module


MODEL = types.SimpleNamespace(name="lookup", batched=True, inputs=["x"])
Run = Callable[[list[str], Mapping[str, Any]], list[Any]]


def doubled(wanted: list[str], feed: Mapping[str, Any]) -> list[Any]:
    """Twice the input; 13 is bad luck."""
    assert wanted == ["double"]
    if (feed["x"] == 13).any():
        raise ValueError("13 is out of range\nException from src/lookup.cpp:7:")
    return [2 * feed["x"]]


def test_each_of_many_requests_gets_its_own_answer_once(answers: Any) -> None:
    @given(
        st.lists(st.lists(st.integers(14, 10**6), min_size=1, max_size=9), max_size=30),
        st.integers(1, 4),
        st.integers(1, 5),
    )
    def hold(batches: list[list[int]], threads: int, rows: int) -> None:
        line = answers.Line(MODEL, doubled, [doubled] * threads, rows)
        requests = [Asked(values) for values in batches]
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda request: line.take([request]), requests))
        line.close()

        assert [each.found for each in requests] == [[2 * v for v in b] for b in batches]

    hold()


def test_a_failure_is_the_answer_of_its_request_in_one_line(answers: Any) -> None:
    line = answers.Line(MODEL, doubled, [doubled] * 2)
    requests = [Asked([1, 2]), Asked([3, 13, 4, 13]), Asked([5])]

    line.take(requests)
    line.close()

    assert requests[1].error == "model 'lookup' failed: 13 is out of range"
    assert (requests[0].found, requests[2].found) == ([2, 4], [10])


class Gate:
    """A run that tells of its beginning, and ends when it may."""

    def __init__(self) -> None:
        self.begun, self.may_end = threading.Semaphore(0), threading.Semaphore(0)
        self.sizes: list[int] = []

    def __call__(self, wanted: list[str], feed: Mapping[str, Any]) -> list[Any]:
        self.sizes.append(len(feed["x"]))
        self.begun.release()
        assert self.may_end.acquire(timeout=WAIT_S)
        return doubled(wanted, feed)

    def wait(self) -> None:
        assert self.begun.acquire(timeout=WAIT_S)


def test_a_sample_that_finds_all_at_rest_has_all_threads_and_others_wait_for_it(
    answers: Any,
) -> None:
    alone, first, second = Gate(), Gate(), Gate()
    line = answers.Line(MODEL, alone, [first, second])
    one, two = Asked([1]), Asked([2, 3])

    line.take([one])
    alone.wait()
    line.take([two])
    assert not first.begun.acquire(timeout=0.05)
    alone.may_end.release()
    first.wait()
    second.wait()
    first.may_end.release()
    second.may_end.release()
    line.close()

    assert (one.found, two.found, alone.sizes) == ([2], [4, 6], [1])


def test_whoever_is_done_goes_on_and_is_answered_though_another_is_slow(answers: Any) -> None:
    slow = Gate()

    def run(wanted: list[str], feed: Mapping[str, Any]) -> list[Any]:
        return (slow if 1 in feed["x"] else doubled)(wanted, feed)

    line = answers.Line(MODEL, doubled, [run, run])
    held, others = Asked([1, 2]), [Asked([n]) for n in range(20, 30)]

    line.take([held])
    slow.wait()
    for other in others:
        line.take([other])

    assert [other.found for other in others] == [[2 * n] for n in range(20, 30)]
    assert not held.answered.is_set()
    slow.may_end.release()
    line.close()
    assert held.found == [2, 4]


def test_a_single_picture_overtakes_a_large_request_that_has_not_waited_long(answers: Any) -> None:
    gate, begun = Gate(), []

    def run(wanted: list[str], feed: Mapping[str, Any]) -> list[Any]:
        begun.append(int(feed["x"][0, 0]))
        return gate(wanted, feed)

    line = answers.Line(MODEL, run, [run])
    first, large, single = Asked([1]), Asked([20, 21, 22, 23]), Asked([30])
    line.take([first])
    gate.wait()
    time.sleep(0.1)  # so long is a run
    gate.may_end.release()
    assert first.found == [2]
    line.take([large])
    gate.wait()
    line.take([single])
    gate.may_end.release(5)
    line.close()

    assert begun == [1, 20, 30, 21, 22, 23]
    assert (large.found, single.found) == ([40, 42, 44, 46], [60])


def test_a_large_request_is_not_overtaken_for_ever(answers: Any) -> None:
    def run(wanted: list[str], feed: Mapping[str, Any]) -> list[Any]:
        time.sleep(0.01)
        return doubled(wanted, feed)

    line = answers.Line(MODEL, run, [run])
    singles = [Asked([n]) for n in range(20, 60)]
    large = Asked([1, 2, 3, 4])

    line.take(singles[:4])
    line.take([large])
    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: [line.take([single]) for single in singles[4:]])
        assert large.found == [2, 4, 6, 8]
        assert not singles[-1].answered.is_set()
    line.close()


def test_a_long_line_of_single_samples_forms_in_the_server(answers: Any) -> None:
    gate = Gate()
    line = answers.Line(MODEL, gate, [gate, gate])
    many = [Asked([n]) for n in range(20, 32)]

    with ThreadPoolExecutor(1) as pool:
        taken = pool.submit(line.take, many)
        gate.may_end.release(8)
        for _ in range(10):
            gate.wait()
        assert not taken.done()  # one for each thread still waits
        gate.may_end.release()
        taken.result(WAIT_S)
        gate.may_end.release(3)
        line.close()

    assert [each.found for each in many] == [[2 * n] for n in range(20, 32)]


def test_large_requests_keep_no_single_one_in_the_server(answers: Any) -> None:
    gate = Gate()
    line = answers.Line(MODEL, gate, [gate, gate])
    large = [Asked([n, n + 1, n + 2]) for n in range(20, 26)]

    for each in large:
        line.take([each])  # returns, though no run has ended
    line.take([Asked([30])])

    gate.may_end.release(19)
    line.close()
    assert [each.found for each in large] == [
        [2 * (n + i) for i in range(3)] for n in range(20, 26)
    ]


def test_so_many_large_requests_wait_and_more_stay_in_the_server(answers: Any) -> None:
    gate = Gate()
    line = answers.Line(MODEL, gate, [gate, gate])
    large = [Asked([n, n + 1]) for n in range(20, 30)]

    line.take(large[:1])
    gate.wait()
    gate.wait()
    for each in large[1:9]:
        line.take([each])
    with ThreadPoolExecutor(1) as pool:
        taken = pool.submit(line.take, large[9:])
        time.sleep(0.05)
        assert not taken.done()
        gate.may_end.release(2)
        taken.result(WAIT_S)
        gate.may_end.release(18)
        line.close()

    assert [each.found for each in large] == [[2 * n, 2 * n + 2] for n in range(20, 30)]


def test_small_samples_run_together_if_there_is_enough_for_all_threads(answers: Any) -> None:
    gate = Gate()
    line = answers.Line(MODEL, doubled, [gate, gate], 3)
    many = Asked(list(range(20, 28)))

    with ThreadPoolExecutor(1) as pool:
        taken = pool.submit(line.take, [many])
        gate.may_end.release(8)
        taken.result(WAIT_S)
        line.close()

    assert many.found == [2 * n for n in range(20, 28)]
    assert sum(gate.sizes) == 8
    assert gate.sizes[0] == 3
    assert max(gate.sizes) == 3


def test_what_waits_while_one_thread_runs_goes_into_its_next_run(answers: Any) -> None:
    gate = Gate()
    line = answers.Line(MODEL, gate, [gate], 4)
    many = [Asked([n]) for n in range(20, 25)]

    line.take(many[:1])
    gate.wait()
    for each in many[1:4]:
        line.take([each])  # returns: a run has room for them and one more
    with ThreadPoolExecutor(1) as pool:
        taken = pool.submit(line.take, many[4:])
        time.sleep(0.05)
        assert not taken.done()
        gate.may_end.release(2)
        taken.result(WAIT_S)
        line.close()

    assert [each.found for each in many] == [[2 * n] for n in range(20, 25)]
    assert gate.sizes == [1, 4]
