"""Triggers: a run's end, a file that appears or an HTTP call starts a workflow. In the store, each start once."""

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from msgspec import structs

from laneway._core.events import EventRow
from laneway._core.jobs import job_name_problem
from laneway._core.jsonvalue import check
from laneway.authoring import Workflow
from laneway.engine.handle import RunHandle
from laneway.engine.schedule_ports import Starter
from laneway.engine.target import Target
from laneway.engine.trigger_actions import ENDS, TriggerActions, run_name, tags_of
from laneway.engine.trigger_book import TriggerBook
from laneway.engine.trigger_records import (
    Trigger,
    TriggerInvalid,
    TriggerNotFound,
    TriggerPaused,
    call_key,
    call_parameters,
    http_problems,
)
from laneway.engine.trigger_watch import file_time
from laneway.ports import Store

__all__ = ["Triggers", "reference_of"]


class Triggers:
    """The triggers of a store: adding, looking at, pausing, calling and removing them.

    The engine that leads acts on them (`serve`).
    """

    def __init__(
        self,
        store: Store,
        starter: Starter,
        workflows: dict[str, Any],
        written: Callable[[], Awaitable[None]],
    ) -> None:
        self._book = TriggerBook(store)
        self._starter = starter
        self._workflows = workflows
        self._written = written
        """Tells all schedulers of the store."""
        self._actions = TriggerActions(store, self._book, starter, workflows)
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
            TriggerInvalid: a mistake in the name or in `on`.
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
            TriggerInvalid: a mistake in the name.
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
            TriggerInvalid: with every mistake.
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
            raise TriggerInvalid(name=name, problems=problems)
        if keep:
            return await self._added(trigger, workflow)
        self._check(trigger)
        self._here[name] = trigger
        self._workflows[run_name(name)] = workflow
        return trigger

    async def http(self, name: str) -> Trigger:
        """The HTTP trigger of that name.

        Raises:
            TriggerNotFound: there is none.
        """
        found = self._here.get(name) or await self._kept(name)
        if found is None or found.kind != "http":
            raise TriggerNotFound(name=name, kind="HTTP ")
        return found

    async def fire(self, trigger: Trigger, body: object, *, key: str | None = None) -> RunHandle:
        """Start the workflow of an HTTP trigger for one call; the run that is there for a call like an earlier one.

        Raises:
            TriggerPaused: it starts nothing for now.
            TriggerBodyInvalid: the body does not fit.
            Backpressure: the engine is full.
        """
        if trigger.paused:
            raise TriggerPaused(name=trigger.name)
        parameters = call_parameters(trigger, body)
        told = call_key(trigger, body, key)
        name = run_name(trigger.name)
        workflow = self._workflows.get(name, self._loaded.get(trigger.target))
        if workflow is None:
            workflow = self._loaded[trigger.target] = await self._starter.load(trigger.target)
        run_key = None if told is None else f"{name}@{told}"
        tags = tags_of(trigger.name)
        return await self._starter.start(workflow, parameters, key=run_key, wait=False, tags=tags)

    def _check(self, trigger: Trigger) -> None:
        check(trigger.parameters, "parameters")
        problem = job_name_problem(trigger.name)
        unknown = [one for one in trigger.on if one not in ENDS.values()]
        if unknown:
            problem = f"on={unknown[0]!r}: use succeeded, failed or cancelled"
        if problem is not None:
            raise TriggerInvalid(name=trigger.name, problems=[problem])

    async def _added(self, trigger: Trigger, workflow: Workflow | Target | str) -> Trigger:
        """Record a trigger; one that is there keeps its place, and stays paused if it is."""
        self._check(trigger)

        async def placed(known: Trigger | None) -> Trigger:
            if known is not None and known.kind == trigger.kind:
                return structs.replace(trigger, cursor=known.cursor, since=known.since, paused=known.paused)
            return await self._from_now(trigger)

        if not isinstance(workflow, str):
            self._workflows[run_name(trigger.name)] = workflow
        return await self._changed(trigger.name, placed)

    async def _from_now(self, trigger: Trigger) -> Trigger:
        """What ended or appeared before does not count."""
        if trigger.kind == "run":
            return structs.replace(trigger, cursor=await self._book.last_event())
        return structs.replace(trigger, since=file_time()) if trigger.kind == "files" else trigger

    async def _changed(
        self, name: str, how: Callable[[Trigger | None], Awaitable[Trigger | None]]
    ) -> Trigger:
        found = await self._book.change(name, how)
        if found is None:
            raise TriggerNotFound(name=name, near=await self._near(name))
        await self._written()
        return found

    async def _kept(self, name: str) -> Trigger | None:
        found = await self._book.find(name)
        return None if found is None else found[0]

    async def _near(self, name: str) -> str:
        near = get_close_matches(name, [one.name for one in await self.all()], 1)
        return f"Did you mean {near[0]!r}? " if near else ""

    # ---- looking and changing

    async def all(self) -> list[Trigger]:
        """All triggers by name."""
        kept = {one.name: one for one, _ in await self._book.all()}
        return sorted({**kept, **self._here}.values(), key=lambda one: one.name)

    async def trigger(self, name: str) -> Trigger:
        """The trigger of that name.

        Raises:
            TriggerNotFound: there is none.
        """
        found = self._here.get(name) or await self._kept(name)
        if found is None:
            raise TriggerNotFound(name=name, near=await self._near(name))
        return found

    async def pause(self, name: str) -> Trigger:
        """Start nothing because of it until it is resumed. Runs that go on are left alone.

        Raises:
            TriggerNotFound: there is none of that name.
        """
        if name in self._here:
            self._here[name] = structs.replace(self._here[name], paused=True)
            return self._here[name]

        async def paused(known: Trigger | None) -> Trigger | None:
            return None if known is None else structs.replace(known, paused=True)

        return await self._changed(name, paused)

    async def resume(self, name: str) -> Trigger:
        """Go on from now: what ended or appeared during the pause is not made up for.

        Raises:
            TriggerNotFound: there is none of that name.
        """
        if name in self._here:
            self._here[name] = structs.replace(self._here[name], paused=False)
            return self._here[name]

        async def resumed(known: Trigger | None) -> Trigger | None:
            if known is None or not known.paused:
                return known
            return await self._from_now(structs.replace(known, paused=False))

        return await self._changed(name, resumed)

    async def remove(self, name: str) -> None:
        """Forget a trigger. Runs that it started are left alone.

        Raises:
            TriggerNotFound: there is none of that name.
        """
        self._workflows.pop(run_name(name), None)
        if self._here.pop(name, None) is not None:
            return
        await self.trigger(name)
        await self._book.remove(name)
        await self._written()

    # ---- acting on them

    def look(self) -> None:
        """Look again: triggers may have changed."""
        self._actions.look()

    def heard(self, events: Sequence[EventRow]) -> None:
        """Told of every event that this engine commits."""
        self._actions.heard(events)

    async def serve(self) -> None:
        """Act on them until cancelled; for the engine that leads."""
        await self._actions.serve()


def _absolute(folder: str | os.PathLike[str]) -> str:
    return os.path.abspath(folder)


def reference_of(workflow: Workflow | Target | str) -> str:
    """Where any engine finds the workflow: that of a script is found in its file."""
    if isinstance(workflow, Workflow):
        place = workflow.module
        if place == "__main__" and workflow.spec.tasks:
            place = workflow.spec.tasks[0].file
        return f"{place}:{workflow.name}"
    return workflow if isinstance(workflow, str) else workflow.reference
