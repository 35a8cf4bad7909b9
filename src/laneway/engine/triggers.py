"""Triggers: a run's end, a file that appears or an HTTP call starts a workflow. In the store, each start once."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import structs

from laneway._core.errors import StoreUnavailable
from laneway._core.events import EventRow
from laneway._core.jobs import job_name_problem
from laneway._core.jsonvalue import check
from laneway.authoring import Workflow
from laneway.engine.handle import RunHandle
from laneway.engine.schedule_alarm import first_of
from laneway.engine.schedule_ports import JobInvalid, Starter
from laneway.engine.surroundings import log
from laneway.engine.target import Target
from laneway.engine.trigger_records import (
    Trigger,
    TriggerNotFound,
    call_key,
    call_parameters,
    http_problems,
)
from laneway.engine.trigger_watch import Appeared, FolderWatch, appeared_since
from laneway.ports import Store

__all__ = ["Triggers", "reference_of"]

_KIND = "trigger"
_ENDS = {"run_succeeded": "succeeded", "run_failed": "failed", "run_cancelled": "cancelled"}
_LOOK_SECONDS = 5.0
"""How soon the end of another program's run is seen; ends of this engine's own runs are seen at once."""
_BATCH = 500
_PAUSE = 1.0


class Triggers:
    """Acts on the triggers of a store, in the engine that leads. Does nothing at all while there are none."""

    def __init__(
        self,
        store: Store,
        starter: Starter,
        workflows: dict[str, Any],
        written: Callable[[], Awaitable[None]],
    ) -> None:
        self._store = store
        self._starter = starter
        self._workflows = workflows
        self._written = written
        """Tells all schedulers of the store."""
        self._changed = asyncio.Event()
        self._watches: dict[str, FolderWatch] = {}
        self._follows = False
        self._begun: set[str] = set()
        """Triggers whose folder was looked through since this engine leads."""
        self._here: dict[str, Trigger] = {}
        """HTTP triggers of this program alone."""
        self._loaded: dict[str, Target] = {}
        """Workflows of HTTP triggers that are known by their target, found once."""

    # ---- keeping them

    async def after(
        self,
        name: str,
        workflow: Workflow | Target | str,
        *,
        follows: Workflow | str,
        on: Sequence[str] = ("succeeded",),
        parameters: Mapping[str, Any] | None = None,
    ) -> Trigger:
        """Start a workflow whenever a run of another one ends so, from now on and once for each run.

        A parameter `"{run}"` becomes that run's id, `"{status}"` how it ended, `"{context}"` its final context. Ends
        in this engine are seen at once, those in other programs within five seconds.

        Raises:
            JobInvalid: a mistake in the name or in `on`.
        """
        followed = follows if isinstance(follows, str) else follows.name
        trigger = Trigger(name, "run", reference_of(workflow), dict(parameters or {}), followed, tuple(on))
        return await self._added(trigger, workflow)

    async def on_files(
        self,
        name: str,
        workflow: Workflow | Target | str,
        folder: str | os.PathLike[str],
        *,
        pattern: str = "*",
        parameters: Mapping[str, Any] | None = None,
    ) -> Trigger:
        """Start a workflow whenever a file or folder appears in `folder`, or a file there is written anew.

        Once for each state of a file; a parameter `"{path}"` becomes its path. What appears while nobody schedules is
        made up for. A file counts once whoever writes it has closed it, or has moved it there.

        Raises:
            JobInvalid: a mistake in the name.
        """
        place = _absolute(folder)
        given = dict(parameters or {})
        trigger = Trigger(name, "files", reference_of(workflow), given, folder=place, pattern=pattern)
        return await self._added(trigger, workflow)

    async def on_http(
        self,
        name: str,
        workflow: Workflow | Target | str,
        *,
        fields: Mapping[str, str] | None = None,
        key: str = "",
        parameters: Mapping[str, Any] | None = None,
        secret: str = "",
        signature: str = "",
        keep: bool = True,
    ) -> Trigger:
        """Start a workflow whenever `POST /triggers/NAME` is called on a web face (`laneway serve`) of the store.

        The body, a JSON object, is the run's initial context, with `parameters` over it. Calls that are alike by `key`,
        or by their header `Idempotency-Key`, start one run together.

        Args:
            name: what it is called in the address.
            workflow: what to start.
            fields: what the body may hold: names with `string`, `integer`, `number`, `boolean`, `array`, `object` or
                `any`, a `?` after it where it may be missing. Without any, what the workflow asks for.
            key: the field of the body that tells one call from another.
            parameters: set whatever the body says. If one is `"{body}"`, the body goes there and nowhere else.
            secret: the name of a secret of the server that callers must know, instead of the server's token.
            signature: the header in which callers send the body's HMAC-SHA256 by that secret, such as
                `X-Hub-Signature-256`; without one they send the secret itself, as a bearer token.
            keep: record it in the store; False declares it for this program alone.

        Raises:
            JobInvalid: with every mistake.
        """
        trigger = Trigger(
            name,
            "http",
            reference_of(workflow),
            dict(parameters or {}),
            fields=dict(fields or {}),
            key=key,
            secret=secret,
            signature=signature,
        )
        problems = http_problems(trigger)
        if problems:
            raise JobInvalid(name=name, problems=problems)
        if keep:
            return await self._added(trigger, workflow)
        self._check(trigger)
        self._here[name] = trigger
        self._workflows[f"trigger:{name}"] = workflow
        return trigger

    async def http(self, name: str) -> Trigger:
        """The HTTP trigger of that name.

        Raises:
            TriggerNotFound: there is none.
        """
        if name in self._here:
            return self._here[name]
        rows = await self._store.read("documents", kind=_KIND, name=name)
        found = [one for one in (_decode(row["body"]) for row in rows) if one.kind == "http"]
        if not found:
            raise TriggerNotFound(name=name)
        return found[0]

    async def fire(self, trigger: Trigger, body: object, *, key: str | None = None) -> RunHandle:
        """Start the workflow of an HTTP trigger for one call; the run that is there for a call like an earlier one.

        Raises:
            TriggerBodyInvalid: the body does not fit.
            Backpressure: the engine is full.
        """
        parameters = call_parameters(trigger, body)
        told = call_key(trigger, body, key)
        name = f"trigger:{trigger.name}"
        workflow = self._workflows.get(name, self._loaded.get(trigger.target))
        if workflow is None:
            workflow = self._loaded[trigger.target] = await self._starter.load(trigger.target)
        run_key = None if told is None else f"{name}@{told}"
        return await self._starter.start(workflow, parameters, key=run_key, wait=False)

    def _check(self, trigger: Trigger) -> None:
        check(trigger.parameters, "parameters")
        problem = job_name_problem(trigger.name)
        unknown = [one for one in trigger.on if one not in _ENDS.values()]
        if unknown:
            problem = f"on={unknown[0]!r}: use succeeded, failed or cancelled"
        if problem is not None:
            raise JobInvalid(name=trigger.name, problems=[problem])

    async def _added(self, trigger: Trigger, workflow: Workflow | Target | str) -> Trigger:
        """Record a trigger; one that is there keeps its place."""
        self._check(trigger)
        known = {one.name: one for one, _ in await self._all()}.get(trigger.name)
        if known is not None and known.kind == trigger.kind:
            trigger = structs.replace(trigger, cursor=known.cursor, since=known.since)
        elif trigger.kind == "run":
            trigger = structs.replace(trigger, cursor=await self._last_event())
        elif trigger.kind == "files":
            trigger = structs.replace(trigger, since=time.time())
        if not isinstance(workflow, str):
            self._workflows[f"trigger:{trigger.name}"] = workflow
        await self._store.keep(_KIND, trigger.name, msgspec.json.encode(trigger))
        await self._written()
        return trigger

    async def remove(self, name: str) -> None:
        """Forget a trigger, if it is there."""
        self._here.pop(name, None)
        self._workflows.pop(f"trigger:{name}", None)
        await self._store.keep(_KIND, name, None)
        await self._written()

    async def all(self) -> list[Trigger]:
        """All triggers by name."""
        kept = {one.name: one for one, _ in await self._all()}
        return sorted({**kept, **self._here}.values(), key=lambda one: one.name)

    async def _all(self) -> list[tuple[Trigger, int]]:
        rows = await self._store.read("documents", kind=_KIND)
        found = [(_decode(row["body"]), int(row["version"])) for row in rows]
        return sorted(found, key=lambda pair: pair[0].name)

    async def _last_event(self) -> int:
        """The cursor of the newest event: events are only asked for upwards, so it is searched for."""
        low, high = 0, 1
        while await self._store.read("events", after=high, limit=1):
            low, high = high, high * 2
        while low < high:
            middle = (low + high) // 2
            if await self._store.read("events", after=middle, limit=1):
                low = middle + 1
            else:
                high = middle
        return low

    # ---- acting on them

    def look(self) -> None:
        """Look again: triggers may have changed."""
        self._changed.set()

    def heard(self, events: Sequence[EventRow]) -> None:
        """Told of every event that this engine commits."""
        if self._follows and any(one.kind in _ENDS for one in events):
            self._changed.set()

    async def serve(self) -> None:
        """Act until cancelled."""
        try:
            while True:
                self._changed.clear()
                try:
                    found = await self._all()
                    self._follows = any(one.kind == "run" for one, _ in found)
                    self._watch([one for one, _ in found if one.kind == "files"])
                    for trigger, version in found:
                        if trigger.kind != "http":
                            await (self._follow if trigger.kind == "run" else self._collect)(trigger, version)
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

    def _needs_looks(self) -> bool:
        return self._follows or any(not watch.open() for watch in self._watches.values())

    async def _follow(self, trigger: Trigger, version: int) -> None:
        cursor = trigger.cursor
        while rows := await self._store.read("events", after=cursor, limit=_BATCH):
            for row in rows:
                event = row["event"]
                cursor = event.seq
                if _ENDS.get(event.kind) in trigger.on:
                    await self._followed(trigger, event.run, _ENDS[event.kind])
            moved = structs.replace(trigger, cursor=cursor)
            kept = await self._store.keep(_KIND, trigger.name, msgspec.json.encode(moved), version=version)
            if kept is None:
                return  # changed or removed meanwhile: the next look sees how
            version = kept

    async def _followed(self, trigger: Trigger, run: str, status: str) -> None:
        record = (await self._store.read("run", run=run))[0]
        if record["workflow"] != trigger.workflow:
            return
        given = {
            "{run}": run,
            "{status}": status,
            "{context}": _decoded(record.get("final") or record["context"]),
        }
        await self._start(trigger, given, run)

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
        now = time.time()
        found = watch.taken()
        if trigger.name not in self._begun:
            self._begun.add(trigger.name)
            earlier = appeared_since(trigger.folder, trigger.pattern, trigger.since)
            found += [one for one in earlier if one not in found]
        for one in found:
            await self._appeared(trigger, one)
        if found:
            moved = structs.replace(trigger, since=now)
            await self._store.keep(_KIND, trigger.name, msgspec.json.encode(moved), version=version)

    async def _appeared(self, trigger: Trigger, one: Appeared) -> None:
        await self._start(trigger, {"{path}": one.path}, f"{one.path}@{one.identity}")

    async def _start(self, trigger: Trigger, given: Mapping[str, Any], what: str) -> None:
        parameters = {
            key: given[value] if isinstance(value, str) and value in given else value
            for key, value in trigger.parameters.items()
        }
        workflow = self._workflows.get(f"trigger:{trigger.name}", trigger.target)
        try:
            await self._starter.start(workflow, parameters, key=f"trigger:{trigger.name}@{what}")
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - one trigger's fault must not stop the others
            log.error("trigger %s could not start its workflow for %s: %s", trigger.name, what, error)


_decode = msgspec.json.Decoder(Trigger).decode


def _absolute(folder: str | os.PathLike[str]) -> str:
    return os.path.abspath(folder)


def _decoded(context: Any) -> Any:
    return msgspec.json.decode(context) if isinstance(context, bytes) else context


def reference_of(workflow: Workflow | Target | str) -> str:
    """Where any engine finds the workflow: that of a script is found in its file."""
    if isinstance(workflow, Workflow):
        place = workflow.module
        if place == "__main__" and workflow.spec.tasks:
            place = workflow.spec.tasks[0].file
        return f"{place}:{workflow.name}"
    return workflow if isinstance(workflow, str) else workflow.reference
