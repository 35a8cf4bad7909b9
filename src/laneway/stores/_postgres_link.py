"""Connections to Postgres: where Laneway's tables are, how they are made, and what the server's errors mean."""

import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit, urlunsplit

import psycopg
from psycopg import errors

from laneway._core.errors import StoreError, StoreSchemaNewer, StoreUnavailable
from laneway.stores._migrations import Migration, pending

__all__ = ["ALL", "Connection", "Link", "channel", "pool_channel"]

type Connection = psycopg.AsyncConnection[tuple[Any, ...]]

ALL = "laneway_all"
"""Where all engines listen."""
_SCHEMA = "laneway"
_LOCK = 0x1A9E3A7  # any number, the same for all engines: one of them migrates at a time
_PATIENCE = {
    "connect_timeout": 10,
    "keepalives_idle": 20,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
"""How soon a network that swallows everything is noticed; the URL may say otherwise."""
_SET = "select set_config(name, value, false) from unnest(%s::text[], %s::text[]) as told (name, value)"
_SHORTEST_SILENCE = 5.0
"""Seconds that an engine may be busy within a transaction before the server ends it, at least."""

_WAIT = (
    psycopg.InterfaceError,
    errors.InsufficientResources,
    errors.OperatorIntervention,
    errors.SystemError,
    errors.TransactionRollback,
    errors.ObjectNotInPrerequisiteState,
)


def channel(engine: str) -> str:
    """Where one engine listens."""
    return "laneway_" + "".join(one for one in engine if one.isalnum())[:48]


def pool_channel(engine: str) -> str:
    """Where one engine listens for shared pools of which something was given back."""
    return f"{channel(engine)}_pools"


class Link:
    """How to reach one database.

    Args:
        url: `postgresql://user@host/database`.
        synced: wait for the server's disk with every commit, whatever the server's own default is.
        changes: the schema changes this release knows.
    """

    def __init__(self, url: str, *, synced: bool, changes: Sequence[Migration]) -> None:
        self.url = _shown(url)
        self.schema = changes[-1].number
        self._address = url
        self._synced = synced
        self._changes = changes
        self.lease = _SHORTEST_SILENCE
        """Seconds after which others may take over from the engine whose connections these are."""
        told = parse_qs(urlsplit(url).query)
        self._patience: dict[str, Any] = {
            name: value for name, value in _PATIENCE.items() if name not in told
        }

    async def connect(self, role: str) -> Connection:
        """A connection in autocommit mode, with Laneway's tables in sight.

        Raises:
            StoreUnavailable: the server cannot be reached or refuses.
        """
        try:
            connection: Connection = await psycopg.AsyncConnection.connect(
                self._address,
                autocommit=True,
                application_name=f"laneway {role}",
                **self._patience,
            )
            try:
                session = [list(one) for one in zip(*self._session().items(), strict=True)]
                await connection.execute(_SET, session)
            except BaseException:
                await connection.close()
                raise
        except (psycopg.Error, OSError) as error:
            raise self.explained(error) from error
        return connection

    def _session(self) -> dict[str, str]:
        """Settings of every connection. The server must let go of what an engine holds that it cannot hear any more.

        A transaction that an engine left open keeps its row locked, and others from taking its runs over.
        """
        silence = str(int(1000 * max(self.lease, _SHORTEST_SILENCE)))
        session = {
            "search_path": _SCHEMA,
            "idle_in_transaction_session_timeout": silence,
            "tcp_keepalives_idle": "20",
            "tcp_keepalives_interval": "5",
            "tcp_keepalives_count": "3",
        }
        return session | {"synchronous_commit": "on"} if self._synced else session

    async def prepare(self, connection: Connection) -> None:
        """Make or change the tables as far as this release and the engines at work allow.

        Raises:
            StoreSchemaNewer: written by a newer Laneway; nothing was touched.
        """
        try:
            async with connection.transaction():
                await connection.execute("select pg_advisory_xact_lock(%s)", (_LOCK,))
                await self._migrate(connection)
        except (psycopg.Error, OSError) as error:
            raise self.explained(error) from error

    async def _migrate(self, connection: Connection) -> None:
        known = await connection.execute("select to_regclass(%s)", (f"{_SCHEMA}.migration",))
        applied: set[str] = set()
        oldest: int | None = None
        if (await known.fetchone() or (None,))[0] is None:
            await connection.execute(f"create schema if not exists {_SCHEMA}")
            await connection.execute(
                "create table migration (name text primary key, at double precision not null)"
            )
            await connection.execute("create table floor (number integer not null)")
            await connection.execute("insert into floor values (0)")
        else:
            floor = (await (await connection.execute("select number from floor")).fetchone() or (0,))[0]
            if floor > self.schema:
                raise StoreSchemaNewer(store=self.url, found=floor, known=self.schema)
            applied = {
                name for (name,) in await (await connection.execute("select name from migration")).fetchall()
            }
            oldest = (
                await (await connection.execute("select min(schema) from engine")).fetchone() or (None,)
            )[0]
        for name, text, floor in pending(self._changes, applied, oldest):
            for statement in text.split(";"):
                if statement.strip():
                    await connection.execute(statement.encode())
            await connection.execute("insert into migration values (%s, %s)", (name, time.time()))
            if floor is not None:
                await connection.execute("update floor set number = %s", (floor,))

    def is_outage(self, error: BaseException) -> bool:
        """Whether the server as a whole cannot be written right now, rather than one record being at fault."""
        if isinstance(error, (OSError, StoreUnavailable, *_WAIT)):
            return True
        return isinstance(error, psycopg.OperationalError) and not isinstance(
            error, errors.ProgramLimitExceeded
        )

    def explained(self, error: BaseException) -> BaseException:
        """The store error that says in words what went wrong; other errors pass as they are."""
        if isinstance(error, StoreError) or not isinstance(error, psycopg.Error | OSError):
            return error
        reason = " ".join(str(error).split()) or type(error).__name__
        advice = "Check that the server runs and accepts connections; work goes on by itself."
        if isinstance(error, errors.InvalidAuthorizationSpecification | errors.InvalidCatalogName):
            advice = "Check the user, the password and the database's name in the URL."
        elif isinstance(error, errors.DiskFull):
            advice = "Free some space on the server; work goes on by itself."
        elif isinstance(error, errors.InsufficientPrivilege):
            advice = f"Allow the user to create and use the schema {_SCHEMA!r}."
        wrapped = StoreUnavailable(store=self.url, reason=reason, advice=advice)
        wrapped.__cause__ = error
        return wrapped


def _shown(url: str) -> str:
    """The URL without its password."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{parts.username or ''}:***@{host}"))
