"""What stands between ready steps and lanes, and between programs and the engine: pools, limits, priority, fairness."""

import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from difflib import get_close_matches

from laneway._core.errors import SettingInvalid
from laneway._core.model import TaskSpec
from laneway.engine.dispatch import Driver
from laneway.engine.limits import NESTED, limits_from, value_of
from laneway.engine.pool_lookout import PoolCalls
from laneway.engine.pools import Pool
from laneway.engine.run_limits import RunLimits
from laneway.engine.shared_pools import SharedPool
from laneway.engine.turnstiles import PooledLane, Turnstile
from laneway.ports import EngineCard, Lane, Store, Unit

__all__ = ["Traffic"]


class Traffic:
    """One engine's rules for who may go on.

    Args:
        pools: pools that tasks may name.
        limits: how many at once; see `laneway.engine.limits`.
        fair_by: a context key; steps and runs of its different values take turns where they wait.
        workers: workers per package of isolated lanes.
    """

    def __init__(
        self,
        *,
        pools: Iterable[Pool] = (),
        limits: Mapping[str, int] | None = None,
        fair_by: str | None = None,
        workers: int | None = None,
    ) -> None:
        self.pools: dict[str, Pool] = {}
        for pool in pools:
            if self.pools.setdefault(pool.name, pool) is not pool:
                raise SettingInvalid(
                    setting="pools", value=pool.name, reason="two pools have this name", advice="Rename one."
                )
        read = limits_from(limits or {})
        run_limits = [one for one in read if one.kind in ("workflow", "key")]
        self.run_limits = RunLimits(run_limits) if run_limits else None
        self.fair_by = fair_by
        self.live: Mapping[str, Driver] = {}
        """The live runs by id; set by the engine."""
        self._limits = {(one.kind, one.name): Pool("limit", slots=one.most) for one in read}
        cores = os.process_cpu_count() or 1
        isolated = workers or cores
        self._widths = {"thread": min(32, cores + 4), "interpreter": isolated, "process": isolated}
        self._turnstiles: dict[tuple[str, str], Turnstile] = {}
        self._calls: tuple[str, PoolCalls] | None = None

    def open(
        self,
        store: Store,
        card: EngineCard,
        is_gone: Callable[[EngineCard], bool],
        now: Callable[[], Awaitable[float]],
        calls: PoolCalls | None = None,
    ) -> None:
        """Show shared pools the store they are shared through, with its clock, and how its engines call each other."""
        shared = self._shared()
        for pool in shared:
            pool.bind(store, card, is_gone, now, calls)
        if shared and calls is not None:
            calls.listen(card.id, self._called)
            self._calls = card.id, calls

    async def close(self) -> None:
        """Give back what is held of shared pools."""
        for pool in self._shared():
            await pool.unbind()
        if self._calls is not None:
            engine, calls = self._calls
            self._calls = None
            calls.listen(engine, None)

    def _shared(self) -> list[SharedPool]:
        return [pool for pool in self.pools.values() if isinstance(pool, SharedPool)]

    def _called(self) -> None:
        for pool in self._shared():
            pool.called()

    def problem_with(self, spec: TaskSpec) -> str | None:
        """Why a task cannot have the pool it asks for, or None."""
        if spec.pool is None:
            return None
        name, amount = _wish(spec.pool)
        pool = self.pools.get(name)
        if pool is None:
            near = get_close_matches(name, self.pools, 1)
            known = ", ".join(sorted(self.pools)) or "none; give the engine some: Engine(pools=[Pool(...)])"
            advice = f"did you mean {near[0]!r}?" if near else f"there is: {known}"
            return f"task {spec.id!r} wants the pool {name!r}, which does not exist; {advice}"
        if amount is None:
            return (
                f"task {spec.id!r} wants {spec.pool!r}: what follows the colon is an amount, such as {name}:2"
            )
        capacity = pool.report().capacity
        if not 0 < amount <= capacity:
            return f"task {spec.id!r} wants {amount:g} of pool {name!r}, which has {capacity:g}"
        return None

    def through(self, spec: TaskSpec, unit: Unit, lane: Lane) -> Lane:
        """The lane as this task has to take it. A task on the event loop without pool and limits has it as it is.

        A step that is a run counts by its own steps: if it held a place while those wait for one, nobody would go on.
        """
        name = lane.name
        width = self._widths.get(name)
        if width is not None:
            place = (name, "" if name == "thread" and unit.kind != "package" else unit.key)
            found = self._turnstiles.get(place)
            if found is None:
                found = self._turnstiles[place] = Turnstile(lane, width, self.rank_of)
            lane = found
        if name != NESTED:
            package = unit.name.partition(" ")[0] if unit.kind == "package" else ""
            for key in (("lane", name), ("package", package), ("task", spec.id)):
                pool = self._limits.get(key)
                if pool is not None:
                    lane = PooledLane(lane, pool, 1, self.rank_of)
        if spec.pool is not None:
            wanted, amount = _wish(spec.pool)
            lane = PooledLane(lane, self.pools[wanted], amount or 1, self.rank_of)
        return lane

    def rank_of(self, run: str) -> tuple[int, str]:
        """A run's priority, and the key it is fair by."""
        driver = self.live.get(run)
        if driver is None:
            return 0, ""
        return driver.priority, self.fair_key(driver.state.initial)

    def fair_key(self, context: Mapping[str, bytes]) -> str:
        """The value of the key that the engine is fair by."""
        return "" if self.fair_by is None else value_of(context, self.fair_by) or ""


def _wish(text: str) -> tuple[str, float | None]:
    """A task's `pool=`: its name, and how much of it."""
    name, colon, amount = text.partition(":")
    if not colon:
        return name, 1.0
    try:
        return name, float(amount)
    except ValueError:
        return name, None
