"""Store tests: leases, resting runs, wishes."""

import asyncio
import time
from uuid import uuid7

from laneway._core.errors import RunNotFound, StoreFenced
from laneway.testing.store_parts import (
    Site,
    answer_to,
    card,
    committed,
    ended,
    opened,
    refusal,
    step,
    submission,
    text_id,
    written,
)

__all__ = ["LeaseCases"]


class LeaseCases:
    """Who may write, who may take over, and what is left for others."""

    # ---- leases

    async def test_run_of_a_living_engine_is_not_claimable(self, site: Site) -> None:
        async with opened(site.store()) as store, opened(site.store()) as other:
            record = await store.submit(submission())
            assert await other.claim(run=text_id(record)) == []
            assert await other.claim(workflows=["flow"]) == []

    async def test_closed_store_leaves_its_runs_to_others(self, site: Site) -> None:
        async with opened(site.store()) as store:
            record = await store.submit(submission(context=b'{"n":7}'))
            row = step(record)
            await committed(store, written(record, row))
        async with opened(site.store()) as other:
            (saved,) = await other.claim(workflows=["flow"])
            assert saved.record.run == record.run
            assert saved.record.context == b'{"n":7}'
            assert saved.steps == [row]
            assert await other.claim(workflows=["flow"]) == []

    async def test_expired_lease_is_claimable_by_another_engine(self, site: Site) -> None:
        async with opened(site.store()) as store, opened(site.store()) as other:
            records = [await store.submit(submission()) for _ in range(3)]
            await site.let_leases_end()
            await other.renew(lease=15.0)
            (saved,) = await other.claim(run=text_id(records[0]))
            assert saved.record.run == records[0].run
            assert len(await other.claim(workflows=["flow"], limit=9)) == 2, (
                "a dead engine's runs are all free"
            )

    async def test_engine_that_lost_its_lease_writes_nothing(self, site: Site) -> None:
        async with opened(site.store()) as store, opened(site.store()) as other:
            record = await store.submit(submission())
            await site.let_leases_end()
            await other.renew(lease=15.0)
            assert len(await other.claim(run=text_id(record))) == 1
            for waiting in (
                committed(store, written(record, step(record))),
                committed(store, written(record, end=ended())),
                store.submit(submission()),
                store.renew(lease=15.0),
                store.claim(workflows=["flow"]),
            ):
                assert isinstance(await refusal(waiting), StoreFenced)
            (saved,) = await other.read("saved", run=text_id(record))
            assert saved["saved"].steps == []
            await committed(other, written(record, step(record), end=ended()))

    async def test_fenced_engine_starts_anew_under_a_newtext_id(self, site: Site) -> None:
        async with opened(site.store()) as store, opened(site.store()) as other:
            record = await store.submit(submission())
            await site.let_leases_end()
            await other.renew(lease=15.0)
            await other.claim(run=text_id(record))
            await store.open(card())
            fresh = await store.submit(submission())
            await committed(store, written(fresh, step(fresh), end=ended()))

    async def test_what_was_made_in_the_old_name_is_never_written_in_the_new_one(self, site: Site) -> None:
        async with opened(site.store()) as store, opened(site.store()) as other:
            record = await store.submit(submission())
            await site.let_leases_end()
            await other.renew(lease=15.0)
            assert len(await other.claim(run=text_id(record))) == 1
            loop = asyncio.get_running_loop()
            before: asyncio.Future[None] = loop.create_future()
            # A frozen engine wakes: a step that ran meanwhile is handed over just when it gets its new name.
            store.commit(written(record, step(record)), answer_to(before))
            renaming = loop.create_task(store.open(card()))
            await asyncio.sleep(0)
            submitting = loop.create_task(store.submit(submission()))
            await renaming
            assert isinstance(await refusal(before), StoreFenced)
            fresh = await submitting
            await committed(store, written(fresh, step(fresh, "after")))
            for run, tasks in ((record, []), (fresh, ["after"])):
                (saved,) = await other.read("saved", run=text_id(run))
                assert [row.task for row in saved["saved"].steps] == tasks

    async def test_renewed_lease_is_kept(self, site: Site) -> None:
        async with opened(site.store()) as store, opened(site.store()) as other:
            record = await store.submit(submission())
            await site.let_leases_end()
            assert await store.renew(lease=15.0) == []
            await other.renew(lease=15.0)
            assert await other.claim(run=text_id(record)) == []

    async def test_two_engines_never_claim_one_run(self, site: Site) -> None:
        async with opened(site.store()) as store:
            for _ in range(40):
                await store.submit(submission())
        async with opened(site.store()) as one, opened(site.store()) as two, opened(site.store()) as three:
            claims = [
                engine.claim(workflows=["flow"], limit=3) for _ in range(6) for engine in (one, two, three)
            ]
            found = [saved.record.run for taken in await asyncio.gather(*claims) for saved in taken]
            assert len(found) == len(set(found)) == 40

    async def test_claims_go_by_priority_then_age(self, site: Site) -> None:
        async with opened(site.store()) as store:
            asked = [submission(priority=priority) for priority in (0, 5, 0, 9)]
            for one in asked:
                await store.submit(one)
            await store.submit(submission("other", priority=99))
        async with opened(site.store()) as other:
            taken = await other.claim(workflows=["flow", "unknown"], limit=3)
            assert [saved.record.run for saved in taken] == [asked[3].run, asked[1].run, asked[0].run]

    # ---- resting runs

    async def test_suspended_run_is_claimable_when_it_is_due(self, site: Site) -> None:
        async with opened(site.store()) as store:
            now = time.time()
            late, due, asleep = [await store.submit(submission()) for _ in range(3)]
            await committed(store, written(late, end=ended("suspended", due=now + 1000)))
            await committed(store, written(due, end=ended("suspended", due=now - 1)))
            await committed(store, written(asleep, end=ended("suspended")))
            (agenda,) = await store.read("agenda", workflows=["flow"])
            assert agenda["due"] == now - 1
            taken = await store.claim(workflows=["flow"], limit=9)
            assert [saved.record.run for saved in taken] == [due.run]
            (agenda,) = await store.read("agenda", workflows=["flow"])
            assert agenda == {"due": now + 1000, "free": False, "leases": None}
            assert (await store.read("run", run=text_id(asleep)))[0]["status"] == "suspended"
            assert len(await store.claim(run=text_id(asleep))) == 1, "by id it can be claimed at any time"

    async def test_paused_run_is_claimable_by_id_only(self, site: Site) -> None:
        async with opened(site.store()) as store:
            record = await store.submit(submission())
            await committed(store, written(record, end=ended("paused")))
            assert await store.claim(workflows=["flow"]) == []
            (saved,) = await store.claim(run=text_id(record))
            assert saved.record.status == "running"

    async def test_signal_stays_with_the_run_and_makes_it_due(self, site: Site) -> None:
        async with opened(site.store()) as store:
            record = await store.submit(submission())
            await committed(store, written(record, end=ended("suspended")))
            assert await store.ask(text_id(record), "signal", name="go", value=b'"first"') == "free"
            assert await store.ask(text_id(record), "signal", name="go", value=b'{"n":2}') == "free"
            assert [
                (one["name"], one["value"]) for one in await store.read("signals", run=text_id(record))
            ] == [("go", b'{"n":2}')]
            (saved,) = await store.claim(workflows=["flow"])
            assert [(one.name, one.value) for one in saved.signals] == [("go", b'{"n":2}')]

    async def test_signal_that_crosses_a_suspension_is_not_lost(self, site: Site) -> None:
        async with opened(site.store()) as store, opened(site.store()) as other:
            record = await store.submit(submission())
            assert await other.ask(text_id(record), "signal", name="go", value=b"1") == "driven"
            await committed(store, written(record, end=ended("suspended")))
            (saved,) = await other.claim(workflows=["flow"])
            assert saved.record.run == record.run

    async def test_wish_reaches_the_engine_that_drives_the_run_once(self, site: Site) -> None:
        nudges = asyncio.Event()
        async with opened(site.store(), nudged=nudges.set) as store, opened(site.store()) as other:
            record, mine = await store.submit(submission()), await other.submit(submission())
            assert await other.ask(text_id(record), "cancel") == "driven"
            async with asyncio.timeout(10):
                await nudges.wait()
            wishes = await store.renew(lease=15.0)
            assert [(one.run, one.wish) for one in wishes] == [(text_id(record), "cancel")]
            assert await store.renew(lease=15.0) == []
            assert await other.renew(lease=15.0) == []
            assert await other.ask(text_id(mine), "signal", name="go", value=b"1") == "driven"
            assert [(one.name, one.value) for one in await other.renew(lease=15.0)] == [("go", b"1")]

    async def test_wish_for_a_run_that_is_over_is_not_left(self, site: Site) -> None:
        async with opened(site.store()) as store:
            record = await store.submit(submission())
            await committed(store, written(record, end=ended()))
            assert await store.ask(text_id(record), "cancel") == "ended"
            assert isinstance(await refusal(store.ask(str(uuid7()), "cancel")), RunNotFound)
            assert isinstance(await refusal(store.ask("nonsense", "cancel")), RunNotFound)
