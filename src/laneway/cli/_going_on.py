"""Driving a run that is in the store from a command: its code found, the run shown, stopped when the user says so."""

from collections.abc import Awaitable, Callable
from shlex import join
from typing import Any, NamedTuple

import rich_click as click

from laneway._core.errors import PackageContentInvalid, TargetNotFound
from laneway._core.records import ENDED
from laneway.app import Engine
from laneway.cli import _screen as screen
from laneway.cli._display import display_for
from laneway.cli._errors import CANCELLED, status_of
from laneway.cli._execution import Ended, Told, drive, kept_items
from laneway.cli._interrupts import Interrupts
from laneway.cli._options import store_url
from laneway.cli._run_errors import RunOver, RunTargetUnknown
from laneway.cli._stores import StoreMissing, full_id, is_missing
from laneway.cli.run import count_of, show_ended
from laneway.engine.handle import RunHandle
from laneway.engine.refusals import RunChanged
from laneway.engine.target import Target
from laneway.registry import store_from
from laneway.settings import settings_from
from laneway.targets import find_target

__all__ = ["Begin", "Wanted", "finish", "went_on"]

type Begin = Callable[[Engine, str, Target], Awaitable[RunHandle]]
"""Takes the run up, or makes a new one of it."""


class Wanted(NamedTuple):
    """Which run a command is about, and with which code."""

    verb: str
    run: str
    target: str | None
    store: str | None
    of_ended: bool
    """Whether the command is also for runs that are over."""


async def went_on(wanted: Wanted, begin: Begin) -> Ended | None:
    """Drive a run to its end; None if the user stopped the program before it went on."""
    with Interrupts() as interrupts:
        return await interrupts.unless_asked(_within(wanted, begin, interrupts))


async def _within(wanted: Wanted, begin: Begin, interrupts: Interrupts) -> Ended:
    grace = settings_from().grace
    url = store_url(wanted.store)
    if is_missing(store_from(url, durability="commit")):
        raise StoreMissing(store=url)
    async with Engine(url, grace=grace) as engine:
        run = await full_id(engine.store, wanted.run)
        record = (await engine.store.read("run", run=run))[0]
        if record["status"] in ENDED and not wanted.of_ended:
            raise RunOver(run=run, status=record["status"])
        display = display_for(engine.lanes)
        target = await _code(wanted, record, engine)
        told = Told(engine)
        try:
            handle = await begin(engine, run, target)
        except RunChanged as error:
            _say_what_can_be_done(wanted, run, error)
            raise
        driver = handle.driver
        if driver is not None:
            kept = kept_items(driver)
            display.note(f"kept {kept} finished step{'' if kept == 1 else 's'}")
        interrupts.handled = True
        title = f"{target.workflow.name}  run {handle.id}"
        return await drive(
            engine, target, handle, told, display=display, title=title, interrupts=interrupts, grace=grace
        )


async def _code(wanted: Wanted, record: dict[str, Any], engine: Engine) -> Target:
    """The run's workflow: from where the user says, else from where it was found when the run started."""
    if wanted.target is not None:
        return await find_target(wanted.target, engine.fleet)
    try:
        return await find_target(record["reference"], engine.fleet)
    except (TargetNotFound, PackageContentInvalid) as error:
        parts = [str(error.fields.get("reason", "the package has no such workflow")), "."]
        if record["parent"] is not None:
            parts.append(f" Run {record['parent']} started it and goes on with it: name that one.")
        raise RunTargetUnknown(
            run=record["id"],
            workflow=record["workflow"],
            reference=record["reference"],
            reason="".join(parts),
            verb=wanted.verb,
        ) from error


def _say_what_can_be_done(wanted: Wanted, run: str, error: RunChanged) -> None:
    """Before a refusal over changed code: the commands that go on, ready to be typed."""
    more = [] if wanted.store is None else ["--store", wanted.store]
    target = [] if wanted.target is None else [wanted.target]
    task = error.fields["tasks"][0]
    console = screen.errors()
    for command, what in (
        (["resume", run, *target, "--force", *more], "goes on with the code as it is now"),
        (["fork", run, *target, "--from", task, *more], "starts a new run from there"),
        (["resume", run, "TARGET", *more], "goes on with another version of the code"),
    ):
        console.print(f"  {join(['laneway', 'runs', *command])}   {what}", soft_wrap=True)


def finish(ctx: click.Context, ended: Ended | None, store: str | None, kept: int | None) -> None:
    """Show what the run came to, and leave with its exit status.

    Args:
        ctx: the command's.
        ended: as from `went_on`.
        store: what `--store` said.
        kept: the real standard output, if it is to get JSON.
    """
    if ended is None:
        screen.errors().print("stopped before the run went on")
        ctx.exit(CANCELLED)
    result = ended.result
    if kept is not None:
        screen.print_json(result.as_json(), to=kept)
    else:
        show_ended(ended)
    if result.status == "interrupted":
        done = count_of(result, "succeeded")
        console = screen.errors()
        screen.say(console, f"stopped: {screen.counted(done, 'step')} finished and kept. Go on with:")
        more = [] if store is None else ["--store", store]
        console.print(f"  {join(['laneway', 'runs', 'resume', result.id, *more])}", soft_wrap=True)
    ctx.exit(status_of(result.status))
