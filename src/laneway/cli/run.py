"""`laneway run`: one workflow to its end, shown while it runs, stopped and gone on with when the user says so."""

import asyncio
import shlex
import sys
from collections.abc import Sequence
from typing import Any

import msgspec
import rich_click as click
from rich.text import Text

from laneway.app import Engine
from laneway.cli import _screen as screen
from laneway.cli._display import display_for
from laneway.cli._errors import CANCELLED, status_of
from laneway.cli._execution import Ended, Told, begin, drive, kept_items
from laneway.cli._interrupts import Interrupts
from laneway.cli._options import context_from, debug_option, json_option, store_option, store_url, tags_from
from laneway.cli._stores import full_id
from laneway.cli._times import time_from
from laneway.engine.results import RunResult
from laneway.settings import settings_from
from laneway.targets import find_target

__all__ = [
    "command_line",
    "count_of",
    "run",
    "say_how_to_go_on",
    "show_context",
    "show_ended",
    "show_failure",
]


@click.command()
@click.argument("target")
@click.option(
    "-c",
    "pairs",
    multiple=True,
    metavar="KEY=VALUE",
    help="Set one key of the context: JSON if it is, else text.",
)
@click.option(
    "--context",
    "document",
    metavar="JSON|@FILE|-",
    help="The context as a JSON object; - reads standard input.",
)
@click.option("--key", help="Idempotency key: a finished run of this key is shown, not run again.")
@click.option("--resume", metavar="RUN", help="Go on with this unfinished run.")
@click.option("--force", is_flag=True, help="With --resume: go on although tasks it needs were changed.")
@click.option(
    "--new", is_flag=True, help="Start afresh, even if a run of this target and context is unfinished."
)
@store_option
@click.option(
    "--durability", type=click.Choice(["commit", "fsync", "exit"]), help="What committed steps survive."
)
@click.option("--tag", "tags", multiple=True, metavar="NAME=VALUE", help="Texts to find the run by.")
@click.option("--priority", type=int, default=0, help="Higher goes first wherever runs and steps wait.")
@click.option(
    "--deadline", metavar="WHEN", help="When the run is stopped and fails: 2h from now on, or a moment."
)
@click.option("--workers", type=click.IntRange(min=1), help="Workers per package on isolated lanes.")
@json_option
@debug_option
@click.pass_context
def run(ctx: click.Context, /, as_json: bool, **options: Any) -> None:
    """Run a workflow to its end.

    TARGET is module:workflow, file.py:workflow, a package folder or a .lane file, with #workflow where it has several.

    The same command goes on with a run that was stopped or killed. Exit status: 0 succeeded, 1 failed, 2 usage,
    3 cancelled, 4 suspended.
    """
    if options["force"] and not options["resume"]:
        raise click.UsageError("--force goes with --resume RUN: it goes on although tasks were changed.")
    for option in ("key", "new"):
        if options["resume"] and options[option]:
            raise click.UsageError(
                f"--resume goes on with a run, --{option} is for others: give one of them."
            )
    context = context_from(options["pairs"], options["document"])
    kept = screen.keep_stdout_for_result() if as_json else None
    ended = asyncio.run(_run(options, context))
    if ended is None:
        screen.errors().print("stopped before the run began")
        ctx.exit(CANCELLED)
    if kept is not None:
        screen.print_json(ended.result.as_json(), to=kept)
    else:
        show_ended(ended)
    if ended.result.status == "interrupted":
        say_how_to_go_on(command_line(), ended.result, is_kept=store_url(options["store"]) != "memory://")
    ctx.exit(status_of(ended.result.status))


async def _run(options: dict[str, Any], context: dict[str, Any]) -> Ended | None:
    """The run's end; None if the user stopped the program before the run began."""
    with Interrupts() as interrupts:
        return await interrupts.unless_asked(_within(options, context, interrupts))


async def _within(options: dict[str, Any], context: dict[str, Any], interrupts: Interrupts) -> Ended:
    grace = settings_from().grace
    url = store_url(options["store"])
    async with Engine(
        url, durability=options["durability"], workers=options["workers"], grace=grace
    ) as engine:
        display = display_for(engine.lanes)
        target = await find_target(options["target"], engine.fleet)
        resume = None if options["resume"] is None else await full_id(engine.store, options["resume"])
        told = Told(engine)
        handle = await begin(
            engine,
            target,
            context,
            key=options["key"],
            resume=resume,
            new=options["new"],
            say=display.note,
            force=options["force"],
            tags=tags_from(options["tags"]),
            priority=options["priority"],
            deadline=None if options["deadline"] is None else time_from("--deadline", options["deadline"]),
        )
        driver = handle.driver
        if driver is None:
            display.note(f"run {handle.id} is over already; this is its result")
        elif not handle.is_new:
            kept = kept_items(driver)
            display.note(f"kept {kept} finished step{'s' if kept != 1 else ''}")
        interrupts.handled = True
        title = f"{target.workflow.name}  run {handle.id}"
        return await drive(
            engine, target, handle, told, display=display, title=title, interrupts=interrupts, grace=grace
        )


def show_ended(ended: Ended) -> None:
    """The result for people: one line, then the context or the failure."""
    result = ended.result
    steps = count_of(result)
    count = f"{steps} step{'s' if steps != 1 else ''}"
    took = screen.seconds(ended.seconds)
    if result.status == "interrupted":
        return
    if result.status == "failed":
        show_failure(result)
        return
    console = screen.output()
    line = Text.assemble("run ", result.id, " ", screen.status_text(result.status), f": {count} in {took}")
    console.print(line, soft_wrap=True)
    if result.status == "succeeded":
        show_context(result.context)


def show_context(context: dict[str, Any]) -> None:
    """One line per key; on a terminal long values are cut."""
    console = screen.output()
    for key, value in context.items():
        text = screen.without_controls(msgspec.json.encode(value).decode())
        if console.is_terminal:
            line = Text.assemble((f"  {key}", "bold"), " = ", text)
            if len(line) > 3 * console.width:
                line = line[: 3 * console.width - 40] + Text(
                    f" … {len(text)} characters", style="bright_black"
                )
            console.print(line, soft_wrap=True)
        else:
            print(f"  {key} = {text}")


def show_failure(result: RunResult) -> None:
    """On standard error: which task, what it said, and the traceback from where it ran."""
    console = screen.errors()
    error: dict[str, Any] = result.error or {}
    task = error.get("task", "?")
    where = task if error.get("key") is None else f"{task}[{error['key']}]"
    kind = error.get("kind", "other")
    console.print(
        Text.assemble(
            "run ", result.id, " ", ("failed", "bold red"), " at task ", (where, "bold"), f" ({kind})"
        ),
        soft_wrap=True,
    )
    message = error.get("message", "")
    named = f"{error['type']}: {message}" if error.get("type") else message
    console.print(Text(screen.without_controls(named)), soft_wrap=True)
    if error.get("traceback"):
        console.print()
        console.print(Text(screen.without_controls(error["traceback"].rstrip())), soft_wrap=True)


def say_how_to_go_on(command: Sequence[str], result: RunResult, *, is_kept: bool) -> None:
    """After a stop: what was kept, and the exact command that goes on."""
    done = count_of(result, "succeeded")
    steps = f"{done} step{'s' if done != 1 else ''}"
    console = screen.errors()
    if not is_kept:
        screen.say(console, f"stopped after {steps}; the store memory:// keeps nothing")
        return
    screen.say(console, f"stopped: {steps} finished and kept. Go on with:")
    console.print(f"  {shlex.join(command)}", soft_wrap=True)


def count_of(result: RunResult, status: str | None = None) -> int:
    """How many steps the run has, or has with that status; a mapped task counts by its items."""
    mapped = {one.task for one in result.steps if one.key is not None}
    steps = [one for one in result.steps if one.key is not None or one.task not in mapped]
    return sum(1 for one in steps if status is None or one.status == status)


def command_line() -> list[str]:
    """The command as the user typed it, so that it can be typed again."""
    return ["laneway", *(one for one in sys.argv[1:] if one != "--new")]
