"""Artifacts of a SQLite store: files by content in a folder beside the database, counted in its tables."""

import asyncio
import hashlib
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from laneway.ports import EngineCard
from laneway.stores._artifact_rows import DAY, answer
from laneway.stores._processes import here, is_gone
from laneway.stores._rows import first_id
from laneway.stores._sqlite_errors import explained
from laneway.stores.sql import named

if TYPE_CHECKING:
    from laneway.stores.sqlite import SqliteStore

__all__ = ["Files", "SqliteArtifacts", "tidied"]

_LONG = 7 * DAY
"""Seconds after which what another container staged is taken for left behind."""


class Files:
    """The folder of one database, as the writer's transactions change it.

    Only one transaction writes at a time, whichever process it is in, and files come and go inside of them: so what a
    run uses is there, and what no row knows is left over from a program that died.

    Args:
        database: the SQLite file.
        synced: files wait for the disk, as commits do.
    """

    def __init__(self, database: Path, *, synced: bool) -> None:
        self.folder = Path(f"{database}.artifacts")
        self.objects = self.folder / "objects"
        self.synced = synced
        self.sql = named("sqlite", "artifacts")

    def place(self, digest: str) -> Path:
        """Where a file with that content lies."""
        return self.objects / digest[:2] / digest[2:]

    def keep(
        self,
        run: bytes,
        staged: Mapping[str, str],
        others: Sequence[str],
        placed: Callable[[str], None] | None,
    ) -> Callable[[sqlite3.Connection], list[str]]:
        """Take files over and record the use of them and of others; answers which others are not there."""
        sql = self.sql

        def job(connection: sqlite3.Connection) -> list[str]:
            now = time.time()
            for digest, path in staged.items():
                self._take(digest, path)
                size = self.place(digest).stat().st_size
                connection.execute(sql["write"], (bytes.fromhex(digest), size, now))
            if placed is not None and staged:
                placed("placed")
            missing: list[str] = []
            for digest in others:
                known = connection.execute(sql["known"], (bytes.fromhex(digest),)).fetchone()
                if known is None or not self.place(digest).exists():
                    missing.append(digest)
            kept = [*staged, *(one for one in others if one not in missing)]
            connection.executemany(sql["use"], [(run, bytes.fromhex(one)) for one in kept])
            return missing

        return job

    def _take(self, digest: str, path: str) -> None:
        place = self.place(digest)
        if not place.parent.is_dir():
            place.parent.mkdir(0o700, parents=True, exist_ok=True)
            if self.synced:
                for folder in (self.objects, self.folder, self.folder.parent):
                    _sync(folder)
        # The staged file stays until the commit is through: if it fails, somebody may sweep what has no row.
        part = place.with_name(f"{uuid4().hex}.part")
        try:
            os.link(path, part)
        except OSError as error:
            if isinstance(error, FileNotFoundError):
                raise
            shutil.copy2(path, part)  # a file system without links
            if self.synced:
                _sync(part)
        os.replace(part, place)
        part.unlink(missing_ok=True)  # replacing a file by itself does nothing
        if self.synced:
            _sync(place.parent)

    def released(self, connection: sqlite3.Connection, runs: Sequence[tuple[bytes]]) -> list[bytes]:
        """What runs that are about to go use."""
        found: dict[bytes, None] = {}
        for run in runs:
            found.update((one, None) for (one,) in connection.execute(self.sql["used_by"], run))
        return list(found)

    def remove(self, connection: sqlite3.Connection, hashes: Iterable[bytes]) -> dict[str, int]:
        """Delete those that no run uses any more."""
        removed = {"artifacts": 0, "artifact_bytes": 0}
        for one in hashes:
            row = connection.execute(self.sql["remove"], (one,)).fetchone()
            if row is not None:
                self._unlink(one.hex())
                removed["artifacts"] += 1
                removed["artifact_bytes"] += row[0]
        return removed

    def _unlink(self, digest: str) -> None:
        place = self.place(digest)
        place.unlink(missing_ok=True)
        with suppress(OSError):
            place.parent.rmdir()

    def leftovers(self, connection: sqlite3.Connection) -> Any:
        """What may be deleted, as seen now, without holding up the writer: it is looked at once more before it goes.

        Uses of runs that never came to be, artifacts that nobody uses, files that no row knows.
        """
        sql = self.sql
        runs = connection.execute(sql["loose"], (first_id(time.time() - DAY),)).fetchall()
        unused = [one for (one,) in connection.execute(sql["unused"])]
        strays: list[str] = []
        if self.objects.is_dir():
            known = {bytes(one).hex() for (one,) in connection.execute(sql["hashes"])}
            found = (
                f"{shard.name}{file.name}" for shard in self.objects.iterdir() for file in shard.iterdir()
            )
            strays = [one for one in found if one not in known]
        return runs, unused, strays

    def tidy(
        self, runs: Sequence[tuple[bytes]], unused: Sequence[bytes], strays: Sequence[str]
    ) -> Callable[[sqlite3.Connection], dict[str, int]]:
        """Delete these leftovers, as far as they still are some."""

        def job(connection: sqlite3.Connection) -> dict[str, int]:
            released = self.released(connection, runs)
            connection.executemany(self.sql["forget"], runs)
            removed = self.remove(connection, dict.fromkeys([*unused, *released]))
            for digest in strays:
                if len(digest) != 64 or not _known(connection, self.sql, digest):
                    self._unlink(digest)
            for folder in (self.folder / "staging", self.objects, self.folder):
                with suppress(OSError):  # not there, or not empty
                    folder.rmdir()
            return removed

        return job

    def clear_staging(self) -> None:
        """Remove what engines left that are not there any more."""
        mine = here("")
        with suppress(FileNotFoundError):
            for folder in (self.folder / "staging").iterdir():
                if _is_left(folder, mine):
                    shutil.rmtree(folder, ignore_errors=True)


class SqliteArtifacts:
    """ArtifactBook port of a SQLite store."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self._files = store.files
        self.url = store.url
        self.folder = str(store.files.folder)

    def staging(self) -> str:
        card = here("")
        host, boot = _host_and_boot(card)
        return f"{card.pid}-{int(card.started)}-{host}-{boot}-{uuid4().hex[:12]}"

    async def keep(self, run: bytes, staged: Mapping[str, str], others: Sequence[str]) -> list[str]:
        store = self._store
        if staged and self._files.synced:  # before the transaction, so that no other waits for the disk
            await self._aside(lambda: _sync_all(staged.values()))
        missing: list[str] = await store._do(self._files.keep(run, staged, others, store._hook))
        for path in staged.values():
            with suppress(OSError):
                os.unlink(path)
        return missing

    async def fetch(self, digest: str, target: str) -> bool:
        def copy() -> bool:
            try:
                shutil.copyfile(self._files.place(digest), target)
            except FileNotFoundError:
                return False
            return True

        return await self._aside(copy)

    async def _aside[T](self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.to_thread(work)
        except OSError as error:
            raise explained(error, self._store.url) from error

    async def listed(self, run: bytes | None) -> list[dict[str, Any]]:
        sql = self._files.sql

        def look(connection: sqlite3.Connection) -> list[dict[str, Any]]:
            rows = (
                connection.execute(sql["all"]) if run is None else connection.execute(sql["of_run"], (run,))
            )
            return [answer(row) for row in rows]

        return await self._store._read(look)


async def tidied(store: SqliteStore) -> dict[str, int]:
    """Delete what nobody uses, and what dead engines left in the folder; says how much of it was artifacts."""
    files = store.files
    await asyncio.to_thread(files.clear_staging)
    found: Any = await store._read(files.leftovers)
    runs, unused, strays = found
    removed: dict[str, int] = await store._do(files.tidy(runs, unused, strays))
    return removed


def _known(connection: sqlite3.Connection, sql: Mapping[str, str], digest: str) -> bool:
    try:
        return connection.execute(sql["known"], (bytes.fromhex(digest),)).fetchone() is not None
    except ValueError:
        return False


def _sync(path: str | Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _sync_all(paths: Iterable[str]) -> None:
    for path in paths:
        _sync(path)


def _host_and_boot(card: EngineCard) -> tuple[str, str]:
    boot, separator, _ = card.host.partition("/pid:[")
    marks = [hashlib.sha256(one.encode()).hexdigest()[:12] for one in (card.host, boot)]
    return marks[0], marks[1] if separator else "0"


def _is_left(folder: Path, mine: EngineCard) -> bool:
    """Whether the engine that made a staging folder is surely gone."""
    parts = folder.name.split("-")
    if len(parts) != 5 or not (parts[0].isdecimal() and parts[1].isdecimal()):
        return False
    host, boot = _host_and_boot(mine)
    if parts[2] == host:
        return is_gone(EngineCard("", mine.host, int(parts[0]), float(parts[1])), beside=mine)
    if boot != "0" != parts[3] and parts[3] != boot:
        return True
    try:
        return folder.stat().st_mtime < time.time() - _LONG
    except OSError:
        return False
