"""What an engine shows of itself, put together: log lines, prints, metrics, audit log, and what `laneway ps` asks."""

import asyncio
import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit, urlunsplit

import msgspec

from laneway import __version__, aio
from laneway.engine.dispatch import Driver
from laneway.engine.pools import Pool
from laneway.engine.runs import Runs
from laneway.engine.surroundings import Surroundings
from laneway.engine.target import Target
from laneway.observe._lines import LogLines
from laneway.observe._prints import Prints
from laneway.observe._schedule_figures import CountingBook, ScheduleFigures
from laneway.observe.ps import Window
from laneway.ports import EngineCard, LaneHealth, Observer, Store
from laneway.settings import Settings, runtime_folder

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from laneway.engine.schedule_ports import ScheduleBook
    from laneway.observe._audit_trail import AuditTrail
    from laneway.observe.metrics import EngineMetrics, LiveFigures

__all__ = ["Observation", "store_name"]

log = logging.getLogger("laneway.engine")


class Observation:
    """Everything that watches one engine. With nothing asked for, runs cost what they cost unwatched.

    Args:
        settings: what the program's surroundings ask for.
        audit: folder of the audit log; None for what the settings say.
        capture: keep what tasks of this process print with their attempts.
        ps: let `laneway ps` see the engine; None for what the settings say.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        audit: str | Path | None = None,
        capture: bool = True,
        ps: bool | None = None,
    ) -> None:
        self._settings = settings
        self._audit_folder = settings.audit if audit is None else str(audit)
        self._prints = Prints() if capture else None
        self._with_window = settings.ps if ps is None else ps
        self._added: list[Observer] = []
        self._metrics: EngineMetrics | None = None
        self._trail: AuditTrail | None = None
        self._window: Window | None = None
        self._around: Surroundings | None = None
        self._runs: Runs | None = None
        self._card: EngineCard | None = None
        self._holds: Mapping[str, Pool] = {}
        self._opened = 0.0
        self._schedules = ScheduleFigures()

    # ---- who watches

    def add(self, observer: Observer) -> None:
        """Have an observer told from now on."""
        self._added.append(observer)
        self._tell()

    def remove(self, observer: Observer) -> None:
        """Tell it no more."""
        if observer in self._added:
            self._added.remove(observer)
        self._tell()

    @property
    def metrics(self) -> CollectorRegistry:
        """The registry; what happened before it was first asked for is not in it."""
        if self._metrics is None:
            # 100 ms of imports that programs without metrics never need.
            from laneway.observe.metrics import EngineMetrics  # noqa: PLC0415

            self._metrics = EngineMetrics(self._figures, self._schedules)
            if self._around is not None:
                self._metrics.attach(asyncio.get_running_loop())
            self.add(self._metrics)
        return self._metrics.registry

    def book(self, book: ScheduleBook) -> ScheduleBook:
        """The store's book of schedules, with what a scheduler does counted."""
        # What it does not count it passes on.
        return cast("ScheduleBook", cast("object", CountingBook(book, self._schedules)))

    def note(self, what: str, **more: Any) -> None:
        """Put an entry into the audit log, if there is one."""
        if self._trail is not None:
            self._trail.note(what, **more)

    def loaded(self, target: Target) -> None:
        """Put into the audit log that a package was loaded."""
        unit = target.unit
        if self._trail is not None and unit is not None and unit.kind == "package":
            digest = unit.key.rpartition(":")[2]
            self.note("package_loaded", package=unit.name, package_hash=digest, decision="accepted")

    def tags(self, workflow: str) -> dict[str, str]:
        """What is recorded with a new run: the correlation id of whoever asks for it, and what observers add."""
        about = aio.current_metadata()
        found = {"correlation_id": about.correlation_id} if about is not None and about.correlation_id else {}
        for observer in () if self._around is None else self._around.observers:
            found.update(observer.new_run(workflow))
        return found

    def not_begun(self, tags: Mapping[str, str]) -> None:
        """Nothing came of what `tags` was asked for."""
        for observer in () if self._around is None else self._around.observers:
            observer.not_begun(tags)

    def _tell(self) -> None:
        if self._around is None:
            return
        found: list[Observer] = [*self._added]
        if LogLines.wanted():
            found.insert(0, LogLines())
        if self._trail is not None:
            found.append(self._trail)
        self._around.observers = tuple(found)

    # ---- life

    async def open(
        self,
        around: Surroundings,
        runs: Runs,
        card: EngineCard,
        settings: Mapping[str, Any],
        pools: Mapping[str, Pool] = {},
    ) -> None:
        """Begin to watch an engine that is open.

        Raises:
            OSError: an audit log was asked for and cannot be written.
        """
        self._around, self._runs, self._card, self._holds = around, runs, card, pools
        self._opened = time.time()
        if self._audit_folder:
            from laneway.observe._audit_trail import AuditTrail  # noqa: PLC0415 - a thread and files, if asked for

            self._trail = AuditTrail(self._audit_folder, engine=card.id, fsync=self._settings.audit_fsync)
            self._trail.settings(settings)
            self._trail.note("engine_opened", store=store_name(around.store))
        if self._metrics is not None:
            self._metrics.attach(asyncio.get_running_loop())
        if self._prints is not None:
            self._prints.start()
        self._tell()
        if self._with_window:
            self._window = Window(Path(runtime_folder()), card.id, self._answer)
            await self._window.open()

    async def close(self) -> None:
        """Stop watching. Idempotent."""
        if self._around is None:
            return
        if self._window is not None:
            await self._window.close()
            self._window = None
        if self._prints is not None:
            self._prints.stop()
        if self._metrics is not None:
            self._metrics.detach()
        self._around.observers = ()
        self._around = self._runs = None
        trail, self._trail = self._trail, None
        if trail is not None:
            trail.note("engine_closed")
            await asyncio.to_thread(trail.close)

    # ---- what is live

    def _healths(self) -> list[LaneHealth]:
        return [] if self._around is None else [lane.health() for lane in self._around.lanes.values()]

    def _figures(self) -> LiveFigures | None:
        if self._runs is None:
            return None
        from laneway.observe.metrics import LiveFigures  # noqa: PLC0415 - only asked once metrics are imported

        live = list(self._runs.live.values())
        return LiveFigures(len(live), sum(len(one.running) for one in live), self._healths(), self._pools())

    def _pools(self) -> dict[str, dict[str, float]]:
        found: dict[str, dict[str, float]] = {}
        for name, pool in self._holds.items():
            report = pool.report()
            found[name] = {
                "capacity": report.capacity,
                "used": report.used,
                "holders": float(report.holders),
                "waiting": float(report.waiting),
                "longest_wait_seconds": report.longest,
                "granted_total": float(report.granted),
            }
        return found

    async def _answer(self, question: dict[str, Any]) -> dict[str, Any]:
        asked = question.get("ask")
        if asked == "state":
            return self.state()
        if asked == "cancel" and isinstance(question.get("run"), str) and self._runs is not None:
            driver = self._runs.live.get(question["run"])
            if driver is None:
                return {"error": "this engine does not drive that run"}
            self.note("cancel_asked", run=driver.text_id, by="laneway ps")
            await driver.cancel()
            return {"status": driver.status}
        return {"error": f"there is no question {asked!r}; there are state and cancel"}

    def state(self) -> dict[str, Any]:
        """The engine as plain data: its runs, what of them is running where, its lanes."""
        around, runs, card = self._around, self._runs, self._card
        if around is None or runs is None or card is None:
            return {"error": "the engine is closing"}
        healths = self._healths()
        places = _places(healths)
        now = time.time()
        return {
            "engine": card.id,
            "pid": os.getpid(),
            "version": __version__,
            "store": store_name(around.store),
            "started": self._opened,
            "now": now,
            "runs": [_run_state(driver, places, now) for driver in runs.live.values()],
            "lanes": [msgspec.to_builtins(health) for health in healths],
            "pools": self._pools(),
        }


def _places(healths: list[LaneHealth]) -> dict[tuple[str, str, int | None], dict[str, Any]]:
    """Per attempt the worker that has it."""
    return {
        (attempt["run"], attempt["task"], attempt["key"]): {
            "worker": worker["worker"],
            "pid": worker.get("pid"),
        }
        | {"state": attempt.get("state", "running")}
        for health in healths
        for worker in health.workers
        for attempt in worker.get("attempts", ())
    }


def _run_state(
    driver: Driver, places: Mapping[tuple[str, str, int | None], dict[str, Any]], now: float
) -> dict[str, Any]:
    running: list[dict[str, Any]] = []
    for (task, item), since in driver.running.items():
        key = None if item < 0 else item
        about, lane = driver.about(task)
        place = places.get((driver.text_id, task, key), {})
        state = place.get("state", "running" if lane == "loop" else "waiting")
        row = driver.state.rows.get((task, item))
        running.append(
            {
                "task": task,
                "key": key,
                "attempt": 1 if row is None else row.attempt + 1,
                "lane": lane,
                "worker": place.get("worker", ""),
                "pid": place.get("pid"),
                "state": state,
                "age": max(now - since, 0.0),
                "metadata": about,
            }
        )
    return {
        "id": driver.text_id,
        "workflow": driver.plan.workflow.name,
        "correlation_id": driver.correlation_id,
        "status": driver.stopping or "running",
        "age": max(now - driver.began, 0.0),
        "tasks": len(driver.plan.tasks),
        "left": driver.state.left,
        "kept": driver.kept,
        "running": running,
    }


def store_name(store: Store) -> str:
    """A store's URL, the same from every folder and without a password."""
    path = getattr(store, "path", None)
    if isinstance(path, Path):
        return f"sqlite:///{path}"
    parts = urlsplit(str(getattr(store, "url", "memory://")))
    if parts.password:
        parts = parts._replace(
            netloc=f"{parts.username}:***@{parts.hostname}" + (f":{parts.port}" if parts.port else "")
        )
    return urlunsplit(parts) if parts.netloc or parts.path else f"{parts.scheme}://"
