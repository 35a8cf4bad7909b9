"""`laneway schedule`: recurring jobs of a store, to add, look at, pause, run, backfill and remove."""

import asyncio
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import rich_click as click
from rich.text import Text

from laneway._core.errors import SettingInvalid
from laneway._core.jobs import Firing, Job, JobState
from laneway.app import Engine
from laneway.cli import _screen as screen
from laneway.cli._errors import SUCCEEDED
from laneway.cli._interrupts import Interrupts
from laneway.cli._options import context_from, debug_option, json_option, store_option, store_url
from laneway.cli._schedule_view import next_text, plain, show, tell, times_text, zone_of
from laneway.cli._scheduling import scheduler_of
from laneway.cli._stores import is_missing
from laneway.cli._trigger_view import tell as tell_trigger
from laneway.engine.trigger_records import Trigger
from laneway.packages._tables import DURATION, duration_seconds
from laneway.packages.schedules import triggers_in
from laneway.registry import store_from

__all__ = ["schedule_group"]


@click.group("schedule")
def schedule_group() -> None:
    """Recurring jobs: workflows that start by themselves when they are due.

    Jobs are kept in the store. Whatever engine of the store has a scheduler runs them:
    `laneway schedule start`, or a program of yours.
    """


@schedule_group.command("add")
@click.argument("name")
@click.argument("target", required=False)
@click.option("--cron", help="Five cron fields, such as '0 3 * * mon-fri'.")
@click.option("--every", metavar="DURATION", help="Time between two starts, such as 90s or 1h30m.")
@click.option("--at", metavar="MOMENT", help="One moment, such as 2027-01-31T08:00:00+01:00.")
@click.option("--timezone", default="UTC", show_default=True, help="Where --cron and --at count.")
@click.option("-c", "pairs", metavar="KEY=VALUE", multiple=True, help="A parameter; {due} is the due moment.")
@click.option("--context", metavar="JSON", help="Parameters as a JSON object; @FILE or - reads it.")
@click.option("--misfire", type=click.Choice(["skip", "once", "all"]), default="once", show_default=True)
@click.option("--misfire-limit", type=click.IntRange(min=1), default=100, show_default=True)
@click.option("--jitter", metavar="DURATION", help="Delay starts by up to this.")
@click.option(
    "--timeout", metavar="DURATION", default="1h", show_default=True, help="Cancel runs after this."
)
@click.option(
    "--priority", type=int, default=0, show_default=True, help="Its runs' priority: higher goes first."
)
@click.option("--overlap", is_flag=True, help="Start although the last run goes on.")
@click.option("--parallel-safe", is_flag=True, help="May run together with others due at the same moment.")
@click.option("--paused", is_flag=True, help="Add it paused.")
@store_option
@json_option
@debug_option
def add(
    name: str,
    target: str | None,
    store: str | None,
    as_json: bool,
    pairs: tuple[str, ...],
    context: str | None,
    **options: Any,
) -> None:
    """Add a job, or bring it up to date.

    NAME TARGET adds one job; TARGET is what `laneway run` takes. A package folder or `.lane` file alone adds the
    schedules and triggers of its laneway.toml.
    """
    times = [options[one] for one in ("cron", "every", "at") if options[one] is not None]
    if target is None and not times and Path(name).exists():
        states, triggers = asyncio.run(_add_package(store, name))
    else:
        triggers = []
        if target is None or len(times) != 1:
            advice = (
                "Give NAME, TARGET and exactly one of --cron, --every and --at, or a package's folder alone."
            )
            raise click.UsageError(advice)
        options["every"] = _duration("--every", options["every"])
        options["jitter"] = _duration("--jitter", options["jitter"]) or 0.0
        options["timeout"] = _duration("--timeout", options["timeout"])
        options["at"] = None if options["at"] is None else _moment("--at", options["at"], options["timezone"])
        states = [asyncio.run(_add(store, name, target, context_from(pairs, context), options))]
    if as_json:
        screen.print_json([plain(one) for one in states])
        return
    for state in states:
        screen.output().print(f"job {state.job.name}: {next_text(state)}", soft_wrap=True)
    for trigger in triggers:
        tell_trigger(trigger, [], as_json=False)
    _tell_who("runs them")


async def _add(
    store: str | None, name: str, target: str, parameters: dict[str, Any], options: dict[str, Any]
) -> JobState:
    async with Engine(store_url(store), grace=0) as engine:
        found = await engine.load(target)
        return await engine.scheduler.add(name, found, parameters, origin="command", **options)


async def _add_package(store: str | None, path: str) -> tuple[list[JobState], list[Trigger]]:
    async with Engine(store_url(store), grace=0) as engine:
        states = await engine.schedule_package(path)
        names = {name for name, *_ in triggers_in(path)}
        return states, [one for one in await engine.scheduler.triggers.all() if one.name in names]


@schedule_group.command("list")
@store_option
@json_option
@debug_option
def list_jobs(store: str | None, as_json: bool) -> None:
    """List jobs with their times, when they are next due and how the last run went."""
    url = store_url(store)
    missing = is_missing(store_from(url, durability="commit"))
    states: list[JobState] = [] if missing else asyncio.run(_listed(store))
    if as_json:
        screen.print_json([plain(one) for one in states])
        return
    if not states:
        screen.errors().print(f"no jobs in {url}", soft_wrap=True)
        return
    rows: list[list[str | Text]] = [
        [
            one.job.name,
            times_text(one.job),
            next_text(one),
            screen.status_text(one.last_status or ""),
            one.job.target,
        ]
        for one in states
    ]
    screen.print_table(["job", "times", "next", "last", "target"], rows)


async def _listed(store: str | None) -> list[JobState]:
    async with scheduler_of(store) as scheduler:
        return await scheduler.jobs()


@schedule_group.command("next")
@click.argument("name")
@click.option("--count", type=click.IntRange(min=1, max=1000), default=5, show_default=True)
@store_option
@json_option
@debug_option
def next_moments(name: str, count: int, store: str | None, as_json: bool) -> None:
    """Show when a job is due next, in its time zone."""
    moments, job = asyncio.run(_next(store, name, count))
    shown = [one.astimezone(zone_of(job.timezone)).isoformat() for one in moments]
    if as_json:
        screen.print_json(shown)
        return
    if not shown:
        screen.errors().print(f"job {name}: nothing is due, it is paused or over", soft_wrap=True)
    for line in shown:
        screen.output().print(line)


async def _next(store: str | None, name: str, count: int) -> tuple[list[datetime], Job]:
    async with scheduler_of(store) as scheduler:
        return await scheduler.next(name, count), (await scheduler.job(name)).job


@schedule_group.command("history")
@click.argument("name", required=False)
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True)
@store_option
@json_option
@debug_option
def history(name: str | None, limit: int, store: str | None, as_json: bool) -> None:
    """Show the latest due moments and what became of them."""

    async def look() -> list[Firing]:
        async with scheduler_of(store) as scheduler:
            if name is not None:
                await scheduler.job(name)
            return await scheduler.history(name, limit=limit)

    show(asyncio.run(look()), as_json=as_json)


@schedule_group.command("pause")
@click.argument("name")
@store_option
@json_option
@debug_option
def pause(name: str, store: str | None, as_json: bool) -> None:
    """Start nothing of a job until it is resumed."""

    async def act() -> JobState:
        async with scheduler_of(store) as scheduler:
            return await scheduler.pause(name)

    tell(asyncio.run(act()), as_json=as_json)


@schedule_group.command("resume")
@click.argument("name")
@store_option
@json_option
@debug_option
def resume(name: str, store: str | None, as_json: bool) -> None:
    """Go on with a paused job, from now on."""

    async def act() -> JobState:
        async with scheduler_of(store) as scheduler:
            return await scheduler.resume(name)

    tell(asyncio.run(act()), as_json=as_json)


@schedule_group.command("run")
@click.argument("name")
@store_option
@json_option
@debug_option
def run(name: str, store: str | None, as_json: bool) -> None:
    """Put a job into the line now; the store's scheduler runs it."""

    async def act() -> Firing:
        async with scheduler_of(store) as scheduler:
            return await scheduler.run_now(name)

    _show_owed([asyncio.run(act())], as_json=as_json)


@schedule_group.command("backfill")
@click.argument("name")
@click.option(
    "--from",
    "start",
    required=True,
    metavar="MOMENT",
    help="The first moment, such as 2027-01-01; without an offset in the job's time zone.",
)
@click.option("--to", "end", required=True, metavar="MOMENT", help="The last moment.")
@store_option
@json_option
@debug_option
def backfill(name: str, start: str, end: str, store: str | None, as_json: bool) -> None:
    """Put the due moments of a range into the line, each unless it was run already."""

    async def act() -> list[Firing]:
        async with scheduler_of(store) as scheduler:
            zone = (await scheduler.job(name)).job.timezone
            return await scheduler.backfill(name, _moment("--from", start, zone), _moment("--to", end, zone))

    _show_owed(asyncio.run(act()), as_json=as_json)


def _show_owed(firings: list[Firing], *, as_json: bool) -> None:
    show(firings, as_json=as_json)
    if firings and not as_json:
        _tell_who("runs it")


def _tell_who(what: str) -> None:
    screen.errors().print(
        f"whoever schedules on this store {what}: `laneway schedule start`, `laneway serve` or a program",
        soft_wrap=True,
    )


@schedule_group.command("remove")
@click.argument("name")
@store_option
@debug_option
@click.pass_context
def remove(ctx: click.Context, name: str, store: str | None) -> None:
    """Forget a job and its history."""

    async def act() -> None:
        async with scheduler_of(store) as scheduler:
            await scheduler.remove(name)

    asyncio.run(act())
    screen.output().print(f"job {name}: removed", soft_wrap=True)
    ctx.exit(SUCCEEDED)


@schedule_group.command("start")
@store_option
@debug_option
def start(store: str | None) -> None:
    """Run the store's jobs when they are due and act on its triggers, until Ctrl-C or SIGTERM.

    Running jobs get the grace period.
    """
    asyncio.run(_serve(store))


async def _serve(store: str | None) -> None:
    with Interrupts() as interrupts:
        async with Engine(store_url(store)) as engine:
            scheduler = engine.scheduler
            await scheduler.start()
            jobs, triggers = await scheduler.jobs(), await scheduler.triggers.all()
            leads = await interrupts.unless_asked(scheduler.decided())
            if leads is None:
                return
            doing = "scheduling" if leads else "another program schedules; standing by for"
            what = f"{len(jobs)} job(s) and {len(triggers)} trigger(s) of {store_url(store)}"
            screen.errors().print(f"{doing} {what}; Ctrl-C ends it", soft_wrap=True)
            await interrupts.asked.wait()
            grace = screen.seconds(engine.grace)
            screen.errors().print(f"stopping; what runs has {grace} to end, Ctrl-C again ends it at once")


# ---- reading


def _duration(option: str, text: str | None) -> float | None:
    if text is None or text == "none":
        return None
    if not re.fullmatch(DURATION, text):
        raise SettingInvalid(
            setting=option, value=text, reason="it is no duration", advice="Write 90s, 15m or 1h30m."
        )
    return duration_seconds(text)


def _moment(option: str, text: str, timezone: str) -> datetime:
    """A moment; without an offset it counts in the time zone."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise SettingInvalid(
            setting=option, value=text, reason="it is no moment", advice="Write 2027-01-31T08:00:00+01:00."
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=zone_of(timezone))
