"""One run from a command: found or begun, shown, and stopped when the user says so."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from laneway import aio
from laneway._core.context import encode_object
from laneway._core.events import EventRow
from laneway._core.jsonvalue import check
from laneway._core.records import NO_ITEM
from laneway.app import Engine
from laneway.cli._display import Display
from laneway.cli._interrupts import Interrupts
from laneway.cli._progress import Progress
from laneway.cli._run_errors import RunDriven
from laneway.cli._screen import ago
from laneway.engine.dispatch import Driver
from laneway.engine.handle import RunHandle, RunInterrupted
from laneway.engine.results import RunResult, result_of
from laneway.engine.target import Target

__all__ = ["Ended", "Told", "begin", "drive", "kept_items", "taken_up"]

_REDRAW_SECONDS = 0.125
_LOOK_BACK = 1000
"""How many unfinished runs are looked through for one to go on with."""


class Ended(NamedTuple):
    """How a run came back to the command."""

    result: RunResult
    was_stopped: bool
    """True when the user stopped the program; the run can be gone on with unless the store is memory://."""
    seconds: float


class Told:
    """An engine's events from before a run begins: what it does before anybody can look at it is told, too."""

    def __init__(self, engine: Engine) -> None:
        self._early: list[Sequence[EventRow]] = []
        self._listener: Callable[[Sequence[EventRow]], None] = self._early.append
        engine.listen(self._hear)

    def _hear(self, rows: Sequence[EventRow]) -> None:
        self._listener(rows)

    def to(self, listener: Callable[[Sequence[EventRow]], None]) -> None:
        """Tell what was heard so far, then all that comes."""
        for rows in self._early:
            listener(rows)
        self._early.clear()
        self._listener = listener


async def begin(
    engine: Engine,
    target: Target,
    context: Mapping[str, Any],
    *,
    key: str | None,
    resume: str | None,
    new: bool,
    say: Callable[[str], None],
    force: bool = False,
    **options: Any,
) -> RunHandle:
    """Go on with the unfinished run of the same target and context, if nobody drives it; else begin a new one.

    Args:
        engine: drives it.
        target: its code.
        context: its initial context.
        key: its idempotency key; runs with one are never looked for by their context.
        resume: go on with this run.
        new: begin a new run in any case.
        say: told what was found.
        force: go on although the code changed.
        options: of a new run, as for `Engine.start`.

    Raises:
        RunDriven: the run to resume is driven by another program.
    """
    if resume is not None:
        return await taken_up(engine, resume, target, force=force)
    if key is None and not new:
        taken = await _found_again(engine, target, context, say)
        if taken is not None:
            return taken
    return await engine.start(target, context, key=key, **options)


async def taken_up(engine: Engine, run: str, target: Target, *, force: bool) -> RunHandle:
    """Go on with an unfinished run in this program.

    Raises:
        RunDriven: another program drives it.
    """
    handle = await engine.resume(run, target, force=force)
    if handle.driver is None and (await engine.result(run)).status == "running":
        raise RunDriven(run=run)
    return handle


async def _found_again(
    engine: Engine, target: Target, context: Mapping[str, Any], say: Callable[[str], None]
) -> RunHandle | None:
    """The newest unfinished run of the same workflow, version, place and context that nobody drives, taken up."""
    runnable = engine.runnable(target)
    check(dict(context), "context")
    wanted = msgspec.json.decode(encode_object(dict(context)))
    name = runnable.plan.workflow.name
    for row in await engine.find(workflow=name, status="running", limit=_LOOK_BACK):
        same = row["reference"] == runnable.reference and row["key"] is None
        if not same or row["context"] != wanted:
            continue
        if row["version"] != runnable.plan.version:
            say(
                f"run {row['id']} is unfinished, but the workflow has changed since; "
                f"`--resume {row['id']}` goes on with it"
            )
            continue
        handle = await engine.resume(row["id"], target)
        if handle.driver is not None:
            say(
                f"going on with run {row['id']} from {ago(time.time() - row['created'])}; --new starts afresh"
            )
            return handle
    return None


def kept_items(driver: Driver, task: str | None = None) -> int:
    """How many finished steps were found in the store; of one mapped task, how many items."""
    rows = driver.state.rows
    if task is None:
        mapped = {spec.id for spec in driver.plan.tasks if spec.each is not None}
        return sum(
            1
            for (name, item), row in rows.items()
            if row.status == "succeeded" and (item != NO_ITEM or name not in mapped)
        )
    return sum(
        1
        for (name, item), row in rows.items()
        if name == task and item != NO_ITEM and row.status == "succeeded"
    )


async def drive(
    engine: Engine,
    target: Target,
    handle: RunHandle,
    told: Told,
    *,
    display: Display,
    title: str,
    interrupts: Interrupts,
    grace: float,
) -> Ended:
    """Show a run until it ends or the user stops it; then running steps get `grace` seconds and the engine closes."""
    driver = handle.driver
    began = time.monotonic()
    if driver is None:  # it was over already, or another program drives it
        result = await handle.result(check=False)
        return Ended(result, was_stopped=False, seconds=time.monotonic() - began)
    progress = Progress(driver, [lane.name for lane in engine.runnable(target).lanes], is_new=handle.is_new)

    def seen(rows: Sequence[EventRow]) -> None:
        progress.seen(rows)
        display.seen(rows)

    waiting = aio.create_task(handle.result(check=False), name="run")
    asked = aio.create_task(interrupts.asked.wait(), name="interrupt")
    display.start(progress, title)
    told.to(seen)
    try:
        while not waiting.done() and not asked.done():
            progress.look(time.monotonic())
            display.update()
            await asyncio.wait({waiting, asked}, timeout=_REDRAW_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if waiting.done():
            progress.look(time.monotonic())
            return Ended(await waiting, was_stopped=False, seconds=time.monotonic() - began)
        display.note(f"stopping: running steps have {grace:g} s to end; Ctrl-C again stops at once")
        display.update()
        await engine.close(grace=grace)
        try:
            result = await waiting
        except RunInterrupted:
            result = _so_far(driver)
        return Ended(result, was_stopped=True, seconds=time.monotonic() - began)
    finally:
        asked.cancel()
        waiting.cancel()
        display.stop()


def _so_far(driver: Driver) -> RunResult:
    """An interrupted run as far as it came."""
    context = msgspec.json.encode({key: msgspec.Raw(value) for key, value in driver.state.initial.items()})
    rows = driver.state.rows
    return result_of(driver.run, driver.plan.workflow.name, "interrupted", context, None, rows, driver.kept)
