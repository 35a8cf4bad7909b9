"""`laneway watch`: a package in development, loaded and run again in fresh workers whenever its files change."""

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import rich_click as click
from rich.text import Text

from laneway._core.errors import LanewayError, PackageUnreadable
from laneway.app import Engine
from laneway.cli import _screen as screen
from laneway.cli._errors import CANCELLED, report
from laneway.cli._interrupts import Interrupts
from laneway.cli._options import context_from, debug_option
from laneway.cli.run import show_context, show_failure
from laneway.engine.target import Target
from laneway.packages.watching import stamp_of, until_changed
from laneway.targets import find_target

__all__ = ["watch"]


@click.command()
@click.argument("target")
@click.option(
    "-c",
    "pairs",
    multiple=True,
    metavar="KEY=VALUE",
    help="Set one key of the context: JSON if it is, else text.",
)
@click.option("--context", "document", metavar="JSON|@FILE|-", help="The context as a JSON object.")
@click.option("--no-run", is_flag=True, help="Load the package and check its workflow; do not run it.")
@click.option(
    "--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Workers on isolated lanes."
)
@debug_option
@click.pass_context
def watch(
    ctx: click.Context, /, target: str, pairs: tuple[str, ...], document: str | None, **options: Any
) -> None:
    """Load and run a package again in fresh workers whenever its files change. Ctrl-C ends it.

    TARGET is a package folder, with #workflow where it has several. Nothing is kept: each run starts afresh.
    """
    folder = Path(target.rpartition("#")[0] or target).expanduser()
    if not folder.is_dir():
        advice = "Give the folder that holds laneway.toml"
        raise PackageUnreadable(package=target, reason="only a package folder can be watched", advice=advice)
    context = context_from(pairs, document)
    asyncio.run(_watch(target, folder, context, options))
    ctx.exit(CANCELLED)


async def _watch(target: str, folder: Path, context: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    with Interrupts() as interrupts:
        await interrupts.unless_asked(_forever(target, folder, context, options))


async def _forever(target: str, folder: Path, context: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    async with Engine("memory://", workers=options["workers"], grace=0) as engine:
        seen = stamp_of(folder)
        loaded = ""
        while True:
            loaded = await _once(engine, target, context, loaded, run=not options["no_run"])
            seen = await until_changed(folder, seen)


async def _once(engine: Engine, text: str, context: Mapping[str, Any], loaded: str, *, run: bool) -> str:
    """Load and run; returns the key of the code that is loaded now."""
    started = time.perf_counter()
    try:
        target = await find_target(text, engine.fleet)
        if run:
            result = await engine.run(target, context, check=False)
        else:
            engine.runnable(target)
            result = None
    except LanewayError as error:
        report(error, debug=False)
        return loaded
    took = screen.seconds(time.perf_counter() - started)
    console = screen.output()
    status = screen.status_text(result.status if result else "loaded")
    tasks = screen.counted(len(target.workflow.tasks), "task")
    console.print(Text.assemble(f"{target.workflow.name}: {tasks} ", status, f" in {took}"), soft_wrap=True)
    if result is not None and result.status == "failed":
        show_failure(result)
    elif result is not None:
        show_context(result.context)
    return await _replaced(engine, target, loaded)


async def _replaced(engine: Engine, target: Target, loaded: str) -> str:
    """Close the workers of the code that was loaded before."""
    key = target.unit.key if target.unit else ""
    if loaded and loaded != key:
        for lane in engine.lanes.values():
            await lane.retire(loaded)
    return key
