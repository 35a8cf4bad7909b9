"""What every store must do, as tests. Subclass `StoreSuite` in a test module and give it a `site` fixture.

    class TestMyStore(StoreSuite):
        @pytest.fixture
        async def site(self, tmp_path):
            return MySite(tmp_path)

The tests are coroutines: run them with pytest-asyncio in its `auto` mode.
"""


import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Protocol
from uuid import UUID, uuid7

import msgspec

from laneway._core.errors import KeyReused, RunNotFound, StoreError, StoreFenced
from laneway._core.events import Event, EventRow
from laneway._core.records import (
    NO_ITEM,
    Parent,
    Reopening,
    RunEnd,
    RunRecord,
    StepRow,
    Submission,
    Transition,
)
from laneway.ports import EngineCard, Store

__all__ = ["Site", "StoreSuite", "committed", "ended", "opened", "step", "submission", "text_id", "written"]


class Site(Protocol):
    """One empty store that several store objects can work on."""

    def store(self) -> Store:
        """Another store object on the same records; not opened."""
        ...

    async def let_leases_end(self) -> None:
        """Make every lease that was given so far be over by the store's clock."""
        ...


@asynccontextmanager
async def opened(
    store: Store, *, lease: float = 15.0, nudged: Callable[[], None] | None = None
) -> AsyncIterator[Store]:
    """Open a store as an engine of its own, on a host of its own: only its lease tells whether it lives."""
    await store.open(_card(), lease=lease, nudged=nudged)
    try:
        yield store
    finally:
        await store.close()


def _card() -> EngineCard:
    name = str(uuid7())
    return EngineCard(name, f"host of {name}", 1, 1.0)


def submission(workflow: str = "flow", **changes: Any) -> Submission:
    """A run that is asked for, with plain values where none are given."""
    values: dict[str, Any] = {
        "run": uuid7().bytes,
        "workflow": workflow,
        "version": "v1",
        "reference": f"tests:{workflow}",
        "context": b'{"n":1}',
        "key": None,
        "created": 1_800_000_000.0,
        "fingerprints": b"{}",
        **changes,
    }
    return Submission(**values)


def step(
    record: RunRecord, task: str = "a", item: int = NO_ITEM, status: str = "succeeded", **changes: Any
) -> StepRow:
    """A step's row."""
    patch = b'{"%s":1}' % task.encode() if status == "succeeded" else None
    row = StepRow(
        record.run, task, item, status, 1, "loop", "w", 10.0, 0.5, "", patch, None, None, None, "", None
    )
    return row._replace(**changes)


def written(record: RunRecord, *rows: StepRow, end: RunEnd | None = None) -> Transition:
    """A transition with those rows and an event for each."""
    events = [
        EventRow(record.run, f"step_{row.status}", row.task, row.item, 11.0, b'{"attempt":1}') for row in rows
    ]
    if end is not None:
        events.append(EventRow(record.run, f"run_{end.status}", None, NO_ITEM, 12.0))
    return Transition(record.run, list(rows), events, end)


def ended(status: str = "succeeded", *, at: float = 12.0, due: float | None = None) -> RunEnd:
    """A run's end."""
    return RunEnd(status, at, b'{"n":1,"a":1}', None, due)


async def committed(store: Store, *transitions: Transition) -> None:
    """Hand transitions over together and wait for all answers.

    Raises:
        StoreError: the first refusal.
    """
    loop = asyncio.get_running_loop()
    futures: list[asyncio.Future[None]] = []
    for one in transitions:
        future: asyncio.Future[None] = loop.create_future()
        futures.append(future)
        store.commit(one, _answer_to(future))
    for result in await asyncio.gather(*futures, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result


def _answer_to(future: asyncio.Future[None]) -> Callable[[BaseException | None], None]:
    def answered(error: BaseException | None) -> None:
        assert not future.done(), "a transition was answered twice"
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)

    return answered


async def _refusal(waiting: Any) -> BaseException:
    try:
        await waiting
    except (StoreError, TypeError) as error:
        return error
    raise AssertionError("it was not refused")


async def _runs(store: Store, **arguments: Any) -> list[str]:
    return [one["id"] for one in await store.read("runs", **arguments)]


async def _events(store: Store, **arguments: Any) -> list[str]:
    return [one["event"].kind for one in await store.read("events", **arguments)]


def text_id(record: RunRecord | Submission) -> str:
    """A run's id as text."""
    return str(UUID(bytes=record.run))


class StoreSuite:
    """The suite; every test gets a `site`."""

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
            assert await _events(store, run=text_id(record)) == ["run_submitted"]

    async def test_known_key_gives_the_first_run_unchanged(self, site: Site) -> None:
        async with opened(site.store()) as store:
            first = await store.submit(submission(key="order-1"))
            second = await store.submit(submission(key="order-1", context=b'{"n":2}'))
            assert not second.is_new
            assert (second.run, second.context) == (first.run, b'{"n":1}')
            assert len(await _runs(store)) == 1

    async def test_key_of_another_workflow_is_refused_by_name(self, site: Site) -> None:
        async with opened(site.store()) as store:
            first = await store.submit(submission(key="order-1"))
            error = await _refusal(store.submit(submission("other", key="order-1")))
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
                    error = await _refusal(store.read(question, run=name))
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
                assert await _events(other, run=text_id(record)) == [
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
            error = await _refusal(committed(store, second))
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
            assert isinstance(await _refusal(committed(store, *transitions)), StoreError)
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
                assert isinstance(await _refusal(waiting), StoreFenced)
            (saved,) = await other.read("saved", run=text_id(record))
            assert saved["saved"].steps == []
            await committed(other, written(record, step(record), end=ended()))

    async def test_fenced_engine_starts_anew_under_a_newtext_id(self, site: Site) -> None:
        async with opened(site.store()) as store, opened(site.store()) as other:
            record = await store.submit(submission())
            await site.let_leases_end()
            await other.renew(lease=15.0)
            await other.claim(run=text_id(record))
            await store.open(_card())
            fresh = await store.submit(submission())
            await committed(store, written(fresh, step(fresh), end=ended()))

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
            assert [(one["name"], one["value"]) for one in await store.read("signals", run=text_id(record))] == [
                ("go", b'{"n":2}')
            ]
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
            assert isinstance(await _refusal(store.ask(str(uuid7()), "cancel")), RunNotFound)
            assert isinstance(await _refusal(store.ask("nonsense", "cancel")), RunNotFound)

    # ---- questions

    async def test_unknown_questions_and_arguments_are_refused(self, site: Site) -> None:
        async with opened(site.store()) as store:
            for question, arguments in (
                ("runz", {}),
                ("run", {}),
                ("counts", {"run": "x"}),
                ("runs", {"statuz": 1}),
            ):
                assert isinstance(await _refusal(store.read(question, **arguments)), TypeError)

    async def test_runs_are_found_by_what_they_are(self, site: Site) -> None:
        async with opened(site.store()) as store:
            a = submission("a", key="k", tags={"team": "x", "env": "prod"})
            b = submission("b", tags={"team": "x"})
            c = submission("b", parent=Parent(a.run, "inner", 3))
            records = [await store.submit(one) for one in (a, b, c)]
            await committed(store, written(records[1], end=ended("failed")))
            assert await _runs(store) == [text_id(c), text_id(b), text_id(a)]
            assert await _runs(store, limit=1) == [text_id(c)]
            assert await _runs(store, before=text_id(c), limit=1) == [text_id(b)]
            assert await _runs(store, workflow="b", status="failed") == [text_id(b)]
            assert await _runs(store, key="k") == [text_id(a)]
            assert await _runs(store, parent=text_id(a)) == [text_id(c)]
            assert await _runs(store, tags={"team": "x"}) == [text_id(b), text_id(a)]
            assert await _runs(store, tags={"team": "x", "env": "prod"}) == [text_id(a)]
            assert await _runs(store, tags={"team": "y"}) == []
            assert await store.read("counts") == [
                {"status": "failed", "runs": 1},
                {"status": "running", "runs": 2},
            ]
            (run,) = await store.read("run", run=text_id(c))
            assert (run["parent"], run["parent_task"]) == (text_id(a), "inner")

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
            assert await store.sweep(before=150.0) == {"runs": 1, "steps": 1, "events": 3}
            assert await _runs(store) == [text_id(going), text_id(new)]
            assert await _runs(store, tags={"t": "1"}) == [text_id(going), text_id(new)]
            (sizes,) = await store.read("sizes")
            assert (sizes["runs"], sizes["steps"]) == (2, 2)
            assert len(await store.read("events")) == 5
            assert (await store.submit(submission(key="a"))).is_new, "the key is free again"
            assert await store.sweep(before=1e12, limit=0) == {"runs": 0, "steps": 0, "events": 0}

    async def test_sweep_keeps_children_of_unfinished_runs(self, site: Site) -> None:
        async with opened(site.store()) as store:
            parent = await store.submit(submission())
            child = await store.submit(submission("inner", parent=Parent(parent.run, "a", NO_ITEM)))
            await committed(store, written(child, end=ended(at=100.0)))
            assert (await store.sweep(before=150.0))["runs"] == 0
            await committed(store, written(parent, end=ended(at=100.0)))
            assert (await store.sweep(before=150.0))["runs"] == 2

    async def test_close_is_idempotent(self, site: Site) -> None:
        store = site.store()
        async with opened(store):
            await store.submit(submission())
        await store.close()
        assert isinstance(await _refusal(store.submit(submission())), StoreError)
