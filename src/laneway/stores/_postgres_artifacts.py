"""Artifacts of a Postgres store: bytes in its tables in pieces, written on a connection of their own."""

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import IO, TYPE_CHECKING, Any
from uuid import uuid4

import psycopg

from laneway.stores._artifact_rows import DAY, answer
from laneway.stores._postgres_link import Connection
from laneway.stores._rows import first_id
from laneway.stores.sql import named

if TYPE_CHECKING:
    from laneway.stores.postgres import PostgresStore

__all__ = ["PostgresArtifacts", "swept"]

_CHUNK = 1 << 20


class PostgresArtifacts:
    """ArtifactBook port of a Postgres store.

    Whoever records the use of an artifact holds its row; a sweep locks the rows it wants to delete and then looks
    again. So none of them misses what the other did.
    """

    folder = ""

    def __init__(self, store: PostgresStore) -> None:
        self.url = store.url
        self._store = store
        self._sql: dict[str, Any] = named("postgres", "artifacts")

    def staging(self) -> str:
        return uuid4().hex

    async def keep(self, run: bytes, staged: Mapping[str, str], others: Sequence[str]) -> list[str]:
        wanted = [bytes.fromhex(one) for one in sorted({*staged, *others})]
        async with self._connection() as connection, connection.transaction():
            there = await self._held(connection, wanted)
            while lacking := [one for one in wanted if one not in there and one.hex() in staged]:
                for one in lacking:
                    with await asyncio.to_thread(open, staged[one.hex()], "rb") as file:
                        if await self._written(connection, one, file):
                            there.add(one)
                there |= await self._held(connection, [one for one in lacking if one not in there])
            await connection.execute(self._sql["use"], (run, [one for one in wanted if one in there]))
        return [one for one in others if bytes.fromhex(one) not in there]

    async def _held(self, connection: Connection, wanted: Sequence[bytes]) -> set[bytes]:
        rows = await connection.execute(self._sql["hold"], (list(wanted),))
        return {bytes(one) for (one,) in await rows.fetchall()}

    async def _written(self, connection: Connection, digest: bytes, file: IO[bytes]) -> bool:
        """Write one; False if another engine has just done so."""
        size = file.seek(0, 2)
        file.seek(0)
        first = (digest, size, time.time(), file.read(_CHUNK))
        if (await connection.execute(self._sql["write"], first)).rowcount == 0:
            return False
        number = 1
        while piece := file.read(_CHUNK):
            await connection.execute(self._sql["write_chunk"], (digest, number, piece))
            number += 1
        return True

    async def fetch(self, digest: str, target: str) -> bool:
        wanted = bytes.fromhex(digest)
        async with self._connection() as connection, connection.transaction():
            # One moment's view of all pieces, whatever a sweep does meanwhile.
            await connection.execute("set transaction isolation level repeatable read read only")
            row = await (await connection.execute(self._sql["first"], (wanted,))).fetchone()
            if row is None:
                return False
            size, piece = row
            with await asyncio.to_thread(open, target, "xb") as file:
                number = 0
                while piece:
                    file.write(piece)
                    number += 1
                    if file.tell() >= size:
                        break
                    found = await connection.execute(self._sql["chunk"], (wanted, number))
                    piece = (await found.fetchone() or (b"",))[0]
        return True

    async def listed(self, run: bytes | None) -> list[dict[str, Any]]:
        async with self._connection() as connection:
            if run is None:
                rows = await connection.execute(self._sql["all"])
            else:
                rows = await connection.execute(self._sql["of_run"], (run,))
            return [answer(row) for row in await rows.fetchall()]

    @asynccontextmanager
    async def _connection(self) -> AsyncGenerator[Connection]:
        """A connection of this call's own: moving a large one takes time, and steps must not wait for it."""
        link = self._store._link
        connection = await link.connect("artifacts")
        try:
            async with connection:
                yield connection
        except psycopg.Error as error:
            raise link.explained(error) from error


async def swept(connection: Connection, runs: Sequence[bytes], *, last: bool) -> dict[str, int]:
    """In the transaction that deletes `runs`, before it forgets what they use: drop what nobody else uses.

    With `last` whatever else no run uses goes too.
    """
    sql: dict[str, Any] = named("postgres", "artifacts")
    hashes: list[bytes] | None = [
        one for (one,) in await (await connection.execute(sql["used_by"], (list(runs),))).fetchall()
    ]
    await connection.execute(sql["forget"], (list(runs),))
    if last:
        await connection.execute(sql["loose"], (first_id(time.time() - DAY),))
        hashes = None
    elif not hashes:
        return {"artifacts": 0, "artifact_bytes": 0}
    rows = await connection.execute(sql["unused"], {"hashes": hashes})
    locked = [one for (one,) in await rows.fetchall()]
    gone = await (await connection.execute(sql["remove"], (locked,))).fetchall()
    await connection.execute(sql["remove_chunks"], ([one for one, _ in gone],))
    return {"artifacts": len(gone), "artifact_bytes": sum(size for _, size in gone)}
