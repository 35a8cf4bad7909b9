"""`laneway runs`: list, show and watch runs; what can be done with them is in `run_controls`."""

import asyncio
import time
from importlib import import_module
from typing import Any

import rich_click as click

from laneway._core.errors import SettingInvalid
from laneway.cli import _screen as screen
from laneway.cli._completion import complete_runs, complete_workflows
from laneway.cli._errors import status_of
from laneway.cli._options import debug_option, json_option, store_option, store_url, tags_from
from laneway.cli._run_list import print_runs
from laneway.cli._run_view import as_shown, show_run
from laneway.cli._run_watch import watched
from laneway.cli._stores import full_id, is_missing, opened
from laneway.cli._times import time_from
from laneway.engine.handle import stored_result
from laneway.engine.standing import with_standing
from laneway.engine.surroundings import Surroundings
from laneway.registry import store_from
from laneway.settings import past_moment

__all__ = ["runs"]

_STATUSES = ("running", "suspended", "paused", "succeeded", "failed", "cancelled")


_CONTROLS = ("cancel", "pause", "resume", "retry", "fork", "signal")


class _Group(click.RichGroup):
    """Imports what drives runs only when a run is to be driven: looking is quicker without."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*super().list_commands(ctx), *_CONTROLS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _CONTROLS:
            return super().get_command(ctx, cmd_name)
        command: click.Command = getattr(import_module("laneway.cli.run_controls"), cmd_name)
        return command


@click.group(cls=_Group)
def runs() -> None:
    """List, show and watch runs; cancel, pause, resume, retry, fork and signal them.

    RUN is an id, the beginning of one that no other run shares, or `latest`.
    """


@runs.command("list")
@click.option("--workflow", shell_complete=complete_workflows, help="Only runs of this workflow.")
@click.option("--status", type=click.Choice(_STATUSES), help="Only runs with this status.")
@click.option("--key", help="Only the run with this idempotency key.")
@click.option(
    "--tag",
    "tags",
    multiple=True,
    metavar="NAME=VALUE",
    help="Only runs with this tag; several: with all of them.",
)
@click.option(
    "--search", metavar="TEXT", help="Only runs with TEXT in workflow, key, tags, context or error."
)
@click.option(
    "--since", metavar="WHEN", help="Only runs that began since then: an age such as 2h or 30d, or a moment."
)
@click.option("--parent", metavar="RUN", help="Only runs that this run started.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many, newest first."
)
@store_option
@json_option
@debug_option
def list_runs(
    store: str | None,
    as_json: bool,
    tags: tuple[str, ...],
    since: str | None,
    search: str | None,
    **matching: Any,
) -> None:
    """List runs, newest first. A run whose program died is told apart from one that is driven."""
    url = store_url(store)
    if search == "":
        raise SettingInvalid(setting="--search", value=search, reason="it is empty", advice="Give a text.")
    matching |= {"tags": tags_from(tags) or None, "search": search}
    if since is not None:
        matching["since"] = past_moment("--since", time_from("--since", since), time.time())
    rows: list[dict[str, Any]] = []
    if not is_missing(store_from(url, durability="commit")):
        rows = asyncio.run(_listed(store, matching))
    if as_json:
        screen.print_json(rows)
    elif rows:
        print_runs(rows)
    else:
        chosen = any(value for name, value in matching.items() if name != "limit")
        screen.errors().print(f"no {'such ' if chosen else ''}runs in {url}", soft_wrap=True)


async def _listed(store: str | None, matching: dict[str, Any]) -> list[dict[str, Any]]:
    async with opened(store) as found:
        if matching.get("parent") is not None:
            matching["parent"] = await full_id(found, matching["parent"])
        rows = await with_standing(found, await found.read("runs", **matching))
    hidden = ("context", "final")
    return [{key: value for key, value in row.items() if key not in hidden} for row in rows]


@runs.command("show")
@click.argument("run", shell_complete=complete_runs())
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
        record = (await with_standing(found, await found.read("run", run=wanted)))[0]
        return record, await stored_result(Surroundings(found, {}), wanted)


@runs.command("watch")
@click.argument("run", shell_complete=complete_runs())
@store_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line, for programs.")
@debug_option
@click.pass_context
def watch(ctx: click.Context, run: str, store: str | None, as_json: bool) -> None:
    """Follow a run, whoever drives it, until it ends; leave with its exit status. Ctrl-C only ends the watching."""
    ctx.exit(status_of(asyncio.run(watched(store, run, as_json=as_json))))
