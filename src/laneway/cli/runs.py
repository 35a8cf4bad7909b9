"""`laneway runs`: list, show, watch and cancel runs."""

import asyncio
import time
from contextlib import suppress
from typing import Any

import rich_click as click
from rich.text import Text

from laneway._core.records import ENDED
from laneway.app import Engine
from laneway.cli import _screen as screen
from laneway.cli._errors import SUCCEEDED, status_of
from laneway.cli._options import debug_option, json_option, store_option, store_url
from laneway.cli._run_view import as_shown, show_run
from laneway.cli._stores import full_id, is_missing, opened
from laneway.engine.handle import stored_result
from laneway.engine.surroundings import Surroundings
from laneway.ports import Store
from laneway.registry import store_from

__all__ = ["runs"]

_STATUSES = ("running", "succeeded", "failed", "cancelled", "suspended")
_POLL_SECONDS = 0.25
_SETTLE_SECONDS = 10.0


@click.group()
def runs() -> None:
    """List, show, watch and cancel runs.

    RUN is an id, the beginning of one that no other run shares, or `latest`.
    """


@runs.command("list")
@click.option("--workflow", help="Only runs of this workflow.")
@click.option("--status", type=click.Choice(_STATUSES), help="Only runs with this status.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many, newest first."
)
@store_option
@json_option
@debug_option
def list_runs(workflow: str | None, status: str | None, limit: int, store: str | None, as_json: bool) -> None:
    """List runs, newest first."""
    url = store_url(store)
    rows: list[dict[str, Any]] = []
    if not is_missing(store_from(url, durability="commit")):
        rows = asyncio.run(_listed(store, workflow, status, limit))
    if as_json:
        screen.print_json(rows)
        return
    if not rows:
        screen.errors().print(f"no runs in {url}", soft_wrap=True)
        return
    now = time.time()
    screen.print_table(
        ["run", "workflow", "status", "began", "took", "error"],
        [
            [
                row["id"],
                row["workflow"],
                screen.status_text(row["status"]),
                screen.ago(now - row["created"]),
                screen.seconds(row["ended"] - row["created"]) if row["ended"] else "",
                _error(row["error"]),
            ]
            for row in rows
        ],
        right=["took"],
    )


async def _listed(
    store: str | None, workflow: str | None, status: str | None, limit: int
) -> list[dict[str, Any]]:
    async with opened(store) as found:
        rows = await found.read("runs", workflow=workflow, status=status, limit=limit)
    hidden = ("context", "final")
    return [{key: value for key, value in row.items() if key not in hidden} for row in rows]


def _error(error: dict[str, Any] | None) -> str:
    if error is None:
        return ""
    text = f"{error.get('task', '')}: {error.get('message', '')}".replace("\n", " ")
    return screen.without_controls(text if len(text) <= 60 else text[:59] + "…")


@runs.command("show")
@click.argument("run")
@click.option("--steps", "all_steps", is_flag=True, help="List every item of mapped tasks.")
@store_option
@json_option
@debug_option
def show(run: str, all_steps: bool, store: str | None, as_json: bool) -> None:
    """Show a run: its steps in time, attempts, errors with tracebacks, context before and after."""
    record, result = asyncio.run(_found(store, run))
    if as_json:
        screen.print_json(as_shown(record, result))
        return
    show_run(record, result, all_steps=all_steps)


async def _found(store: str | None, run: str) -> tuple[dict[str, Any], Any]:
    async with opened(store) as found:
        wanted = await full_id(found, run)
        record = (await found.read("run", run=wanted))[0]
        return record, await stored_result(Surroundings(found, {}), wanted)


@runs.command("watch")
@click.argument("run")
@store_option
@debug_option
@click.pass_context
def watch(ctx: click.Context, run: str, store: str | None) -> None:
    """Follow a run, whoever drives it, until it ends; leave with its exit status. Ctrl-C only ends the watching."""
    ctx.exit(status_of(asyncio.run(_watched(store, run))))


async def _watched(store: str | None, run: str) -> str:
    """Print events as they come; the run's final status."""
    console = screen.output()
    async with opened(store) as found:
        wanted = await full_id(found, run)
        cursor = 0
        while True:
            status = str((await found.read("run", run=wanted))[0]["status"])
            answers = await found.read("events", run=wanted, after=cursor, limit=1000)
            for answer in answers:
                event = answer["event"]
                cursor = event.seq
                console.print(_event_line(event), soft_wrap=True)
            if not answers and status in ENDED:
                return status
            if not answers:
                await asyncio.sleep(_POLL_SECONDS)


def _event_line(event: Any) -> Text:
    what, _, verb = event.kind.partition("_")
    moment = time.strftime("%H:%M:%S", time.localtime(event.at))
    name = "run" if what == "run" else event.task if event.item is None else f"{event.task}[{event.item}]"
    error: dict[str, Any] = event.data.get("error") or {}
    more = f": {error.get('type', '')}: {error.get('message', '')}" if error else ""
    style = {"failed": "red", "succeeded": "green", "retrying": "yellow"}.get(verb, "")
    return Text.assemble(
        (f"{moment} ", "bright_black"), f"{name} ", (verb, style), screen.without_controls(more)
    )


@runs.command("cancel")
@click.argument("run")
@store_option
@debug_option
@click.pass_context
def cancel(ctx: click.Context, run: str, store: str | None) -> None:
    """Cancel a run, wherever it is driven."""
    status = asyncio.run(_cancelled(store, run))
    console = screen.output()
    if status == "cancelled":
        console.print(f"run {run}: cancelled")
    elif status in ENDED:
        console.print(f"run {run} had {status} already")
    else:
        console.print(f"run {run}: its engine was asked to cancel it")
    ctx.exit(SUCCEEDED)


async def _cancelled(store: str | None, run: str) -> str:
    async with opened(store) as found:
        wanted = await full_id(found, run)
        status = await _status(found, wanted)
        if status in ENDED:
            return status
    async with Engine(store_url(store), grace=0) as engine:
        await engine.cancel(wanted)
        with suppress(TimeoutError):
            async with asyncio.timeout(_SETTLE_SECONDS):
                return await _ended(engine.store, wanted)
        return await _status(engine.store, wanted)


async def _ended(store: Store, run: str) -> str:
    """The run's final status, once it has one."""
    while (status := await _status(store, run)) not in ENDED:  # noqa: ASYNC110 - a file sends no events
        await asyncio.sleep(_POLL_SECONDS)
    return status


async def _status(store: Store, run: str) -> str:
    return str((await store.read("run", run=run))[0]["status"])
