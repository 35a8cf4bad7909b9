"""What metrics say of scheduled work is what its history says, over failures and over changes of who leads."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from laneway import Engine, Pool, Scheduler, SharedPool, Workflow, task
from laneway._core.jobs import Firing
from laneway.testing.clock import FakeClock

START = datetime(2027, 1, 1, 10, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@task
async def fine() -> int:
    return 1


@task
async def broken() -> int:
    raise ValueError("as meant")


FINE, BROKEN = Workflow("fine", [fine]), Workflow("broken", [broken])


def counted(*registries: CollectorRegistry) -> Counter[str]:
    found: Counter[str] = Counter()
    for registry in registries:
        for family in registry.collect():
            for sample in family.samples:
                if sample.name == "laneway_schedule_firings_total":
                    found[sample.labels["status"]] += int(sample.value)
    return found


def told(registry: CollectorRegistry, name: str, **labels: Any) -> float | None:
    return registry.get_sample_value(name, labels)


def statuses(firings: list[Firing]) -> Counter[str]:
    return Counter(one.status for one in firings)


async def test_firings_are_counted_as_the_history_has_them() -> None:
    clock = FakeClock(START.timestamp())
    async with Engine("memory://") as engine:
        registry = engine.metrics
        assert told(registry, "laneway_schedule_leads") is None  # no scheduler, no figures
        async with Scheduler(engine, clock=clock) as scheduler:
            await scheduler.add("fine", FINE, cron="* * * * *")
            await scheduler.add("broken", BROKEN, cron="*/2 * * * *")
            await scheduler.add("nowhere", "no_such_module:flow", cron="*/3 * * * *")
            await scheduler.settled()
            for _ in range(6):
                clock.advance(60)
                await scheduler.settled()
            clock.advance(30)  # asked for at a due moment it would be that one
            await scheduler.run_now("fine")
            await scheduler.settled()
            history = await scheduler.history(limit=100)
            assert statuses(history) == {"succeeded": 7, "failed": 3, "refused": 2}
            assert counted(registry) == statuses(history)
            assert told(registry, "laneway_schedule_leads") == 1
            assert told(registry, "laneway_schedule_running") == 0
            assert told(registry, "laneway_schedule_lateness_seconds_count") == 6 + 3 + 2
            assert told(registry, "laneway_schedule_missed_total") == 0
        assert told(registry, "laneway_schedule_leads") == 0


async def test_moments_that_nobody_was_there_for_are_counted_as_missed_or_late() -> None:
    clock = FakeClock(START.timestamp())
    async with Engine("memory://") as engine:
        registry = engine.metrics
        scheduler = Scheduler(engine, clock=clock)
        await scheduler.add("once", FINE, cron="* * * * *", misfire="once")
        clock.advance(10 * 60)
        async with scheduler:
            await scheduler.settled()
            (fired,) = await scheduler.history()
        assert told(registry, "laneway_schedule_missed_total") == 9
        assert fired.started is not None
        late = (fired.started - fired.due).total_seconds()
        assert told(registry, "laneway_schedule_lateness_seconds_sum") == late


async def test_over_a_change_of_who_leads_the_sums_are_the_history(tmp_path: Path) -> None:
    clock = FakeClock(START.timestamp())
    url = f"sqlite:///{tmp_path}/laneway.db"
    async with Engine(url) as first, Engine(url) as second:
        registries = first.metrics, second.metrics
        leading = Scheduler(first, clock=clock)
        await leading.start()
        await leading.add("fine", FINE, cron="* * * * *")
        await leading.settled()
        async with Scheduler(second, clock=clock) as standing_by:
            clock.advance(60)
            await leading.settled()
            leads = [told(one, "laneway_schedule_leads") for one in registries]
            assert leads[0] == 1
            assert not leads[1]
            await leading.close()
            await standing_by.add("broken", BROKEN, cron="* * * * *")
            await standing_by.settled()
            for _ in range(2):
                clock.advance(60)
                await standing_by.settled()
            assert [told(one, "laneway_schedule_leads") for one in registries] == [0, 1]
            history = await standing_by.history(limit=100)
        assert {"succeeded", "failed", "refused"} >= set(statuses(history))
        assert counted(*registries) == statuses(history)
        assert all(counted(one) for one in registries)


async def test_pools_count_what_they_give_and_who_waits() -> None:
    pool = Pool("gpu", slots=2)
    async with Engine("memory://", pools=[pool]) as engine:
        registry = engine.metrics
        async with pool, pool:
            waiting = pool.hold()
            assert not waiting.take()
            assert told(registry, "laneway_pool_holders", pool="gpu") == 2
            assert told(registry, "laneway_pool_used", pool="gpu") == 2
            assert told(registry, "laneway_pool_granted_total", pool="gpu") == 2
            assert told(registry, "laneway_pool_longest_wait_seconds", pool="gpu") == 0
        assert told(registry, "laneway_pool_holders", pool="gpu") == 0
        assert told(registry, "laneway_pool_granted_total", pool="gpu") == 2


async def test_each_engine_shows_its_part_of_a_shared_pool(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/laneway.db"
    pools = [SharedPool("licence", slots=3) for _ in range(2)]
    async with Engine(url, pools=[pools[0]]) as first, Engine(url, pools=[pools[1]]) as second:
        registries = first.metrics, second.metrics
        async with pools[0].hold(2), pools[1].hold(1):
            used = [told(one, "laneway_pool_used", pool="licence") for one in registries]
            assert used == [2, 1]
            given = [told(one, "laneway_pool_granted_total", pool="licence") for one in registries]
            assert given == [1, 1]
        assert [told(one, "laneway_pool_used", pool="licence") for one in registries] == [0, 0]
