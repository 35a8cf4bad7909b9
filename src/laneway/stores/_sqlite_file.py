"""The database file itself: connections, schema, and what to do when the file is taken away under a running engine."""

import logging
import os
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

from laneway._core.errors import StoreSchemaNewer, StoreUnavailable
from laneway.stores._migrations import Migration, pending

__all__ = ["DatabaseFile"]

log = logging.getLogger("laneway.stores")

_AUTOCHECKPOINT_PAGES = 2000
_IS_EFFECTIVE = os.access in os.supports_effective_ids


class DatabaseFile:
    """One SQLite file.

    Args:
        path: where it is.
        url: how it is named in errors.
        synced: every commit waits for the disk.
        migrations: the schema changes this release knows.
        busy: seconds to wait for another program's lock.
    """

    def __init__(
        self, path: Path, url: str, *, synced: bool, migrations: Sequence[Migration], busy: float
    ) -> None:
        self.path = path
        self.url = url
        self.schema = migrations[-1].number
        self.is_synced = synced
        self._migrations = migrations
        self._busy = busy
        self._identity: tuple[int, int] | None = None
        self._log: tuple[int, int] | None = None

    def connect(self) -> sqlite3.Connection:
        """A writing connection on a file with the right schema; both are made if need be."""
        if not self.path.parent.is_dir():
            raise FileNotFoundError(2, f"the folder {self.path.parent} does not exist", str(self.path))
        if self.path.is_dir():
            raise IsADirectoryError(21, f"{self.path} is a folder; name a file in it", str(self.path))
        if not self.path.exists() and not os.access(self.path.parent, os.W_OK, effective_ids=_IS_EFFECTIVE):
            raise PermissionError(13, f"the folder {self.path.parent} may not be written to", str(self.path))
        connection = self._connected()
        try:
            if connection.execute("pragma page_count").fetchone()[0] == 0:
                connection.execute("pragma auto_vacuum = incremental")
            connection.execute("pragma journal_mode = wal")
            connection.execute(f"pragma synchronous = {'full' if self.is_synced else 'normal'}")
            connection.execute(f"pragma wal_autocheckpoint = {_AUTOCHECKPOINT_PAGES}")
            connection.execute("pragma journal_size_limit = 67108864")
            self._migrate(connection)
        except BaseException:
            connection.close()
            raise
        self._identity = self._found()
        self._log = self._found("-wal")
        return connection

    def read_only(self) -> sqlite3.Connection:
        """A connection for reading."""
        connection = self._connected()
        connection.execute("pragma query_only = on")
        return connection

    def identity(self) -> tuple[int, int] | None:
        """Which file is at the path now."""
        return self._found()

    def begin(self, connection: sqlite3.Connection) -> sqlite3.Connection:
        """Start a write transaction on the file that is at the path.

        A file that was deleted is put back with all that was committed: SQLite would otherwise go on writing to
        something that has no name any more. A file that another program put back is opened instead.
        """
        connection.execute("begin immediate")
        try:
            found = self._found()
            if found == self._identity:
                return connection
            if found is None:
                log.error("%s was deleted while in use; it is put back with all that was committed", self.url)
                self._put_back(connection)
            elif self._log == self._found(
                "-wal"
            ):  # left from our file: SQLite would mix it into the other one
                self._drop_log()
        except BaseException:
            connection.execute("rollback")
            raise
        connection.execute("rollback")
        renewed = self.connect()
        connection.close()
        renewed.execute("begin immediate")
        return renewed

    def be_patient(self, connection: sqlite3.Connection, *, wish: bool) -> None:
        """Whether commits wait for another program's lock, and now and then move the log, which waits for the disk."""
        connection.execute(f"pragma busy_timeout = {round(self._busy * 1000) if wish else 0}")
        connection.execute(f"pragma wal_autocheckpoint = {_AUTOCHECKPOINT_PAGES if wish else 0}")

    def move_log(self, connection: sqlite3.Connection | None = None) -> None:
        """Move what was committed from the log into the database, as far as nobody reads it.

        Without a connection another one than the writer's is used, so that commits go on meanwhile. They add to the
        log, which starts anew only when it was moved to its end and the next commit comes.
        """
        try:
            if connection is not None:
                connection.execute("pragma wal_checkpoint(passive)")
                return
            beside = sqlite3.connect(
                f"{self.path.as_uri()}?mode=rw", uri=True, isolation_level=None, timeout=0
            )
            try:
                beside.execute("pragma synchronous = normal")
                beside.execute("pragma wal_checkpoint(passive)")
            finally:
                beside.close()
        except sqlite3.Error as error:  # whatever it is, the next commit meets and tells it
            log.debug("store %s: the log was not moved: %s", self.url, error)

    def _found(self, suffix: str = "") -> tuple[int, int] | None:
        try:
            status = os.stat(f"{self.path}{suffix}")
        except FileNotFoundError:
            return None
        return status.st_dev, status.st_ino

    def _put_back(self, connection: sqlite3.Connection) -> None:
        """Write the database again. The old file's write lock is held, so nobody adds to it meanwhile."""
        if not self.path.parent.is_dir():
            raise StoreUnavailable(
                store=self.url, reason=f"the folder {self.path.parent} was deleted", advice="Make it again."
            )
        self._drop_log()
        staged = Path(f"{self.path}.{os.getpid()}.restored")
        try:
            staged.write_bytes(connection.serialize())
            with staged.open("rb") as file:
                os.fsync(file.fileno())
            try:
                os.link(staged, self.path)
            except FileExistsError:
                log.warning("%s was put back by another program", self.url)
        finally:
            staged.unlink(missing_ok=True)

    def _drop_log(self) -> None:
        for suffix in ("-wal", "-shm"):
            Path(f"{self.path}{suffix}").unlink(missing_ok=True)

    def _connected(self) -> sqlite3.Connection:
        return sqlite3.connect(
            self.path,
            isolation_level=None,
            check_same_thread=False,
            timeout=self._busy,
            cached_statements=256,
        )

    def _migrate(self, connection: sqlite3.Connection) -> None:
        connection.execute("begin immediate")
        try:
            floor = connection.execute("pragma user_version").fetchone()[0]
            if floor > self.schema:
                raise StoreSchemaNewer(store=self.url, found=floor, known=self.schema)
            applied: set[str] = set()
            oldest = None
            if floor:
                applied = {one for (one,) in connection.execute("select name from migration")}
                oldest = connection.execute("select min(schema) from engine").fetchone()[0]
            for name, text, new_floor in pending(self._migrations, applied, oldest):
                for statement in text.split(";"):
                    if statement.strip():
                        connection.execute(statement)
                connection.execute("insert into migration (name, at) values (?, ?)", (name, time.time()))
                if new_floor is not None:
                    connection.execute(f"pragma user_version = {new_floor}")
            connection.execute("commit")
        except BaseException:
            if connection.in_transaction:
                connection.execute("rollback")
            raise
