"""Store tests: runs and transitions."""

import asyncio
from uuid import uuid7

import msgspec

from laneway._core.errors import KeyReused, RunNotFound, StoreError
from laneway._core.events import EventRow
from laneway._core.records import (
    NO_ITEM,
    Reopening,
    Transition,
)
from laneway.testing.store_parts import (
    Site,
    committed,
    ended,
    event_kinds,
    opened,
    refusal,
    run_ids,
    step,
    submission,
    text_id,
    written,
)

__all__ = ["RunCases"]


class RunCases:
    """Runs, keys, transitions, reopening."""

    # ---- runs

    async def test_new_run_is_recorded_with_its_event(self, site: Site) -> None:
        async with opened(site.store()) as store:
            asked = submission(priority=3, deadline=99.5, tags={"team": "a", "x": "ü"})
            record = await store.submit(asked)
            assert record.is_new
            assert record.status == "running"
            (run,) = await store.read("run", run=text_id(record))
            assert (run["workflow"], run["version"], run["reference"]) == ("flow", "v1", "tests:flow")
            assert (run["context"], run["final"], run["error"], run["ended"]) == (
                b'{"n":1}',
                None,
                None,
                None,
            )
            assert (run["priority"], run["deadline"], run["tags"]) == (3, 99.5, {"team": "a", "x": "ü"})
            assert await event_kinds(store, run=text_id(record)) == ["run_submitted"]

    async def test_known_key_gives_the_first_run_unchanged(self, site: Site) -> None:
        async with opened(site.store()) as store:
            first = await store.submit(submission(key="order-1"))
            second = await store.submit(submission(key="order-1", context=b'{"n":2}'))
            assert not second.is_new
            assert (second.run, second.context) == (first.run, b'{"n":1}')
            assert len(await run_ids(store)) == 1

    async def test_key_of_another_workflow_is_refused_by_name(self, site: Site) -> None:
        async with opened(site.store()) as store:
            first = await store.submit(submission(key="order-1"))
            error = await refusal(store.submit(submission("other", key="order-1")))
            assert isinstance(error, KeyReused)
            assert text_id(first) in str(error)

    async def test_one_key_asked_for_at_once_makes_one_run(self, site: Site) -> None:
        async with opened(site.store()) as store, opened(site.store()) as other:
            found = await asyncio.gather(*[one.submit(submission(key="k")) for one in (store, other) * 10])
            assert len({record.run for record in found}) == 1
            assert sum(record.is_new for record in found) == 1

    async def test_values_come_back_as_they_were(self, site: Site) -> None:
        async with opened(site.store()) as store:
            big = msgspec.json.encode({"text": "ä\x00\U0001f600" * 300_000})
            record = await store.submit(submission(context=big))
            row = step(
                record, "tä sk", output="zero \x00 and \U0001f600", patch=big, error=b'{"kind":"other"}'
            )
            await committed(store, written(record, row))
            (saved,) = await store.read("saved", run=text_id(record))
            assert saved["saved"].record.context == big
            assert saved["saved"].steps == [row]

    async def test_unknown_run_is_refused_by_name(self, site: Site) -> None:
        async with opened(site.store()) as store:
            for name in (str(uuid7()), "no such thing", ""):
                for question in ("run", "steps", "saved", "signals"):
                    error = await refusal(store.read(question, run=name))
                    assert isinstance(error, RunNotFound)
                    assert repr(name) in str(error)

    # ---- transitions

    async def test_transition_is_durable_once_it_is_answered(self, site: Site) -> None:
        async with opened(site.store()) as store:
            record = await store.submit(submission())
            row = step(record)
            await committed(store, written(record, row, end=ended()))
            async with opened(site.store()) as other:
                (saved,) = await other.read("saved", run=text_id(record))
                assert saved["saved"].steps == [row]
                assert saved["saved"].record.status == "succeeded"
                assert saved["saved"].record.final == b'{"n":1,"a":1}'
                assert await event_kinds(other, run=text_id(record)) == [
                    "run_submitted",
                    "step_succeeded",
                    "run_succeeded",
                ]

    async def test_transitions_of_a_run_commit_in_order(self, site: Site) -> None:
        async with opened(site.store()) as store:
            record = await store.submit(submission())
            await committed(store, *[written(record, step(record, f"t{number}")) for number in range(50)])
            events = await store.read("events", run=text_id(record))
            assert [one["event"].task for one in events[1:]] == [f"t{number}" for number in range(50)]

    async def test_step_never_ends_twice(self, site: Site) -> None:
        async with opened(site.store()) as store:
            record = await store.submit(submission())
            first = step(record, "a", patch=b'{"a":"first"}')
            await committed(store, written(record, first))
            second = written(record, step(record, "b"), step(record, "a", patch=b'{"a":"second"}'))
            error = await refusal(committed(store, second))
            assert isinstance(error, StoreError)
            (saved,) = await store.read("saved", run=text_id(record))
            assert saved["saved"].steps == [first], "nothing of a refused transition is written"

    async def test_refused_transition_does_not_touch_others(self, site: Site) -> None:
        async with opened(site.store()) as store:
            bad, good = await asyncio.gather(store.submit(submission()), store.submit(submission()))
            await committed(store, written(bad, step(bad)))
            transitions = [
                written(good, step(good, "x")),
                written(bad, step(bad)),
                written(good, step(good, "y")),
            ]
            assert isinstance(await refusal(committed(store, *transitions)), StoreError)
            assert {one["task"] for one in await store.read("steps", run=text_id(good))} == {"x", "y"}

    async def test_waiting_step_goes_on(self, site: Site) -> None:
        async with opened(site.store()) as store:
            record = await store.submit(submission())
            await committed(store, written(record, step(record, status="waiting", due=5.0)))
            last = step(record, attempt=2, attempts=b"[]")
            await committed(store, written(record, last))
            (saved,) = await store.read("saved", run=text_id(record))
            assert saved["saved"].steps == [last]

    async def test_many_runs_commit_at_once(self, site: Site) -> None:
        async with opened(site.store()) as store:
            records = await asyncio.gather(*[store.submit(submission()) for _ in range(200)])
            await committed(store, *[written(one, step(one), end=ended()) for one in records])
            assert await store.read("counts") == [{"status": "succeeded", "runs": 200}]

    async def test_reopened_run_forgets_steps_and_end(self, site: Site) -> None:
        async with opened(site.store()) as store:
            record = await store.submit(submission())
            rows = [step(record, "a"), step(record, "b", status="failed")]
            await committed(store, written(record, *rows, end=ended("failed")))
            assert await store.claim(run=text_id(record)) == []
            (saved,) = await store.claim(run=text_id(record), reopen=True)
            assert {row.task for row in saved.steps} == {"a", "b"}
            undone = Transition(record.run, [], [EventRow(record.run, "run_retried", None, NO_ITEM, 13.0)], None,
                                Reopening([("b", NO_ITEM)], b'{"n":2}'))  # fmt: skip
            await committed(store, undone)
            await committed(store, written(record, step(record, "b"), end=ended()))
            (again,) = await store.read("saved", run=text_id(record))
            assert again["saved"].record.context == b'{"n":2}'
            assert {(row.task, row.status) for row in again["saved"].steps} == {
                ("a", "succeeded"),
                ("b", "succeeded"),
            }

    async def test_fork_starts_with_steps_of_another_run(self, site: Site) -> None:
        async with opened(site.store()) as store:
            record = await store.submit(submission())
            forked = submission(steps=[step(record, "a")], origin=record.run)
            await store.submit(forked)
            (saved,) = await store.read("saved", run=text_id(forked))
            assert [(row.run, row.task) for row in saved["saved"].steps] == [(forked.run, "a")]
            assert saved["saved"].record.origin == record.run
