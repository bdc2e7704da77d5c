"""One server that is asked for batches: its threads, and what is made of its failures."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from nonesuch.bulk.company import LOOK_S, Company
from nonesuch.bulk.feed import Errand, Feed, Outcome
from nonesuch.bulk.pace import MOST, Pace
from nonesuch.bulk.plan import Plan, differences
from nonesuch.client import Client
from nonesuch.errors import (
    DeadlineExceeded,
    InvalidRequest,
    ModelChanged,
    NonesuchError,
    RemoteError,
    ServerError,
)
from nonesuch.images import Picture

_PATIENCE = 4  # failures of a batch on healthy servers, before it is the batch
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 5.0
_LOOK_TIMEOUT_S = 10.0


class Alive:
    """When any server answered last: all of them share it."""

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._last_s = time.monotonic()

    def answered(self) -> None:
        """Take notice of an answer."""
        self._last_s = time.monotonic()

    @property
    def lost(self) -> bool:
        """Whether nobody has answered for longer than is waited."""
        return time.monotonic() - self._last_s > self._patience_s


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """What all sources of a run work on."""

    plan: Plan
    record: dict[str, Any]  # the plan's, by the card that it was begun with
    feed: Feed
    alive: Alive


@dataclass(slots=True, eq=False)
class Source:
    """A server; `start` sets its threads to work."""

    client: Client
    job: Job
    pace: Pace
    pictures: int = 0  # that came from here
    _company: Company = field(default_factory=Company)
    _pause_s: float = _FIRST_PAUSE_S
    _known: bool = False  # whether its model was looked at since it last failed
    _failing: set[int] = field(default_factory=set)  # batches that failed since the last answer
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self) -> list[threading.Thread]:
        """Begin to ask; the threads end with the feed."""
        threads = [threading.Thread(target=self._work, daemon=True) for _ in range(MOST)]
        threads.append(threading.Thread(target=self._watch, daemon=True))
        for thread in threads:
            thread.start()
        return threads

    def _work(self) -> None:
        feed = self.job.feed
        try:
            while (pause_s := self._turn()) is not None:
                feed.pause(pause_s)
        except Exception as exc:  # noqa: BLE001 (a thread's edge: whoever waits for it gets this)
            if not feed.stopped:  # closing the client breaks off what is under way
                feed.stop(exc)

    def _watch(self) -> None:
        """Hold back while others ask the server, or while that cannot be told."""
        while not self.job.feed.stopped:
            try:
                others = self._company.look(self.client.answered(self.job.plan.model))
            except (NonesuchError, ValueError):  # ValueError: gRPC's, of a closed client
                others = True
            self.pace.share(others)
            self.job.feed.pause(LOOK_S)

    def _turn(self) -> float | None:
        """Ask once; returns how long to leave the server alone, None at the end."""
        with self.pace:
            errand = self.job.feed.take(self.client.url, self.pace.mean_s, self.pace.pictures)
            return None if errand is None else self._answer(errand)

    def _answer(self, errand: Errand) -> float:
        """Ask for a batch; returns as `_turn`."""
        try:
            self._look()
            outcomes = self._outcomes(errand)
        except ServerError as exc:
            self.job.feed.put_back(errand, self.client.url)
            if self.job.alive.lost:
                self.job.feed.stop(exc)
            return self._rest()
        self.job.alive.answered()
        with self._lock:
            self._pause_s = _FIRST_PAUSE_S
            self._failing.clear()
            self.pictures += sum(isinstance(outcome, Picture) for outcome in outcomes)
        self.job.feed.give(errand, outcomes)
        return 0.0

    def _outcomes(self, errand: Errand) -> Sequence[Outcome]:
        """What comes of a batch; raises ServerError where that says nothing about the batch."""
        seeds = errand.batch.seeds
        try:
            return self._asked(seeds)
        except (InvalidRequest, DeadlineExceeded, RemoteError) as exc:
            if not (isinstance(exc, InvalidRequest) or self._to_blame(errand)):
                raise
            failure = exc
        return [failure] if len(seeds) == 1 else [self._alone(seed) for seed in seeds]

    def _asked(self, seeds: Sequence[int]) -> Sequence[Picture]:
        plan, start_s = self.job.plan, time.monotonic()
        samples = [plan.sample(seed) for seed in seeds]
        self._company.ask()
        try:
            pictures = list(self.client.generate_each(plan.model, samples, format=plan.format))
        except NonesuchError:
            self._company.failed()
            raise
        self._company.answer()
        for picture in pictures:
            if picture.recipe.get("model_hash") != self.job.record["model_hash"]:
                raise ModelChanged(f"{self.client.url} has changed its {plan.model} meanwhile")
        self.pace.answered(time.monotonic() - start_s, len(pictures))
        return pictures

    def _to_blame(self, errand: Errand) -> bool:
        """Whether a failure is the batch's own: again and again, while others succeed."""
        errand.failures += 1
        with self._lock:
            self._failing.add(errand.number)
            return errand.failures >= _PATIENCE and len(self._failing) == 1

    def _alone(self, seed: int) -> Outcome:
        """What comes of one seed of a batch that fails as a whole."""
        for attempt in range(_PATIENCE):
            try:
                return self._asked([seed])[0]
            except InvalidRequest as exc:
                return exc
            except (DeadlineExceeded, RemoteError) as exc:
                failure: NonesuchError = exc
            self.job.feed.pause(_FIRST_PAUSE_S * 2**attempt)
        return failure

    def _rest(self) -> float:
        with self._lock:
            self._known = False
            self.pace.reset()
            pause_s, self._pause_s = self._pause_s, min(2 * self._pause_s, _LONGEST_PAUSE_S)
        return pause_s

    def _look(self) -> None:
        """Raise ModelChanged where the server has another model than the plan was made for."""
        if self._known:
            return
        plan = self.job.plan
        with Client(self.client.url, timeout_s=_LOOK_TIMEOUT_S) as fresh:  # keeps no old card
            record = plan.record(fresh.info(plan.model))
        if unlike := list(differences(self.job.record, record)):
            raise ModelChanged(
                f"{self.client.url} has another {plan.model} than this set was begun with: "
                f"{'; '.join(unlike[:3])}"
            )
        self._known = True
