"""Store tests: artifacts."""

import asyncio
import hashlib
import os
import time
from pathlib import Path
from typing import Any
from uuid import UUID, uuid7

from laneway import aio
from laneway._core.records import RunRecord
from laneway.ports import Store
from laneway.stores._rows import first_id
from laneway.stores.artifacts import artifacts_of
from laneway.testing.store_parts import Site, committed, ended, opened, submission, text_id, written

__all__ = ["ArtifactCases"]


def staged(folder: Path, *bodies: bytes) -> dict[str, str]:
    """Files with these contents by digest, as a worker leaves them."""
    found: dict[str, str] = {}
    for body in bodies:
        digest = hashlib.sha256(body).hexdigest()
        path = folder / uuid7().hex
        path.write_bytes(body)
        found[digest] = str(path)
    return found


def digest_of(body: bytes) -> str:
    """What an artifact with that content is known by."""
    return hashlib.sha256(body).hexdigest()


async def content(store: Store, digest: str, folder: Path) -> bytes | None:
    """The bytes a store has under a digest."""
    target = folder / uuid7().hex
    there = await artifacts_of(store).fetch(digest, str(target))
    return target.read_bytes() if there else None


async def finished(store: Store, *records: RunRecord) -> None:
    """End runs long ago."""
    await committed(store, *[written(one, end=ended(at=100.0)) for one in records])


async def counts(store: Store) -> tuple[int, int]:
    """How many artifacts there are, and how many bytes."""
    (sizes,) = await store.read("sizes")
    return sizes["artifacts"], sizes["artifact_bytes"]


class ArtifactCases:
    """What is kept, used and swept; every kind of store keeps the same promises."""

    async def test_artifact_comes_back_whole_whatever_its_size(self, site: Site, tmp_path: Path) -> None:
        bodies = [b"", b"x", os.urandom(1 << 20), os.urandom((1 << 20) + 1), os.urandom(3_500_000)]
        async with opened(site.store()) as store:
            run = await store.submit(submission())
            files = staged(tmp_path, *bodies)
            assert await artifacts_of(store).keep(run.run, files, ()) == []
            for body in bodies:
                assert await content(store, digest_of(body), tmp_path) == body
            assert await content(store, "0" * 64, tmp_path) is None
            assert await counts(store) == (5, sum(map(len, bodies)))

    async def test_content_is_kept_once_and_listed_with_its_runs(self, site: Site, tmp_path: Path) -> None:
        async with opened(site.store()) as store, opened(site.store()) as other:
            one, two = await store.submit(submission()), await other.submit(submission())
            for holder, record in ((store, one), (other, two), (store, one)):
                assert await artifacts_of(holder).keep(record.run, staged(tmp_path, b"same"), ()) == []
            await artifacts_of(store).keep(one.run, staged(tmp_path, b"mine"), ())
            assert await counts(store) == (2, 8)
            listed = await artifacts_of(store).listed(None)
            assert {(row["digest"], row["size"], row["runs"]) for row in listed} == {
                (digest_of(b"same"), 4, 2),
                (digest_of(b"mine"), 4, 1),
            }
            assert [row["digest"] for row in await artifacts_of(other).listed(two.run)] == [
                digest_of(b"same")
            ]

    async def test_what_is_not_there_is_named_and_the_rest_recorded(self, site: Site, tmp_path: Path) -> None:
        async with opened(site.store()) as store:
            one, two = await store.submit(submission()), await store.submit(submission())
            book = artifacts_of(store)
            await book.keep(one.run, staged(tmp_path, b"there"), ())
            there, lacking = digest_of(b"there"), digest_of(b"lacking")
            assert await book.keep(two.run, {}, [lacking, there]) == [lacking]
            assert [row["digest"] for row in await book.listed(two.run)] == [there]

    async def test_sweep_takes_artifacts_with_the_last_run_that_used_them(
        self, site: Site, tmp_path: Path
    ) -> None:
        async with opened(site.store()) as store:
            old, also, going = [await store.submit(submission()) for _ in range(3)]
            book = artifacts_of(store)
            await book.keep(old.run, staged(tmp_path, b"old", b"shared", b"lasting"), ())
            await book.keep(also.run, staged(tmp_path, b"shared"), ())
            await book.keep(going.run, {}, [digest_of(b"lasting")])
            await finished(store, old)
            swept = await store.sweep(before=150.0)
            assert (swept["artifacts"], swept["artifact_bytes"]) == (1, 3)
            assert await content(store, digest_of(b"old"), tmp_path) is None
            assert await content(store, digest_of(b"shared"), tmp_path) == b"shared"
            await finished(store, also)
            assert (await store.sweep(before=150.0, limit=1))["artifacts"] == 1
            assert await content(store, digest_of(b"shared"), tmp_path) is None
            assert await content(store, digest_of(b"lasting"), tmp_path) == b"lasting"
            assert await counts(store) == (1, 7)

    async def test_what_was_swept_can_be_kept_again(self, site: Site, tmp_path: Path) -> None:
        async with opened(site.store()) as store:
            for _ in range(3):
                run = await store.submit(submission())
                await artifacts_of(store).keep(run.run, staged(tmp_path, b"again"), ())
                assert await content(store, digest_of(b"again"), tmp_path) == b"again"
                await finished(store, run)
                assert (await store.sweep(before=150.0))["artifacts"] == 1
                assert await content(store, digest_of(b"again"), tmp_path) is None
            assert await counts(store) == (0, 0)

    async def test_what_no_run_got_is_swept_after_a_day(self, site: Site, tmp_path: Path) -> None:
        async with opened(site.store()) as store:
            book = artifacts_of(store)
            hour, day = first_id(time.time() - 3600), first_id(time.time() - 90_000)
            await book.keep(hour, staged(tmp_path, b"an hour ago"), ())
            await book.keep(day, staged(tmp_path, b"yesterday"), ())
            assert (await store.sweep(before=150.0))["artifacts"] == 1
            assert await content(store, digest_of(b"yesterday"), tmp_path) is None
            assert await content(store, digest_of(b"an hour ago"), tmp_path) == b"an hour ago"

    async def test_sweeps_never_take_what_others_begin_to_use(self, site: Site, tmp_path: Path) -> None:
        """One store keeps and uses, another one ends and sweeps: no run is ever left without its artifact."""
        swept = 0
        async with opened(site.store()) as store, opened(site.store()) as sweeper:

            async def use(number: int) -> list[Any]:
                trouble: list[Any] = []
                step = 0
                while step < 25 or swept < 5:
                    step += 1
                    await asyncio.sleep(0)  # a store in memory never waits for anything
                    run = await store.submit(submission())
                    body = b"%d %d" % (number // 2, step % 2)
                    if number % 2:
                        await artifacts_of(store).keep(run.run, staged(tmp_path, body), ())
                    elif await artifacts_of(store).keep(run.run, {}, [digest_of(body)]):
                        await finished(store, run)
                        continue  # it was not there, and the store said so
                    if await content(store, digest_of(body), tmp_path) != body:
                        trouble.append((number, step, str(UUID(bytes=run.run))))
                    await finished(store, run)
                return trouble

            async def sweep() -> None:
                nonlocal swept
                while not done.is_set():
                    swept += (await sweeper.sweep(before=150.0))["artifacts"]
                    await asyncio.sleep(0)

            async def use_all() -> list[Any]:
                async with aio.TaskGroup() as users:
                    using = [users.create_task(use(number)) for number in range(4)]
                done.set()
                return [one for user in using for one in user.result()]

            done = asyncio.Event()
            async with aio.TaskGroup() as group:
                trouble = group.create_task(use_all())
                group.create_task(sweep())
            assert trouble.result() == []

    async def test_artifacts_outlive_the_engine_that_kept_them(self, site: Site, tmp_path: Path) -> None:
        async with opened(site.store()) as keeper, opened(site.store()) as other:
            run = await keeper.submit(submission())
            await artifacts_of(keeper).keep(run.run, staged(tmp_path, b"kept"), ())
            await keeper.close()
            assert [row["runs"] for row in await artifacts_of(other).listed(run.run)] == [1]
            assert await content(other, digest_of(b"kept"), tmp_path) == b"kept"
            assert text_id(run) in [row["id"] for row in await other.read("runs")]
