"""An engine's artifacts: what tasks made is kept before their steps commit, and is at hand when others read it."""

import asyncio
import logging
import os
import shutil
import stat
import tempfile
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from typing import Any, BinaryIO
from uuid import UUID, uuid4, uuid7
from weakref import WeakValueDictionary

import msgspec

from laneway._core.artifacts import (
    MARK,
    ArtifactDamaged,
    ArtifactError,
    ArtifactTooLarge,
    named,
)
from laneway._core.errors import RunNotFound, SettingInvalid, StoreUnavailable
from laneway._core.failures import failure_record
from laneway._files import make_folder
from laneway.artifacts import Artifact, Desk
from laneway.engine.artifact_cache import Cache
from laneway.engine.artifact_ports import ArtifactBook
from laneway.engine.artifact_references import digests_in, missing_error, refuse_missing
from laneway.ports import Lane, Outcome, StepOrder

__all__ = ["Artifacts"]

log = logging.getLogger("laneway.engine")

_CARRYING = frozenset({"value", "patch", "suspension"})
_OLD_SECONDS = 60.0
_STORE_PAUSE = 1.0
"""Seconds between two tries while the store cannot be written."""


class Artifacts:
    """The artifacts of an engine's store: `engine.artifacts`.

    Args:
        limit: bytes that one may have, or None.
    """

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self.desk: Desk | None = None
        """Where tasks of this process make and read them."""
        self.are_far = False
        """Whether bytes must be fetched before a worker can read them."""
        self._book: ArtifactBook | None = None
        self._folder = ""
        self._staging = ""
        self._cache: Cache | None = None
        self._settling: Counter[str] = Counter()
        """Workers whose outcomes are being kept."""
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def open(self, book: ArtifactBook | None) -> Artifacts:
        """Get ready; nothing is written before there is something to write. Without a book the store keeps none."""
        self._book = book
        if book is None:
            return self
        self.are_far = not book.folder
        name = book.staging()
        if book.folder:
            self._folder, self._cache = book.folder, None
        else:
            self._folder = f"{tempfile.gettempdir()}/laneway-artifacts-{uuid4().hex}"
            self._cache = Cache(f"{self._folder}/objects", book.fetch)
        self._staging = f"{self._folder}/staging/{name}"
        self.desk = Desk(f"{self._folder}/objects", f"{self._staging}/engine", self.limit)
        return self

    async def close(self) -> None:
        """Remove what was staged and not kept."""
        book, self._book, self.desk = self._book, None, None
        if book is None:
            return
        gone = self._staging if book.folder else self._folder
        await asyncio.to_thread(shutil.rmtree, gone, True)
        if book.folder:
            for folder in (f"{self._folder}/staging", f"{self._folder}/objects", self._folder):
                with suppress(OSError):  # not there, or not empty
                    os.rmdir(folder)

    # ---- for programs

    async def put(self, data: Any, *, media_type: str = "application/octet-stream") -> Artifact:
        """Keep bytes, the file at a path, or a file open for reading; pass the result in a context.

        A run that gets it keeps it for as long as it is there itself; what no run got is swept after a day.

        Raises:
            TypeError, OSError, ArtifactTooLarge: as `laneway.artifact`.
            StoreUnavailable: it was not kept.
        """
        book, desk = self._open()
        made = await asyncio.to_thread(desk.make, data, media_type)
        async with self._alone_with([made.digest]):
            desk.hand_over(made)
            staged = {made.digest: f"{desk.staging}/{made.digest}"}
            await book.keep(uuid7().bytes, staged, ())
            await self._cached(staged)
        return made

    async def get(self, reference: Mapping[str, Any] | Artifact) -> Artifact:
        """An artifact by its reference, such as a value of a result's context, ready to be read.

        Raises:
            TypeError: it is no reference.
            ArtifactMissing: the store has not got it.
        """
        book, desk = self._open()
        if isinstance(reference, Artifact):
            reference = reference.reference
        found = named(dict(reference))
        if found is None:
            raise TypeError(
                f"{str(reference)[:100]!r} is no reference to an artifact: it has $artifact, size and media_type"
            )
        digest = found[0]
        if self._cache is not None:
            there = await self._cache.fetch(digest)
        else:
            there = await asyncio.to_thread(os.path.exists, desk.place(digest))
        if not there:
            raise missing_error(digest, book.folder)
        return Artifact(desk, *found)

    async def read(self, reference: Mapping[str, Any] | Artifact) -> bytes:
        """All bytes of an artifact, checked. Raises as `get`, and ArtifactDamaged."""
        return await asyncio.to_thread((await self.get(reference)).read)

    async def open_file(self, reference: Mapping[str, Any] | Artifact) -> BinaryIO:
        """An artifact as a file for reading, checked. Raises as `read`."""
        return await asyncio.to_thread((await self.get(reference)).open)

    async def list(self, run: str | None = None) -> list[dict[str, Any]]:
        """All artifacts of the store, or those a run uses: `hash`, `size`, `created`, how many `runs` use it.

        Raises:
            RunNotFound: `run` is no id.
        """
        book, _ = self._open()
        try:
            wanted = None if run is None else UUID(run).bytes
        except ValueError as error:
            raise RunNotFound(run=run, store=book.url) from error
        rows = await book.listed(wanted)
        return [{"hash": f"sha256:{row.pop('digest')}", **row} for row in rows]

    def _open(self) -> tuple[ArtifactBook, Desk]:
        if self._book is None or self.desk is None:
            raise SettingInvalid(
                setting="engine.artifacts",
                value="closed",
                reason="its engine is not open, or its store keeps none",
                advice="Use it inside `async with Engine(...)` on memory://, sqlite:///FILE or postgresql://...",
            )
        return self._book, self.desk

    # ---- for the engine

    def worker_setup(self, worker: str, made: bool, living: set[str]) -> dict[str, Any] | None:
        """What a worker needs to know; with `made` its folders are there, for it may not make them itself.

        What workers left that do not live any more is removed.
        """
        if self._book is None:
            return None
        with suppress(FileNotFoundError):  # nothing was staged yet
            for one in os.scandir(self._staging):
                if one.name not in ("engine", worker, *living, *self._settling) and _is_old(one):
                    shutil.rmtree(one, ignore_errors=True)
        objects, staging = f"{self._folder}/objects", f"{self._staging}/{worker}"
        if made:
            for folder in (objects, staging):
                make_folder(folder)
        return {"objects": objects, "staging": staging, "limit": self.limit}

    async def claim(self, run: bytes | str, *bodies: bytes | None) -> None:
        """Record that a run uses what these values refer to, before the run or the values are recorded.

        Raises:
            ArtifactMissing: the store has not got one of them.
        """
        given = [body for body in bodies if body is not None and MARK in body]
        book, desk = self._book, self.desk
        if not given or book is None or desk is None:
            return
        try:
            user = UUID(run).bytes if isinstance(run, str) else run
        except ValueError:
            return  # there is no such run, as the store is about to say
        digests = digests_in(given)
        staged: dict[str, str] = {}
        async with self._alone_with(digests):
            self._find([desk.staging], digests, staged, suspicious=False)
            missing = await book.keep(user, staged, [one for one in digests if one not in staged])
            await self._cached(staged)
        if missing:
            refuse_missing(given, missing, book.folder)

    async def run(self, lane: Lane, order: StepOrder) -> Outcome:
        """`lane.run(order)`; meanwhile workers of this host can open what the order's payload refers to."""
        cache = self._cache
        if cache is None or lane.capabilities.remote or order.task.lane == "workflow":
            return await lane.run(order)
        digests = digests_in((order.payload,))
        cache.pin(digests)
        try:
            for digest in digests:
                await _patiently(partial(cache.fetch, digest), order.run)
            return await lane.run(order)
        finally:
            cache.unpin(digests)

    async def settle(self, lane: Lane, order: StepOrder, outcome: Outcome) -> Outcome:
        """Keep what an attempt made and returned; what comes back may be committed."""
        digests = digests_in((outcome.body,)) if outcome.kind in _CARRYING else ()
        book, desk = self._book, self.desk
        if not digests or book is None or desk is None:
            return outcome
        # A package's code might lie about what it made, or change it afterwards.
        suspicious = order.unit.kind == "package" or bool(order.unit.policy)
        run = UUID(order.run).bytes
        places = [f"{self._staging}/{outcome.worker}"] if outcome.worker else []
        staged: dict[str, str] = {}

        async def keep() -> list[str]:
            find = partial(self._find, [*places, desk.staging], digests, staged, suspicious=suspicious)
            if suspicious:
                await asyncio.to_thread(find)
            else:  # a few looks into a folder, which cost less than asking a thread
                find()
            return await book.keep(run, staged, [one for one in digests if one not in staged])

        try:
            self._settling[outcome.worker] += 1
            async with self._alone_with(digests):
                missing = await _patiently(keep, order.run)
                await self._cached(staged)
            if missing:
                refuse_missing((outcome.body,), missing, book.folder, is_far=lane.capabilities.remote)
        except ArtifactError as error:
            record = failure_record("other", type(error).__name__, str(error))
            return msgspec.structs.replace(outcome, kind="failure", body=msgspec.json.encode(record))
        finally:
            self._settling -= Counter((outcome.worker,))
        return outcome

    @asynccontextmanager
    async def _alone_with(self, digests: Iterable[str]) -> AsyncGenerator[None]:
        """While it lasts nobody else here keeps these: attempts that made the same hand over the same file."""
        locks = [self._locks.setdefault(one, asyncio.Lock()) for one in sorted(digests)]
        async with AsyncExitStack() as stack:
            for lock in locks:
                await stack.enter_async_context(lock)
            yield

    def _find(
        self, places: Sequence[str], digests: Sequence[str], staged: dict[str, str], *, suspicious: bool
    ) -> None:
        """Add to `staged` what was made by this attempt, checked if somebody might have changed it."""
        for digest in [one for one, path in staged.items() if not os.path.exists(path)]:
            del staged[digest]
        for digest in digests:
            for path in (f"{place}/{digest}" for place in places):
                if digest not in staged and os.path.exists(path):
                    if self.limit is not None and os.path.getsize(path) > self.limit:
                        raise ArtifactTooLarge(limit_mib=self.limit / (1 << 20))
                    staged[digest] = self._taken(digest, path) if suspicious else path

    def _taken(self, digest: str, path: str) -> str:
        """A checked copy of a file that a package's code may still hold open, or may have made a link."""
        make_folder(f"{self._staging}/engine")
        mine = f"{self._staging}/engine/{uuid4().hex}"
        damaged = ArtifactDamaged(hash=f"sha256:{digest}", where=path)
        try:
            source = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise damaged from error
        if not stat.S_ISREG(os.fstat(source).st_mode):
            os.close(source)
            raise damaged
        with open(source, "rb") as theirs, open(mine, "xb") as ours:
            shutil.copyfileobj(theirs, ours, 1 << 20)
        os.chmod(mine, 0o400)
        with open(mine, "rb") as file:
            Desk("", "").check(digest, file, path)
        os.unlink(path)
        return mine

    async def _cached(self, staged: Mapping[str, str]) -> None:
        if self._cache is not None:
            for digest, path in staged.items():
                self._cache.add(digest, path)


def _is_old(folder: os.DirEntry[str]) -> bool:
    """Whether nothing was added to a folder for longer than an outcome takes from its worker to its run."""
    try:
        return folder.stat().st_mtime < time.time() - _OLD_SECONDS
    except FileNotFoundError:
        return False


async def _patiently[T](work: Callable[[], Awaitable[T]], run: str) -> T:
    """The answer of `work`, however long the store or its disk is away."""
    troubled = False
    while True:
        try:
            answer = await work()
        except (StoreUnavailable, OSError) as error:
            if not troubled:
                log.error("an artifact of run %s waits for the store: %s", run, error)
            troubled = True
            await asyncio.sleep(_STORE_PAUSE)
        else:
            if troubled:
                log.warning("the store is back; run %s goes on", run)
            return answer
