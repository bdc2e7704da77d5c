"""A plan worked off: servers asked, pictures kept, until the folder holds the whole set."""

import hashlib
import json
import threading
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from nonesuch.bulk import character, cluster, contact, disk, manifest, texture
from nonesuch.bulk.feed import Feed, Outcome
from nonesuch.bulk.likeness import Seen, dhash
from nonesuch.bulk.manifest import Row
from nonesuch.bulk.pace import Pace
from nonesuch.bulk.place import Place
from nonesuch.bulk.plan import Batch, Cut, Plan
from nonesuch.bulk.report import Report, report
from nonesuch.bulk.shard import Contents, Shard, begun, key
from nonesuch.bulk.sheets import wanted
from nonesuch.bulk.source import Alive, Job, Source
from nonesuch.card import Card
from nonesuch.client import Client
from nonesuch.errors import InvalidRequest, NonesuchError, ServerError
from nonesuch.images import Picture
from nonesuch.latents import Seeds

PATIENCE_S = 300.0  # without any answer, before giving up
_HOPELESS = 100  # seeds missing in a row
_END_S = 10.0  # for threads whose requests are cancelled


class Bulk(Iterator[Row]):
    """The making of a set: yields a row for each seed that is not yet on disk, in order.

    A row comes when its picture is in hand; the picture is on disk to stay when its shard is
    whole. When all have come, so is the manifest. Close it, or leave its `with`, to end early:
    what is whole stays, and the same plan in the same folder goes on from there.
    """

    def __init__(  # noqa: PLR0913 (each is a setting of its own, by keyword)
        self,
        plan: Plan,
        folder: Path,
        urls: Sequence[str],
        *,
        timeout_s: float = 60.0,
        patience_s: float = PATIENCE_S,
        kind: manifest.Kind = "jsonl",
        ray: str | None = None,
        resume: bool = False,
        part: Sequence[int] | None = None,
    ) -> None:
        """Take the folder for the plan; `urls` are servers that share the work.

        patience_s is how long nobody may answer. ray is the address of a cluster whose nodes make
        the shards (`auto`: the one that runs here). resume is to go on with the set that is there,
        and to begin none. part are the only shards to be made, in a folder that another Bulk holds
        and concludes. Raises InvalidRequest where the folder holds a set of another plan, or none
        that could be resumed, or the model cannot do what is planned, OutputError where the folder
        cannot be used, ServerError where no server answers now.
        """
        self._plan, self._kind, self._ray, self._part = plan, kind, ray, part
        self._check(urls)
        self._urls, self._times_s = urls, (timeout_s, patience_s)
        self._clients = [Client(url, timeout_s=timeout_s, in_flight=1) for url in urls]
        self._alive = Alive(patience_s)
        self._place = Place(folder)
        self._held = ExitStack()
        self._take_hold(resume)
        done = self._place.done()
        self._seen = Seen()  # where duplicates are left out
        self._todo = self._left(done)
        self.there = len(plan.seeds) - sum(len(plan.positions(shard)) for shard in self._todo)
        self.report: Report | None = None  # of the whole set, when it was made now
        self._in_a_row = 0  # seeds missing
        self.missing = 0  # seeds without a picture, of those that were asked for
        self._sources: list[Source] = []
        self._feed: Feed | None = None  # once the first row is asked for
        self._rows = self._made()

    def _check(self, urls: Sequence[str]) -> None:
        if not urls:
            raise InvalidRequest("a set needs at least one server to come from")
        manifest.check(self._kind)
        if self._ray is not None:
            if self._plan.dedupe:
                raise InvalidRequest("duplicates are found in one process, remove dedupe or ray")
            cluster.check()

    def _take_hold(self, resume: bool) -> None:
        """Take the folder for this plan of this model."""
        for client in self._clients:
            self._held.callback(client.close)
        try:
            self.card = _card(self._clients, self._plan.model)
            self._plan.check(self.card)
            self._record = self._plan.record(self.card)
            if self._part is None:
                self._held.enter_context(self._place.held(self._record, resume=resume))
        except BaseException:
            self._held.close()
            raise

    def __len__(self) -> int:
        """How many seeds the whole set has, `there` of them before this began."""
        return len(self._plan.seeds)

    def __next__(self) -> Row:
        return next(self._rows)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def stop(self) -> None:
        """Have a thread that waits for the next row give up, with CancelledError; then close."""
        if self._feed is not None:
            self._feed.stop(CancelledError())

    def close(self) -> None:
        """End now; the shard in work is left out."""
        self._rows.close()
        self._held.close()

    @property
    def shares(self) -> dict[str, int]:
        """How many pictures each server has made, by its address."""
        return {source.client.url: source.pictures for source in self._sources}

    @property
    def manifest(self) -> Path:
        """Where the manifest of the whole set is, at the end."""
        return self._place.folder / f"manifest.{self._kind}"

    def _made(self) -> Generator[Row, None, None]:
        with disk.writing(self._place.folder):
            if self._todo:
                yield from self._asked() if self._ray is None else self._spread(self._ray)
        if self._part is not None:
            return
        with disk.writing(self._place.folder):
            if self._todo or not self.manifest.exists():
                self._conclude()
            self._place.clear()

    def _left(self, done: frozenset[int]) -> list[int]:
        """The shards that are to be made.

        Where duplicates are left out, what a shard holds depends on all before it: none counts as
        done behind one that is not.
        """
        shards: Sequence[int] = range(self._plan.shards)
        if self._part is not None:
            shards = self._part
        if not self._plan.dedupe:
            return [shard for shard in shards if shard not in done]
        first = next((shard for shard in shards if shard not in done), self._plan.shards)
        for shard in range(first):
            for row in manifest.read(self._place.rows(shard)):
                self._notice(row)
        return list(range(first, self._plan.shards))

    def _notice(self, row: Row) -> None:
        if self._plan.dedupe and row.dhash is not None and row.duplicate_of is None:
            self._seen.add(row.seed, row.dhash)

    def _conclude(self) -> None:
        """Write what tells of the whole set."""
        shards = self._plan.shards
        if self._plan.contact:
            sheets = list(_sheets(self._place.parts(shards)))
            title = f"{self._plan.model}, {len(self._plan.seeds)} seeds"
            self._place.write("index.html", contact.page(title, sheets).encode())
        self.report = self._composition()
        self._place.write("report.json", self.report.to_json().encode())
        self._place.join(self._kind, shards)

    def _composition(self) -> Report:
        """Look the whole set through, with the help of whichever server is well."""
        shares = self.shares
        for url in sorted(self._urls, key=lambda url: -shares.get(url, 0)):
            parts = self._place.parts(self._plan.shards)
            rows = (row for part in parts for row in manifest.read(part))
            try:
                with Client(url, timeout_s=self._times_s[0]) as client:
                    return report(self._plan, self.card, rows, client)
            except ServerError as exc:
                failure = exc
        raise failure

    def _asked(self) -> Generator[Row, None, None]:
        """Make the shards in this process."""
        self._feed = feed = Feed(Cut(self._plan, self._todo).take)
        threads = self._ask(feed)
        try:
            yield from self._kept(feed)
        finally:
            self._end(feed, threads)

    def _spread(self, address: str) -> Iterator[Row]:
        """Have the shards made on a cluster."""
        folder = self._place.folder
        shards = cluster.made(address, self._todo, self._plan, folder, self._urls, self._times_s)
        for shard in shards:
            whole = self._place.rows(shard)
            holes = self._place.rows(shard, holes=True)
            for row in manifest.read(whole if whole.exists() else holes):
                self.missing += row.missing
                yield row

    def _ask(self, feed: Feed) -> list[threading.Thread]:
        job = Job(plan=self._plan, record=self._record, feed=feed, alive=self._alive)
        self._alive.answered()
        self._sources = [Source(client, job, self._pace()) for client in self._clients]
        return [thread for source in self._sources for thread in source.start()]

    def _pace(self) -> Pace:
        return Pace(batch=self._plan.batch_of(self.card), largest=self.card.max_batch)

    def _end(self, feed: Feed, threads: list[threading.Thread]) -> None:
        feed.stop()
        for client in self._clients:
            client.close()
        for thread in threads:
            thread.join(_END_S)

    def _kept(self, feed: Feed) -> Iterator[Row]:
        """Write what comes back, shard by shard."""
        taken = iter(feed)
        for number in self._todo:
            rows = []
            with begun(self._place, self._plan, number) as shard:
                for row in self._filled(shard, number, taken):
                    rows.append(row)
                    yield row
            self._place.keep_rows(number, rows)

    def _filled(
        self, shard: Shard, number: int, taken: Iterator[tuple[Batch, Sequence[Outcome]]]
    ) -> Iterator[Row]:
        """Add a shard's pictures to it, and to the sheets beside it."""
        beside = wanted(self._place, self._plan, number)
        for seed, outcome in _outcomes(taken, len(self._plan.positions(number))):
            if not isinstance(outcome, Picture):
                yield self._missed(seed, outcome)
                continue
            self._in_a_row = 0
            row = self._added(seed, outcome, shard)
            self._notice(row)
            if row.duplicate_of is None:
                for sheets in beside:
                    sheets.add(outcome)
            yield row
        for sheets in beside:
            sheets.finish()

    def _missed(self, seed: int, error: NonesuchError) -> Row:
        self.missing, self._in_a_row = self.missing + 1, self._in_a_row + 1
        if self._in_a_row == _HOPELESS:
            raise error
        return Row(seed=seed, error=str(error))

    def _added(self, seed: int, picture: Picture, shard: Shard) -> Row:
        encoded = picture.encoded or b""
        found = dhash(encoded)
        if self._plan.dedupe and (like := self._seen.like(found)) is not None:
            return Row(seed=seed, dhash=found, duplicate_of=like, recipe=picture.recipe)
        return Row(
            seed=seed,
            path=shard.add(seed, self._contents(picture)),
            name=key(seed) + picture.suffix,
            sha256=hashlib.sha256(encoded).hexdigest(),
            size_bytes=len(encoded),
            seam=picture.recipe.get("seam"),
            dhash=found,
            recipe=picture.recipe,
        )

    def _contents(self, picture: Picture) -> Contents:
        """The files of one sample: the picture first."""
        recipe = json.dumps(picture.recipe, ensure_ascii=False, sort_keys=True)
        files = {picture.suffix: picture.encoded or b"", ".json": recipe.encode()}
        if self._plan.preset == "texture":
            return files | texture.files(picture, self.card.tile or "")
        return files | (character.files(picture) if self._plan.preset == "character" else {})


def _outcomes(
    taken: Iterator[tuple[Batch, Sequence[Outcome]]], count: int
) -> Iterator[tuple[int, Outcome]]:
    """The next `count` seeds and what came of them."""
    while count:
        batch, outcomes = next(taken)
        count -= len(outcomes)
        yield from zip(batch.seeds, outcomes, strict=True)


def _sheets(parts: Sequence[Path]) -> Iterator[tuple[str, str]]:
    """The contact sheets of a set: path, and the list of the seeds on it."""
    full = contact.COLUMNS * contact.ROWS
    for shard, part in enumerate(parts):
        seeds = [row.seed for row in manifest.read(part) if row.sha256 is not None]
        for number, start in enumerate(range(0, len(seeds), full)):
            on_it = Seeds.of(seeds[start : start + full])
            yield f"contact/{shard:06d}-{number:03d}.jpg", str(on_it)


def _card(clients: Sequence[Client], model: str) -> Card:
    """The model's card from the first server that answers."""
    for client in clients:
        try:
            return client.info(model)
        except ServerError as exc:
            failure = exc
    raise failure
