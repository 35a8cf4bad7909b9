"""Acting on triggers: runs that end and files that appear are looked for, and what they start is started once."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import structs

from laneway._core.errors import RunNotFound, StoreUnavailable
from laneway._core.events import EventRow
from laneway.engine.schedule_alarm import first_of
from laneway.engine.schedule_ports import Starter
from laneway.engine.surroundings import log
from laneway.engine.trigger_book import TriggerBook
from laneway.engine.trigger_records import Trigger
from laneway.engine.trigger_watch import Appeared, FolderWatch, appeared_since, file_time
from laneway.ports import Store

__all__ = ["ENDS", "TriggerActions", "run_name", "tags_of"]

ENDS = {"run_succeeded": "succeeded", "run_failed": "failed", "run_cancelled": "cancelled"}
"""Kinds of events that end a run, and what `on` calls them."""
_LOOK_SECONDS = 5.0
"""How soon the end of another program's run is seen; ends of this engine's own runs are seen at once."""
_BATCH = 500
_PAUSE = 1.0


def run_name(trigger: str) -> str:
    """What the keys of a trigger's runs begin with, and where its workflow is remembered."""
    return f"trigger:{trigger}"


def tags_of(trigger: str) -> dict[str, str]:
    """The tags of a trigger's runs, to find them by."""
    return {"trigger": trigger}


class TriggerActions:
    """Acts on the triggers of a store, in the engine that leads. Does nothing at all while there are none.

    Args:
        store: where runs end.
        book: where the triggers are.
        starter: who starts runs.
        workflows: workflows of this program by `run_name`; others are found by their target.
    """

    def __init__(
        self, store: Store, book: TriggerBook, starter: Starter, workflows: Mapping[str, Any]
    ) -> None:
        self._store = store
        self._book = book
        self._starter = starter
        self._workflows = workflows
        self._changed = asyncio.Event()
        self._watches: dict[str, FolderWatch] = {}
        self._follows = False
        self._begun: set[str] = set()
        """Triggers whose folder was looked through since this engine leads."""

    def look(self) -> None:
        """Look again: triggers may have changed."""
        self._changed.set()

    def heard(self, events: Sequence[EventRow]) -> None:
        """Told of every event that this engine commits."""
        if self._follows and any(one.kind in ENDS for one in events):
            self._changed.set()

    async def serve(self) -> None:
        """Act until cancelled."""
        try:
            while True:
                self._changed.clear()
                try:
                    await self._act()
                except StoreUnavailable as error:
                    log.error("triggers wait for the store: %s", error)
                    await asyncio.sleep(_PAUSE)
                    continue
                idle = [] if not self._needs_looks() else [lambda: asyncio.sleep(_LOOK_SECONDS)]
                await first_of(self._changed, *idle)
        finally:
            for watch in self._watches.values():
                watch.close()
            self._watches.clear()
            self._begun.clear()

    async def _act(self) -> None:
        active = [pair for pair in await self._book.all() if not pair[0].paused]
        self._follows = any(one.kind == "run" for one, _ in active)
        self._watch([one for one, _ in active if one.kind == "files"])
        for trigger, version in active:
            if trigger.kind == "run":
                await self._follow(trigger, version)
            elif trigger.kind == "files":
                await self._collect(trigger, version)

    def _needs_looks(self) -> bool:
        return self._follows or any(not watch.open() for watch in self._watches.values())

    # ---- runs that end

    async def _follow(self, trigger: Trigger, version: int) -> None:
        cursor = trigger.cursor
        while rows := await self._store.read("events", after=cursor, limit=_BATCH):
            for row in rows:
                event = row["event"]
                cursor = event.seq
                if ENDS.get(event.kind) in trigger.on:
                    await self._followed(trigger, event.run, ENDS[event.kind])
            kept = await self._book.keep(structs.replace(trigger, cursor=cursor), version=version)
            if kept is None:
                return  # changed or removed meanwhile: the next look sees how
            version = kept

    async def _followed(self, trigger: Trigger, run: str, status: str) -> None:
        try:
            record = (await self._store.read("run", run=run))[0]
        except RunNotFound:
            return  # deleted for its age between the two looks
        if record["workflow"] != trigger.workflow:
            return
        given = {
            "{run}": run,
            "{status}": status,
            "{context}": _decoded(record.get("final") or record["context"]),
        }
        await self._start(trigger, given, run)

    # ---- files that appear

    def _watch(self, triggers: Sequence[Trigger]) -> None:
        wanted = {one.name: one for one in triggers}
        for name in list(self._watches):
            trigger, watch = wanted.get(name), self._watches[name]
            if trigger is None or (trigger.folder, trigger.pattern) != (watch.folder, watch.pattern):
                self._watches.pop(name).close()
                self._begun.discard(name)
        for name, trigger in wanted.items():
            if name not in self._watches:
                self._watches[name] = FolderWatch(trigger.folder, trigger.pattern, self.look)

    async def _collect(self, trigger: Trigger, version: int) -> None:
        watch = self._watches[trigger.name]
        if not watch.open():
            return
        now = file_time()
        found = watch.taken()
        if trigger.name not in self._begun:
            self._begun.add(trigger.name)
            earlier = appeared_since(trigger.folder, trigger.pattern, trigger.since)
            found += [one for one in earlier if one not in found]
        for one in found:
            await self._appeared(trigger, one)
        if found:
            await self._book.keep(structs.replace(trigger, since=now), version=version)

    async def _appeared(self, trigger: Trigger, one: Appeared) -> None:
        await self._start(trigger, {"{path}": one.path}, f"{one.path}@{one.identity}")

    # ---- starting

    async def _start(self, trigger: Trigger, given: Mapping[str, Any], what: str) -> None:
        parameters = {
            key: given[value] if isinstance(value, str) and value in given else value
            for key, value in trigger.parameters.items()
        }
        name = run_name(trigger.name)
        workflow = self._workflows.get(name, trigger.target)
        try:
            await self._starter.start(workflow, parameters, key=f"{name}@{what}", tags=tags_of(trigger.name))
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - one trigger's fault must not stop the others
            log.error("trigger %s could not start its workflow for %s: %s", trigger.name, what, error)


def _decoded(context: Any) -> Any:
    return msgspec.json.decode(context) if isinstance(context, bytes) else context
