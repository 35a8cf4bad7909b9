"""`laneway runs cancel | pause | resume | retry | fork | signal`: what can be done with a run that is there."""

import asyncio
from contextlib import suppress
from typing import Any

import msgspec
import rich_click as click

from laneway._core.errors import SettingInvalid
from laneway._core.records import ENDED
from laneway.app import Engine
from laneway.cli import _screen as screen
from laneway.cli._completion import UNFINISHED, complete_runs, complete_tasks
from laneway.cli._execution import taken_up
from laneway.cli._going_on import Wanted, finish, went_on
from laneway.cli._options import (
    context_from,
    debug_option,
    json_option,
    store_option,
    store_url,
    value_from,
)
from laneway.cli._run_errors import RunOver
from laneway.cli._stores import full_id, opened
from laneway.engine.handle import RunHandle
from laneway.engine.target import Target
from laneway.ports import Store

__all__ = ["cancel", "fork", "pause", "resume", "retry", "signal"]

_POLL_SECONDS = 0.1
_SETTLE_SECONDS = 10.0

_set_option = click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change one key of the initial context first: JSON if it is, else text.",
)

_no_wait_option = click.option(
    "--no-wait",
    is_flag=True,
    help=f"Only ask for it; else up to {_SETTLE_SECONDS:g} s are waited for it to be so.",
)


# ---- asking whoever drives it


@click.command("cancel")
@click.argument("run", shell_complete=complete_runs(UNFINISHED))
@_no_wait_option
@store_option
@json_option
@debug_option
def cancel(run: str, no_wait: bool, store: str | None, as_json: bool) -> None:
    """Cancel a run, wherever it is driven; one that nobody drives ends right away."""
    found = asyncio.run(_asked(store, run, "cancel", wait=not no_wait))
    before, status = found["before"], found["status"]
    if as_json:
        screen.print_json(found)
    elif before in ENDED:
        screen.output().print(f"run {found['id']} had {before} already", soft_wrap=True)
    elif status == "cancelled":
        screen.output().print(f"run {found['id']}: cancelled", soft_wrap=True)
    else:
        _still(found, "cancel")


@click.command("pause")
@click.argument("run", shell_complete=complete_runs(UNFINISHED))
@_no_wait_option
@store_option
@json_option
@debug_option
def pause(run: str, no_wait: bool, store: str | None, as_json: bool) -> None:
    """Let a run's running steps finish and start nothing more of it, until `runs resume`."""
    found = asyncio.run(_asked(store, run, "pause", wait=not no_wait))
    if found["before"] in ENDED:
        raise RunOver(run=found["id"], status=found["before"])
    if as_json:
        screen.print_json(found)
    elif found["status"] == "paused":
        screen.output().print(
            f"run {found['id']}: paused; `laneway runs resume {found['id']}` goes on", soft_wrap=True
        )
    elif found["status"] in ENDED:
        screen.output().print(f"run {found['id']} {found['status']} before it could pause", soft_wrap=True)
    else:
        _still(found, "pause")


def _still(found: dict[str, Any], wish: str) -> None:
    """The engine was told and is not done yet."""
    screen.output().print(
        f"run {found['id']}: its engine was asked to {wish} it and has steps to finish first; "
        f"`laneway runs watch {found['id']}` follows it",
        soft_wrap=True,
    )


async def _asked(given: str | None, run: str, wish: str, *, wait: bool) -> dict[str, Any]:
    """Have a run cancelled or paused, and wait a little for it to be so."""
    async with opened(given) as found:
        wanted = await full_id(found, run)
        before = await _status(found, wanted)
    if before in ENDED:
        return {"id": wanted, "before": before, "status": before}
    async with Engine(store_url(given), grace=0) as engine:
        await (engine.cancel(wanted) if wish == "cancel" else engine.pause(wanted))
        settled = ENDED if wish == "cancel" else ENDED | {"paused"}
        with suppress(TimeoutError):
            async with asyncio.timeout(_SETTLE_SECONDS if wait else 0):
                while await _status(engine.store, wanted) not in settled:  # noqa: ASYNC110 - a file sends no events
                    await asyncio.sleep(_POLL_SECONDS)
        return {"id": wanted, "before": before, "status": await _status(engine.store, wanted)}


async def _status(store: Store, run: str) -> str:
    return str((await store.read("run", run=run))[0]["status"])


@click.command("signal")
@click.argument("run", shell_complete=complete_runs(UNFINISHED))
@click.argument("name")
@click.argument("value", required=False, metavar="[JSON]")
@store_option
@json_option
@debug_option
def signal(run: str, name: str, value: str | None, store: str | None, as_json: bool) -> None:
    """Send a run the signal NAME with a value: JSON if it is, else text; null without one.

    Steps that wait for it get it, and those that will. It stays with the run.
    """
    if not name:
        raise SettingInvalid(setting="NAME", value=name, reason="it is empty", advice="Name the signal.")
    sent = None if value is None else value_from(value)
    found = asyncio.run(_signalled(store, run, name, sent))
    if found["standing"] == "ended":
        raise RunOver(run=found["id"], status=found["status"])
    if as_json:
        screen.print_json(found)
    elif found["standing"] == "driven":
        screen.output().print(f"run {found['id']}: its engine has the signal {name!r}", soft_wrap=True)
    else:
        screen.output().print(
            f"run {found['id']}: the signal {name!r} is kept with it. No program drives it now: an engine that was "
            f"given its workflow goes on with it, or `laneway runs resume {found['id']}`",
            soft_wrap=True,
        )


async def _signalled(given: str | None, run: str, name: str, value: Any) -> dict[str, Any]:
    async with opened(given) as store:
        wanted = await full_id(store, run)
        standing = await store.ask(wanted, "signal", name=name, value=msgspec.json.encode(value))
        return {"id": wanted, "signal": name, "standing": standing, "status": await _status(store, wanted)}


# ---- driving it here


@click.command("resume")
@click.argument("run", shell_complete=complete_runs(UNFINISHED))
@click.argument("target", required=False)
@click.option("--force", is_flag=True, help="Go on although tasks that the run still needs were changed.")
@store_option
@json_option
@debug_option
@click.pass_context
def resume(
    ctx: click.Context, run: str, target: str | None, force: bool, store: str | None, as_json: bool
) -> None:
    """Go on with an unfinished run in this program: paused, suspended, or left by a program that ended.

    Finished steps are kept. TARGET is its code, by default from where it was when the run started.
    """

    async def begin(engine: Engine, found: str, code: Target) -> RunHandle:
        return await taken_up(engine, found, code, force=force)

    kept = screen.keep_stdout_for_result() if as_json else None
    wanted = Wanted("resume", run, target, store, of_ended=False)
    finish(ctx, asyncio.run(went_on(wanted, begin)), store, kept)


@click.command("retry")
@click.argument("run", shell_complete=complete_runs())
@click.argument("target", required=False)
@click.option(
    "--failed",
    "only",
    flag_value="failed",
    default=True,
    help="What did not succeed, and what comes after it.",
)
@click.option("--all", "only", flag_value="all", help="Every step, whatever became of it.")
@_set_option
@store_option
@json_option
@debug_option
@click.pass_context
def retry(
    ctx: click.Context,
    run: str,
    target: str | None,
    only: str,
    changes: tuple[str, ...],
    store: str | None,
    as_json: bool,
) -> None:
    """Run a finished run's steps again, as the same run: those that failed, or all.

    TARGET is its code, by default from where it was when the run started, as it is now.
    """
    context = context_from(changes, None, option="--set") or None

    async def begin(engine: Engine, found: str, code: Target) -> RunHandle:
        return await engine.retry(found, code, only="all" if only == "all" else "failed", context=context)

    kept = screen.keep_stdout_for_result() if as_json else None
    wanted = Wanted("retry", run, target, store, of_ended=True)
    finish(ctx, asyncio.run(went_on(wanted, begin)), store, kept)


@click.command("fork")
@click.argument("run", shell_complete=complete_runs())
@click.argument("target", required=False)
@click.option(
    "--from",
    "from_step",
    required=True,
    metavar="TASK",
    shell_complete=complete_tasks,
    help="The first task to run anew; what comes after it runs anew too.",
)
@_set_option
@click.option("--key", help="Idempotency key of the new run.")
@store_option
@json_option
@debug_option
@click.pass_context
def fork(
    ctx: click.Context,
    run: str,
    target: str | None,
    from_step: str,
    changes: tuple[str, ...],
    key: str | None,
    store: str | None,
    as_json: bool,
) -> None:
    """Start a new run with a run's results, all but those of TASK and what comes after it. The run itself stays."""
    context = context_from(changes, None, option="--set") or None

    async def begin(engine: Engine, found: str, code: Target) -> RunHandle:
        return await engine.fork(found, code, from_step=from_step, context=context, key=key)

    kept = screen.keep_stdout_for_result() if as_json else None
    wanted = Wanted("fork", run, target, store, of_ended=True)
    finish(ctx, asyncio.run(went_on(wanted, begin)), store, kept)
