"""`laneway trigger`: what starts workflows other than time, to add, look at, pause and remove."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import rich_click as click

from laneway._core.errors import SettingInvalid
from laneway._core.jobs import FIELD_TYPES
from laneway.app import Engine
from laneway.cli import _screen as screen
from laneway.cli._errors import SUCCEEDED
from laneway.cli._options import context_from, debug_option, json_option, store_option, store_url
from laneway.cli._scheduling import scheduler_of, scheduler_on
from laneway.cli._stores import is_missing, opened
from laneway.cli._trigger_view import plain, print_trigger, print_triggers, runs_of, tell
from laneway.engine.target import Target
from laneway.engine.trigger_actions import ENDS
from laneway.engine.trigger_records import Trigger
from laneway.engine.triggers import Triggers
from laneway.registry import store_from

__all__ = ["trigger_group"]

_NEEDS = {
    "on": "follows",
    "pattern": "files",
    "fields": "http",
    "key": "http",
    "secret": "http",
    "signature": "http",
}
"""Options that belong to one kind of trigger."""


@click.group("trigger")
def trigger_group() -> None:
    """What starts workflows other than time: a run that ends, a file that appears, an HTTP call.

    Triggers are kept in the store. Whoever schedules on the store acts on them: `laneway schedule start`,
    `laneway serve` (which alone takes HTTP calls), or a program of yours.
    """


@trigger_group.command("add")
@click.argument("name")
@click.argument("target")
@click.option("--follows", metavar="WORKFLOW", help="Start when a run of the workflow of this name ends.")
@click.option(
    "--on",
    type=click.Choice(list(ENDS.values())),
    multiple=True,
    help="With --follows: which ends. Repeatable. Default: succeeded.",
)
@click.option(
    "--files", metavar="FOLDER", help="Start when a file or folder appears there, or is written anew."
)
@click.option("--pattern", metavar="GLOB", help="With --files: only names such as '*.csv'.")
@click.option("--http", is_flag=True, help="Start when POST /triggers/NAME is called on `laneway serve`.")
@click.option(
    "--field",
    "fields",
    metavar="NAME=TYPE",
    multiple=True,
    help=f"With --http: what the body may hold: {', '.join(FIELD_TYPES)}; with ? it may be missing. Repeatable.",
)
@click.option("--key", metavar="FIELD", help="With --http: the field that tells one call from another.")
@click.option("--secret", metavar="NAME", help="With --http: the server's secret that callers must know.")
@click.option("--signature", metavar="HEADER", help="With --http: where callers send the body's signature.")
@click.option(
    "-c",
    "pairs",
    metavar="KEY=VALUE",
    multiple=True,
    help="A parameter; {run}, {status} and {context} are the run's that ended, {path} the file's, {body} the call's.",
)
@click.option("--context", metavar="JSON", help="Parameters as a JSON object; @FILE or - reads it.")
@store_option
@json_option
@debug_option
def add(
    name: str,
    target: str,
    store: str | None,
    as_json: bool,
    pairs: tuple[str, ...],
    context: str | None,
    **options: Any,
) -> None:
    """Add a trigger, or bring it up to date.

    TARGET is what `laneway run` takes. Those of a package's laneway.toml are added by `laneway schedule add PACKAGE`.
    """
    kinds = [one for one in ("follows", "files", "http") if options[one]]
    if len(kinds) != 1:
        raise click.UsageError("Give exactly one of --follows, --files and --http.")
    foreign = [one for one, kind in _NEEDS.items() if options[one] and kind != kinds[0]]
    if foreign:
        option = "field" if foreign[0] == "fields" else foreign[0]
        raise click.UsageError(f"--{option} goes with --{_NEEDS[foreign[0]]} only.")
    parameters = context_from(pairs, context)
    trigger, runs = asyncio.run(_added(store, name, target, parameters, kinds[0], options))
    tell(trigger, runs, as_json=as_json)
    if as_json:
        return
    who = (
        "`laneway serve`"
        if trigger.kind == "http"
        else "`laneway schedule start`, `laneway serve` or a program"
    )
    screen.errors().print(f"whoever schedules on this store acts on it: {who}", soft_wrap=True)
    if trigger.kind == "files" and not Path(trigger.folder).is_dir():
        screen.errors().print(
            f"{trigger.folder} is not there yet; it is looked for every five seconds", soft_wrap=True
        )


async def _added(
    store: str | None,
    name: str,
    target: str,
    parameters: dict[str, Any],
    kind: str,
    options: Mapping[str, Any],
) -> tuple[Trigger, list[dict[str, Any]]]:
    async with Engine(store_url(store), grace=0) as engine:
        found = await engine.load(target)
        made = await _add(engine.scheduler.triggers, name, found, parameters, kind, options)
        return made, await runs_of(engine.store, made, limit=1)


async def _add(
    triggers: Triggers,
    name: str,
    found: Target,
    parameters: dict[str, Any],
    kind: str,
    options: Mapping[str, Any],
) -> Trigger:
    if kind == "follows":
        on = options["on"] or ("succeeded",)
        return await triggers.after(name, found, follows=options["follows"], on=on, parameters=parameters)
    if kind == "files":
        pattern = options["pattern"] or "*"
        return await triggers.on_files(name, found, options["files"], pattern=pattern, parameters=parameters)
    return await triggers.on_http(
        name,
        found,
        fields=_fields(options["fields"]),
        key=options["key"] or "",
        parameters=parameters,
        secret=options["secret"] or "",
        signature=options["signature"] or "",
    )


def _fields(pairs: tuple[str, ...]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for pair in pairs:
        name, separator, kind = pair.partition("=")
        if not separator or not name:
            advice = f"Write --field {name or 'order'}=integer."
            raise SettingInvalid(setting="--field", value=pair, reason="it is not NAME=TYPE", advice=advice)
        fields[name] = kind
    return fields


@trigger_group.command("list")
@store_option
@json_option
@debug_option
def list_triggers(store: str | None, as_json: bool) -> None:
    """List triggers: what starts them, and how the last run went."""
    url = store_url(store)
    missing = is_missing(store_from(url, durability="commit"))
    found: list[tuple[Trigger, list[dict[str, Any]]]] = [] if missing else asyncio.run(_listed(store))
    if as_json:
        screen.print_json([plain(trigger, runs) for trigger, runs in found])
    elif found:
        print_triggers(found)
    else:
        screen.errors().print(f"no triggers in {url}", soft_wrap=True)


async def _listed(store: str | None) -> list[tuple[Trigger, list[dict[str, Any]]]]:
    async with opened(store) as kept:
        found = await scheduler_on(kept).triggers.all()
        return [(one, await runs_of(kept, one, limit=1)) for one in found]


@trigger_group.command("show")
@click.argument("name")
@click.option("--limit", type=click.IntRange(min=1), default=10, show_default=True, help="How many runs.")
@store_option
@json_option
@debug_option
def show(name: str, limit: int, store: str | None, as_json: bool) -> None:
    """Show all about a trigger, and the runs that it started."""

    async def look() -> tuple[Trigger, list[dict[str, Any]]]:
        async with opened(store) as kept:
            found = await scheduler_on(kept).triggers.trigger(name)
            return found, await runs_of(kept, found, limit=limit)

    trigger, runs = asyncio.run(look())
    if as_json:
        screen.print_json({**plain(trigger, runs), "runs": runs})
    else:
        print_trigger(trigger, runs)


@trigger_group.command("pause")
@click.argument("name")
@store_option
@json_option
@debug_option
def pause(name: str, store: str | None, as_json: bool) -> None:
    """Start nothing because of a trigger until it is resumed."""

    async def act() -> tuple[Trigger, list[dict[str, Any]]]:
        async with opened(store) as kept:
            found = await scheduler_on(kept).triggers.pause(name)
            return found, await runs_of(kept, found, limit=1)

    tell(*asyncio.run(act()), as_json=as_json)


@trigger_group.command("resume")
@click.argument("name")
@store_option
@json_option
@debug_option
def resume(name: str, store: str | None, as_json: bool) -> None:
    """Go on with a paused trigger, from now on."""

    async def act() -> tuple[Trigger, list[dict[str, Any]]]:
        async with opened(store) as kept:
            found = await scheduler_on(kept).triggers.resume(name)
            return found, await runs_of(kept, found, limit=1)

    tell(*asyncio.run(act()), as_json=as_json)


@trigger_group.command("remove")
@click.argument("name")
@store_option
@debug_option
@click.pass_context
def remove(ctx: click.Context, name: str, store: str | None) -> None:
    """Forget a trigger. The runs that it started stay."""

    async def act() -> None:
        async with scheduler_of(store) as scheduler:
            await scheduler.triggers.remove(name)

    asyncio.run(act())
    screen.output().print(f"trigger {name}: removed", soft_wrap=True)
    ctx.exit(SUCCEEDED)
