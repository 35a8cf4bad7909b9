"""Where a run stands, counted from its driver and its events: steps done and in all, rate, time left."""

from collections import deque
from collections.abc import Sequence

from laneway._core.events import EventRow
from laneway._core.records import NO_ITEM
from laneway.engine.dispatch import Driver

__all__ = ["Progress", "TaskProgress"]

_SPAN = 5.0
"""Seconds over which the rate is measured."""
_DONE = {
    "step_succeeded": "succeeded",
    "step_failed": "failed",
    "step_skipped": "skipped",
    "step_cancelled": "cancelled",
}


class TaskProgress:
    """One task's steps."""

    __slots__ = (
        "ended",
        "failed",
        "is_mapped",
        "is_over",
        "lane",
        "name",
        "retries",
        "skipped",
        "started",
        "succeeded",
        "total",
    )

    def __init__(self, name: str, lane: str, *, is_mapped: bool) -> None:
        self.name = name
        self.lane = lane
        self.is_mapped = is_mapped
        self.total: int | None = None if is_mapped else 1
        self.succeeded = 0
        self.failed = 0
        self.skipped = 0
        self.retries = 0
        self.started = 0.0
        self.ended = 0.0
        self.is_over = False

    @property
    def done(self) -> int:
        """Steps that are over, whichever way."""
        return self.succeeded + self.failed + self.skipped


class Progress:
    """A run's progress, kept up to date by `seen` and `look`. Finished steps of an earlier session count as kept."""

    def __init__(self, driver: Driver, lanes: Sequence[str], *, is_new: bool) -> None:
        self._driver = driver
        plan = driver.plan
        self.tasks = {
            spec.id: TaskProgress(spec.id, lane, is_mapped=spec.each is not None)
            for spec, lane in zip(plan.tasks, lanes, strict=True)
        }
        self.kept = 0
        self._samples: deque[tuple[float, int]] = deque()
        self._counted: set[tuple[str, int]] = set()
        for (task, item), row in list(driver.state.rows.items()):
            if row.status in ("succeeded", "failed", "skipped"):
                self._count(task, item, row.status)
        self.kept = 0 if is_new else self.done

    @property
    def done(self) -> int:
        """Steps that are over."""
        return sum(one.done for one in self.tasks.values())

    @property
    def total(self) -> int:
        """Steps in all, as far as they are known: a list that is not there yet counts as one."""
        return sum(one.total if one.total is not None else max(1, one.done) for one in self.tasks.values())

    @property
    def is_total_known(self) -> bool:
        """Whether every mapped task's list is known."""
        return all(one.total is not None for one in self.tasks.values())

    @property
    def retries(self) -> int:
        """Attempts that failed and are or were tried again."""
        return sum(one.retries for one in self.tasks.values())

    @property
    def failed(self) -> int:
        """Steps that failed for good."""
        return sum(one.failed for one in self.tasks.values())

    @property
    def running(self) -> list[str]:
        """Ids of the tasks that have steps on their lanes right now."""
        return list(dict.fromkeys(task for task, _ in list(self._driver.running)))

    def seen(self, rows: Sequence[EventRow]) -> None:
        """Count events of this run."""
        for row in rows:
            if row.run != self._driver.run or row.task is None:
                continue
            status = _DONE.get(row.kind)
            if status is not None:
                self._count(row.task, row.item, status)
                self._time(row)
            elif row.kind == "step_retrying":
                self.tasks[row.task].retries += 1

    def _time(self, row: EventRow) -> None:
        """When a task's code began and ended, as far as it was seen."""
        counted = self.tasks[row.task or ""]
        counted.ended = row.at
        step = self._driver.state.rows.get((row.task or "", row.item))
        if step is not None and step.started:
            counted.started = min(counted.started or step.started, step.started)
            if not counted.is_mapped:
                counted.ended = step.started + step.duration

    def _count(self, task: str, item: int, status: str) -> None:
        if (task, item) in self._counted:  # the driver had it before its event was told
            return
        self._counted.add((task, item))
        counted = self.tasks[task]
        if item == NO_ITEM and counted.is_mapped:
            counted.is_over = True
            counted.total = counted.done
            if status == "skipped":
                counted.skipped = counted.total = 1
            return
        if status in ("succeeded", "failed", "skipped"):
            setattr(counted, status, getattr(counted, status) + 1)
        if not counted.is_mapped:
            counted.is_over = True

    def look(self, now: float) -> None:
        """Learn what events do not tell: how long lists are, and when tasks began."""
        state = self._driver.state
        for index, mapped in list(state.maps.items()):
            self.tasks[self._driver.plan.names[index]].total = len(mapped.items)
        for (task, _), started in list(self._driver.running.items()):
            counted = self.tasks[task]
            counted.started = min(counted.started, started) if counted.started else started
        self._samples.append((now, self.done))
        while len(self._samples) > 2 and now - self._samples[0][0] > _SPAN:
            self._samples.popleft()

    def rate(self) -> float:
        """Steps a second over the last few seconds."""
        if len(self._samples) < 2:
            return 0.0
        (before, then), (now, count) = self._samples[0], self._samples[-1]
        return (count - then) / (now - before) if now > before else 0.0

    def left(self) -> float | None:
        """Seconds until the end if all goes on as now; None while that cannot be told."""
        rate = self.rate()
        if rate <= 0 or not self.is_total_known:
            return None
        return (self.total - self.done) / rate
