"""`laneway demo`: a real job on all cores that survives being stopped and killed, then isolation shown."""

import asyncio
import sysconfig
import time
from pathlib import Path
from typing import Any, NamedTuple

import rich_click as click

from laneway._core.errors import TargetNotFound
from laneway.app import Engine
from laneway.cli import _screen as screen
from laneway.cli._demo_parts import Comparison, compared, example, seconds_by_lane, writable_copy
from laneway.cli._demo_view import as_shown, show_audit, show_isolation, show_unvendored
from laneway.cli._display import Display, display_for
from laneway.cli._errors import CANCELLED, SUCCEEDED, status_of
from laneway.cli._execution import Ended, Told, begin, drive, kept_items
from laneway.cli._interrupts import Interrupts
from laneway.cli._isolation import Isolation, NotVendored, side_by_side, vendor
from laneway.cli._options import debug_option, json_option
from laneway.cli.run import command_line, say_how_to_go_on, show_failure
from laneway.targets import find_target

__all__ = ["demo"]

_STATE = Path(".laneway")
_STORE = "sqlite:///.laneway/demo.db"
_GRACE = 0.2
"""Seconds that running steps may go on after Ctrl-C: one file takes a few milliseconds."""


class _Audit(NamedTuple):
    ended: Ended
    kept: int
    comparison: Comparison | None


@click.command()
@click.argument("path", required=False, type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=_STATE,
    show_default=True,
    help="Folder for the reports.",
)
@click.option("--store", metavar="URL", default=_STORE, show_default=True, help="Where the run is kept.")
@click.option(
    "--workers", type=click.IntRange(min=1), help="Interpreters to analyse with; default: one per core."
)
@click.option("--new", is_flag=True, help="Start afresh, even if an audit of PATH is unfinished.")
@click.option("--no-isolation", is_flag=True, help="Leave the second act out.")
@json_option
@debug_option
@click.pass_context
def demo(ctx: click.Context, /, path: Path | None, as_json: bool, **options: Any) -> None:
    """Audit a Python source tree on all cores, then show isolation.

    PATH is a folder or file; by default the standard library of this Python. Stop it with Ctrl-C or kill it, and the
    same command goes on where it was.
    """
    root = Path(sysconfig.get_path("stdlib")) if path is None else path.expanduser()
    if not root.exists():
        raise TargetNotFound(
            target=str(root), reason="there is no such file or folder", advice="Give a source tree."
        )
    kept = screen.keep_stdout_for_result() if as_json else None
    _make_state(options)
    if kept is None:
        status = asyncio.run(_shown(root.resolve(), options))
    else:
        status, shown = asyncio.run(_as_data(root.resolve(), options))
        screen.print_json(shown, to=kept)
    ctx.exit(status)


def _make_state(options: dict[str, Any]) -> None:
    try:
        options["out"].mkdir(parents=True, exist_ok=True)
        if options["store"] == _STORE or options["out"] == _STATE:
            _STATE.mkdir(exist_ok=True)
            ignored = _STATE / ".gitignore"
            if not ignored.exists():
                ignored.write_text("*\n", encoding="utf-8")
    except OSError as error:
        raise click.UsageError(
            f"{error.filename} cannot be made ({error.strerror}). Work in another folder, or choose places that can be "
            "written: --out DIR --store sqlite:////FOLDER/demo.db."
        ) from error


async def _shown(root: Path, options: dict[str, Any]) -> int:
    """Both acts for people."""
    with Interrupts() as interrupts:
        audit = await interrupts.unless_asked(_audit(root, options, interrupts))
        if audit is None:
            screen.errors().print("stopped; the same command goes on")
            return CANCELLED
        result = audit.ended.result
        if result.status == "interrupted":
            say_how_to_go_on(command_line(), result, is_kept=options["store"] != "memory://")
            return CANCELLED
        if result.status != "succeeded":
            show_failure(result)
            return status_of(result.status)
        show_audit(result, audit.comparison, seconds_by_lane(result), store=options["store"])
        if interrupts.asked.is_set():
            return CANCELLED
        if options["no_isolation"]:
            return SUCCEEDED
        interrupts.handled = False
        return await _second_act(interrupts)


async def _second_act(interrupts: Interrupts) -> int:
    found = await interrupts.unless_asked(_isolated())
    if found is None:
        screen.errors().print("stopped; the audit is finished and kept")
        return CANCELLED
    if isinstance(found, NotVendored):
        show_unvendored(found)
    else:
        show_isolation(found)
    return SUCCEEDED


async def _as_data(root: Path, options: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Both acts as data."""
    with Interrupts() as interrupts:
        audit = await interrupts.unless_asked(_audit(root, options, interrupts))
        if audit is None:
            return CANCELLED, {"status": "interrupted"}
        result = audit.ended.result
        isolation: Isolation | NotVendored | None = None
        status = CANCELLED if result.status == "interrupted" else status_of(result.status)
        if result.status == "succeeded" and not options["no_isolation"]:
            interrupts.handled = False
            isolation = await interrupts.unless_asked(_isolated())
            status = CANCELLED if isolation is None else SUCCEEDED
        shown = as_shown(result, audit.comparison, seconds_by_lane(result), isolation)
        return status, {**shown, "kept": audit.kept, "seconds": audit.ended.seconds}


async def _audit(root: Path, options: dict[str, Any], interrupts: Interrupts) -> _Audit:
    """Act one: the audit, gone on with if it is unfinished, then the same analysis on a sample without lanes."""
    package = example("source-audit")
    async with Engine(options["store"], workers=options["workers"], grace=_GRACE) as engine:
        display = display_for(engine.lanes)
        target = await find_target(str(package), engine.fleet)
        context = {"root": str(root), "out": str(options["out"].resolve())}
        since = time.time()
        told = Told(engine)
        handle = await begin(
            engine, target, context, key=None, resume=None, new=options["new"], say=display.note
        )
        driver = handle.driver
        kept = 0 if driver is None or handle.is_new else kept_items(driver, "analyse")
        if not handle.is_new:
            display.note(f"kept {kept} finished files")
        interrupts.handled = True
        title = f"Auditing {root}"
        ended = await drive(
            engine, target, handle, told, display=display, title=title, interrupts=interrupts, grace=_GRACE
        )
    comparison = None
    if ended.result.status == "succeeded":
        _say_measuring(display)
        comparison = await interrupts.unless_asked(compared(package, ended.result, since=since), within=True)
    return _Audit(ended, kept, comparison)


def _say_measuring(display: Display) -> None:
    display.note("measuring the same analysis in one plain interpreter, on a sample of the files")


async def _isolated() -> Isolation | NotVendored:
    """Act two."""
    folder = writable_copy(example("isolation"), _STATE)
    missing = await vendor(folder)
    return missing if missing is not None else await side_by_side(folder)
