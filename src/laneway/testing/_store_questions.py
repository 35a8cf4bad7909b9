"""Store tests: questions, documents, retention."""

import asyncio

from laneway._core.errors import StoreError
from laneway._core.events import Event
from laneway._core.records import (
    NO_ITEM,
    Parent,
)
from laneway.testing.store_parts import (
    Site,
    committed,
    ended,
    opened,
    refusal,
    run_ids,
    step,
    submission,
    text_id,
    written,
)

__all__ = ["QuestionCases"]


class QuestionCases:
    """What can be asked, kept and swept."""

    # ---- questions

    async def test_unknown_questions_and_arguments_are_refused(self, site: Site) -> None:
        async with opened(site.store()) as store:
            for question, arguments in (
                ("runz", {}),
                ("run", {}),
                ("counts", {"run": "x"}),
                ("runs", {"statuz": 1}),
            ):
                assert isinstance(await refusal(store.read(question, **arguments)), TypeError)

    async def test_runs_are_found_by_what_they_are(self, site: Site) -> None:
        async with opened(site.store()) as store:
            a = submission("a", key="k", tags={"team": "x", "env": "prod"})
            b = submission("b", tags={"team": "x"})
            c = submission("b", parent=Parent(a.run, "inner", 3))
            records = [await store.submit(one) for one in (a, b, c)]
            await committed(store, written(records[1], end=ended("failed")))
            assert await run_ids(store) == [text_id(c), text_id(b), text_id(a)]
            assert await run_ids(store, limit=1) == [text_id(c)]
            assert await run_ids(store, before=text_id(c), limit=1) == [text_id(b)]
            assert await run_ids(store, workflow="b", status="failed") == [text_id(b)]
            assert await run_ids(store, key="k") == [text_id(a)]
            assert await run_ids(store, parent=text_id(a)) == [text_id(c)]
            assert await run_ids(store, tags={"team": "x"}) == [text_id(b), text_id(a)]
            assert await run_ids(store, tags={"team": "x", "env": "prod"}) == [text_id(a)]
            assert await run_ids(store, tags={"team": "y"}) == []
            assert await store.read("counts") == [
                {"status": "failed", "runs": 1},
                {"status": "running", "runs": 2},
            ]
            (run,) = await store.read("run", run=text_id(c))
            assert (run["parent"], run["parent_task"]) == (text_id(a), "inner")

    async def test_runs_are_found_by_text_and_by_their_beginning(self, site: Site) -> None:
        async with opened(site.store()) as store:
            a = await store.submit(submission("billing", key="Order-42", context=b'{"who":"50%_off"}'))
            b = await store.submit(submission("nightly", tags={"team": "Blue"}, context=b'{"who":"50 off"}'))
            error = b'{"message":"no route to \xc3\xbcber"}'
            await committed(store, written(b, end=ended("failed")._replace(error=error)))
            for text, wanted in {
                "order-4": [a],
                "BILL": [a],
                "blue": [b],
                "0%_O": [a],
                "50": [b, a],
                "route to \u00fcber": [b],
                "nowhere": [],
                "\\": [],
            }.items():
                assert await run_ids(store, search=text) == [text_id(one) for one in wanted], text
            moment = int.from_bytes(a.run[:6]) / 1000
            assert await run_ids(store, since=moment) == [text_id(b), text_id(a)]
            assert await run_ids(store, since=moment + 3600) == []
            assert await run_ids(store, since=moment, search="blue", tags={"team": "Blue"}) == [text_id(b)]

    async def test_event_cursor_misses_nothing(self, site: Site) -> None:
        async with opened(site.store()) as store:
            records = [await store.submit(submission()) for _ in range(3)]
            for number in range(10):
                await committed(store, *[written(one, step(one, f"t{number}")) for one in records])
            everything = [one["event"] for one in await store.read("events")]
            assert len(everything) == 33
            cursor = 0
            pages: list[Event] = []
            while page := await store.read("events", after=cursor, limit=7):
                pages += [one["event"] for one in page]
                cursor = pages[-1].seq
            assert pages == everything
            assert [one.seq for one in pages] == sorted({one.seq for one in pages})
            mine = await store.read("events", run=text_id(records[1]), after=everything[8].seq, limit=4)
            assert [one["event"] for one in mine] == [
                one for one in everything[9:] if one.run == text_id(records[1])
            ][:4]

    async def test_engines_show_who_is_there(self, site: Site) -> None:
        async with opened(site.store()) as store, opened(site.store()):
            engines = await store.read("engines")
            assert len(engines) == 2
            assert all(one["left"] > 0 and not one["gone"] for one in engines)

    async def test_agenda_tells_when_another_engines_lease_ends(self, site: Site) -> None:
        async with opened(site.store()) as store, opened(site.store()) as other:
            record = await other.submit(submission())
            (agenda,) = await store.read("agenda", workflows=["flow"])
            assert 0 < agenda["leases"] <= 15.0
            assert (await store.read("agenda", workflows=["else"]))[0]["leases"] is None
            await committed(other, written(record, end=ended()))
            assert (await store.read("agenda", workflows=["flow"]))[0] == {
                "due": None,
                "free": False,
                "leases": None,
            }

    # ---- documents and retention

    async def test_document_changes_only_from_the_version_that_was_read(self, site: Site) -> None:
        async with opened(site.store()) as store, opened(site.store()) as other:
            assert await store.keep("schedule", "nightly", b"1", version=0) == 1
            assert await other.keep("schedule", "nightly", b"2", version=0) is None
            assert await other.keep("schedule", "nightly", b"2", version=1) == 2
            assert await store.keep("schedule", "nightly", b"3") == 3
            assert await store.keep("schedule", "also", b"x") == 1
            found = await store.read("documents", kind="schedule")
            assert found == [
                {"name": "also", "version": 1, "body": b"x"},
                {"name": "nightly", "version": 3, "body": b"3"},
            ]
            assert await store.keep("schedule", "also", None, version=9) is None
            assert await store.keep("schedule", "also", None, version=1) == 0
            assert [one["name"] for one in await store.read("documents", kind="schedule")] == ["nightly"]
            assert await store.read("documents", kind="schedule", name="also") == []

    async def test_one_of_many_wins_a_document(self, site: Site) -> None:
        async with opened(site.store()) as store, opened(site.store()) as other:
            tries = [
                one.keep("lock", "x", b"%d" % number, version=0)
                for number in range(10)
                for one in (store, other)
            ]
            assert sorted(await asyncio.gather(*tries), key=str) == [1, *[None] * 19]

    async def test_sweep_takes_old_finished_runs_with_all_they_had(self, site: Site) -> None:
        async with opened(site.store()) as store:
            old, new, going = [await store.submit(submission(key=name, tags={"t": "1"})) for name in "abc"]
            await committed(store, written(old, step(old), end=ended(at=100.0)))
            await committed(store, written(new, step(new), end=ended(at=200.0)))
            await committed(store, written(going, step(going)))
            nothing = {"artifacts": 0, "artifact_bytes": 0}
            assert await store.sweep(before=150.0) == {"runs": 1, "steps": 1, "events": 3, **nothing}
            assert await run_ids(store) == [text_id(going), text_id(new)]
            assert await run_ids(store, tags={"t": "1"}) == [text_id(going), text_id(new)]
            (sizes,) = await store.read("sizes")
            assert (sizes["runs"], sizes["steps"]) == (2, 2)
            assert len(await store.read("events")) == 5
            assert (await store.submit(submission(key="a"))).is_new, "the key is free again"
            gone = await store.sweep(before=1e12, limit=0)
            assert gone == {"runs": 0, "steps": 0, "events": 0, **nothing}

    async def test_cursors_stay_good_when_everything_was_swept(self, site: Site) -> None:
        async with opened(site.store()) as store:
            cursor = 0
            for _ in range(3):
                for name in "ab":
                    record = await store.submit(submission(name))
                    await committed(store, written(record, step(record), end=ended(at=100.0)))
                found = [one["event"] for one in await store.read("events", after=cursor)]
                assert [one.kind for one in found] == ["run_submitted", "step_succeeded", "run_succeeded"] * 2
                cursor = found[-1].seq
                swept = await store.sweep(before=150.0)
                assert (swept["runs"], swept["events"]) == (2, 6)
                assert await store.read("events") == []
                (sizes,) = await store.read("sizes")
                assert sizes["events"] == 0

    async def test_sweep_keeps_children_of_unfinished_runs(self, site: Site) -> None:
        async with opened(site.store()) as store:
            parent = await store.submit(submission())
            child = await store.submit(submission("inner", parent=Parent(parent.run, "a", NO_ITEM)))
            await committed(store, written(child, end=ended(at=100.0)))
            assert (await store.sweep(before=150.0))["runs"] == 0
            assert (await store.read("ages"))[0]["oldest_end"] is None
            await committed(store, written(parent, end=ended(at=120.0)))
            assert (await store.read("ages")) == [{"oldest": parent.created, "oldest_end": 100.0}]
            assert (await store.sweep(before=150.0))["runs"] == 2

    async def test_close_is_idempotent(self, site: Site) -> None:
        store = site.store()
        async with opened(store):
            await store.submit(submission())
        await store.close()
        assert isinstance(await refusal(store.submit(submission())), StoreError)
