"""What a program can do with runs that are there: resume, pause, signal, retry, fork, cancel, find, sweep."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

import msgspec

from laneway._core.context import decode_object, encode_object
from laneway._core.errors import ContextError, PlanError, SettingInvalid
from laneway._core.events import Event
from laneway.artifacts import Desk
from laneway.assembly import collector
from laneway.authoring import Workflow
from laneway.engine.arguments import RunReference, run_id
from laneway.engine.artifact_references import as_json
from laneway.engine.handle import RunHandle, stored_result
from laneway.engine.refusals import RunUnknownCode
from laneway.engine.results import RunResult
from laneway.engine.runs import Runs
from laneway.engine.surroundings import Surroundings
from laneway.engine.target import Runnable, Target
from laneway.observation import Observation
from laneway.settings import past_moment

__all__ = ["ContextTooLarge", "Controls", "encoded_context"]


class ContextTooLarge(ContextError):
    """An initial context is larger than runs are allowed to carry."""

    code = "LW-CTX-010"
    template = (
        "the context has {megabytes} MB as JSON, the limit is {limit} MB; the largest key is {key!r} with "
        "{largest} MB. Every step would read it again: keep large data as an artifact (`laneway.artifact`) or in a "
        "file, and pass the reference. LANEWAY_CONTEXT_LIMIT allows more."
    )


class Controls(ABC):
    """The part of `Engine` that deals with runs that exist, named by id, handle, result, or a row of `find`."""

    _observation: Observation

    @abstractmethod
    def _open(self) -> tuple[Runs, Surroundings]:
        """The parts of an engine that is open."""

    @abstractmethod
    def _known(self, workflow: str) -> Runnable | None:
        """The code of a workflow that the engine was given."""

    @abstractmethod
    async def _runnable_of(self, workflow: Workflow | Target | str) -> Runnable:
        """A workflow with its code and lanes."""

    async def resume(
        self, run: RunReference, workflow: Workflow | Target | str | None = None, *, force: bool = False
    ) -> RunHandle:
        """Go on with an unfinished run that no living engine drives, also a paused or suspended one.

        Finished steps are kept.

        Args:
            run: its id.
            workflow: its code; by default the workflow of that name this engine knows, else where it was found.
            force: go on even if tasks that the run still needs have other code now.

        Raises:
            RunNotFound: there is no such run.
            RunChanged: see `force`.
        """
        runs, around = self._open()
        run = run_id(run, around.store)
        runnable = await self._code_of(run, workflow)
        driver = await runs.resume(run, runnable, force=force)
        return RunHandle(run, around, runs, driver, is_new=False)

    async def retry(
        self,
        run: RunReference,
        workflow: Workflow | Target | str | None = None,
        *,
        only: Literal["failed", "all"] = "failed",
        context: Mapping[str, Any] | None = None,
    ) -> RunHandle:
        """Run a finished run's steps again, as the same run.

        Args:
            run: its id.
            workflow: its code; as for `resume`.
            only: `failed` keeps what succeeded and runs the rest again; `all` keeps nothing.
            context: keys of the initial context to change first.

        Raises:
            RunNotFound: there is no such run.
            RunBusy: a living engine drives it.
        """
        if only not in ("failed", "all"):
            raise SettingInvalid(
                setting="only", value=only, reason="it is neither", advice="Use 'failed' or 'all'."
            )
        runs, around = self._open()
        run = run_id(run, around.store)
        runnable = await self._code_of(run, workflow)
        desk = around.artifacts.desk
        changes = None if context is None else decode_object(encoded_context(context, desk))
        driver = await runs.adoption.retry(run, runnable, only_failed=only == "failed", context=changes)
        return RunHandle(run, around, runs, driver, is_new=False)

    async def fork(
        self,
        run: RunReference,
        workflow: Workflow | Target | str | None = None,
        *,
        from_step: str,
        context: Mapping[str, Any] | None = None,
        key: str | None = None,
    ) -> RunHandle:
        """Start a new run that takes over another one's results, all but `from_step`'s and what comes after it.

        Args:
            run: the run to start from; finished or not, it stays as it is.
            workflow: the code to go on with; as for `resume`.
            from_step: the first task to run anew.
            context: keys of the initial context to change.
            key: idempotency key of the new run.

        Raises:
            RunNotFound: there is no such run.
            SettingInvalid: the workflow has no task of that name.
        """
        runs, around = self._open()
        run = run_id(run, around.store)
        runnable = await self._code_of(run, workflow)
        if from_step not in runnable.plan.position:
            names = ", ".join(runnable.plan.names)
            raise SettingInvalid(
                setting="from_step",
                value=from_step,
                reason="the workflow has no such task",
                advice=f"It has {names}.",
            )
        desk = around.artifacts.desk
        changes = None if context is None else decode_object(encoded_context(context, desk))
        record, driver = await runs.adoption.fork(
            run, runnable, from_step=from_step, context=changes, key=key
        )
        if record.is_new:
            forked = str(UUID(bytes=record.run))
            self._observation.note(
                "run_forked", run=forked, origin=run, from_step=from_step, decision="accepted"
            )
        return RunHandle(str(UUID(bytes=record.run)), around, runs, driver, is_new=record.is_new)

    async def pause(self, run: RunReference) -> None:
        """Let running steps finish and start nothing more; `resume` goes on."""
        runs, around = self._open()
        run = run_id(run, around.store)
        self._observation.note("pause_asked", run=run)
        await runs.adoption.pause(run)

    async def cancel(self, run: RunReference) -> None:
        """Cancel a run, wherever it is driven; one that nobody drives is recorded as cancelled right away.

        Raises:
            RunNotFound: there is no such run.
        """
        runs, around = self._open()
        run = run_id(run, around.store)
        self._observation.note("cancel_asked", run=run)
        await runs.cancel(run)

    async def signal(self, run: RunReference, name: str, value: Any = None) -> None:
        """Send a named value to a run. Steps that wait for the name get it, and those that will.

        Raises:
            RunNotFound: there is no such run.
        """
        runs, around = self._open()
        run = run_id(run, around.store)
        value = as_json(value, f"signal {name!r}", around.artifacts.desk)
        await runs.adoption.signal(run, name, encode_object({"": value})[len(b'{"":') : -1])

    async def events(self, *, run: str | None = None, after: int = 0, limit: int = 1000) -> list[Event]:
        """Recorded events from a cursor on."""
        _, around = self._open()
        answers = await around.store.read("events", run=run, after=after, limit=limit)
        return [one["event"] for one in answers]

    async def result(self, run: RunReference) -> RunResult:
        """A run as the store has it, finished or not.

        Raises:
            RunNotFound: there is no such run.
        """
        _, around = self._open()
        return await stored_result(around, run_id(run, around.store))

    async def find(
        self,
        *,
        workflow: str | None = None,
        status: str | None = None,
        key: str | None = None,
        tags: Mapping[str, str] | None = None,
        parent: str | None = None,
        since: datetime | timedelta | float | None = None,
        search: str | None = None,
        before: str | None = None,
        limit: int = 50,
    ) -> list[dict[str, Any]]:
        """The latest runs that match, newest first: dictionaries with `id`, `workflow`, `status`, `created` and so on.

        `context` is what a run began with, `final` what it ended with (or None), `error` why it failed (or None).

        Args:
            workflow: its name.
            status: `running`, `suspended`, `paused`, `succeeded`, `failed` or `cancelled`.
            key: the idempotency key.
            tags: all of them must match.
            parent: the run that started it.
            since: began at that moment or later, or at most that long (a timedelta, or seconds) ago.
            search: a text in the workflow's name, the key, the tags, the initial context or the error.
            before: a run's id to go on from.
            limit: how many at most.
        """
        _, around = self._open()
        rows = await around.store.read(
            "runs",
            workflow=workflow,
            status=status,
            key=key,
            tags=tags,
            parent=parent,
            since=None if since is None else past_moment("since", since, around.now()),
            search=search,
            before=before,
            limit=limit,
        )
        return [{**row, **{name: _decoded(row[name]) for name in _ENCODED}} for row in rows]

    async def sweep(self, older_than: timedelta | float) -> dict[str, int]:
        """Delete runs that ended longer ago than that (a timedelta, or seconds); says how much went.

        Packages that engines left in the store for workers elsewhere go too, once nobody used them for so long. Safe
        while other engines work. Runs that are not over stay, what unfinished runs started, and what they use.
        """
        _, around = self._open()
        seconds = older_than.total_seconds() if isinstance(older_than, timedelta) else float(older_than)
        before = around.now() - seconds
        swept = {"runs": 0, "steps": 0, "events": 0, "artifacts": 0, "artifact_bytes": 0}
        while True:
            once = await around.store.sweep(before=before)
            swept = {name: swept[name] + once.get(name, 0) for name in swept}
            if once["runs"] == 0:
                return {**swept, "packages": await collector(around.store)(before)}

    async def _code_of(self, run: str, workflow: Workflow | Target | str | None) -> Runnable:
        _, around = self._open()
        record = (await around.store.read("run", run=run))[0]
        if workflow is not None:
            runnable = await self._runnable_of(workflow)
            name = runnable.plan.workflow.name
            if name != record["workflow"]:
                raise SettingInvalid(
                    setting="workflow",
                    value=name,
                    reason=f"run {run} is one of workflow {record['workflow']!r}",
                    advice="Name the code of that one.",
                )
            return runnable
        known = self._known(record["workflow"])
        if known is not None:
            return known
        try:
            return await self._runnable_of(record["reference"])
        except PlanError as error:
            raise RunUnknownCode(
                run=run, workflow=record["workflow"], reference=record["reference"]
            ) from error


_ENCODED = ("context", "final")
"""What rows of runs hold as JSON."""


def _decoded(body: bytes | None) -> Any:
    return None if body is None else msgspec.json.decode(body)


def encoded_context(
    context: Mapping[str, Any] | None, desk: Desk | None, *, limit: int | None = None
) -> bytes:
    """A context as JSON.

    Args:
        context: keys and values.
        desk: where artifacts in it are put that were made elsewhere.
        limit: bytes that it may have at most.

    Raises:
        JsonInvalid: it holds what JSON cannot, with the path.
        ContextTooLarge: it has more than `limit` bytes.
    """
    if context is None:
        return b"{}"
    if not isinstance(context, Mapping):
        raise TypeError(f"a context is a mapping from keys to JSON values, not {type(context).__name__}")
    encoded = encode_object(as_json(dict(context), "context", desk))
    if limit is not None and len(encoded) > limit:
        sizes = {key: len(raw) for key, raw in decode_object(encoded).items()}
        key = max(sizes, key=lambda name: sizes[name])
        megabytes, largest = f"{len(encoded) / 1e6:.1f}", f"{sizes[key] / 1e6:.1f}"
        raise ContextTooLarge(megabytes=megabytes, limit=limit // 1_000_000, key=key, largest=largest)
    return encoded
